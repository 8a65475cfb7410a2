-- What capture is measured against, run by bench/capture.py in a copy of the example shop: the
-- triggers and tables that one would write by hand. No part of the product.

create schema bench;

-- The row of the view is read and one constant row written: the least that a trigger can do.
create table bench.log (note text not null);

create function bench.constant() returns trigger
language plpgsql
as $$
declare
    p shop.purchases;
begin
    select * into p from shop.purchases where id = new.id;
    if found then
        insert into bench.log (note) values ('a conversion');
    end if;
    return null;
end
$$;

-- The same payload as the extension's, by hand. It is spared what a plain SQL expression cannot do
-- anyway: numbering plans, per-platform forms, placeholders, checks of money and time; and a
-- subtransaction, so that an error here would cost the order.
create table bench.event_key (
    event_name text not null,
    event_id text not null,
    key text not null,
    event bigint not null,
    captured_at timestamptz not null,
    primary key (event_name, event_id)
);

create table bench.outbox (
    id bigint primary key,
    captured_at timestamptz not null,
    xid xid8 not null default pg_current_xact_id(),
    era bigint not null,
    source integer not null,
    version integer not null,
    rules smallint not null,
    key text not null,
    event_name text not null,
    event_id text not null,
    event_time timestamptz not null,
    action_source text not null,
    value numeric,
    currency text,
    refused text[] not null default '{}',
    identity jsonb not null,
    facts jsonb not null,
    dropped jsonb not null
);
create index outbox_xid on bench.outbox (xid, id);
create index outbox_source_key on bench.outbox (source, key);
create sequence bench.event;

-- An SQL function that the planner inlines: stable, since `convert_to` is no more than that; called
-- immutable it would be run, and planned, as a function of its own.
create function bench.digest(value text) returns text
language sql stable parallel safe
return encode(sha256(convert_to(nullif(value, ''), 'UTF8')), 'hex');

create function bench.digits(phone text) returns text
language sql immutable parallel safe
return regexp_replace(phone, '\D', '', 'g');

create function bench.hand() returns trigger
language plpgsql
as $$
begin
    with p as materialized (
        select * from shop.purchases where id = new.id and consent is not null
    ),
    fresh as (
        insert into bench.event_key (event_name, event_id, key, event, captured_at)
        select p.event_name, p.event_id, p.id::text, nextval('bench.event'), clock_timestamp() from p
        on conflict do nothing
        returning event, captured_at
    )
    insert into bench.outbox (id, captured_at, era, source, version, rules, key, event_name, event_id,
        event_time, action_source, value, currency, refused, identity, facts, dropped)
    select f.event, f.captured_at, 1, 1, 1, 1, p.id::text, p.event_name, p.event_id,
        p.event_time, p.action_source, p.value, upper(p.currency),
        case when p.consent then '{}' else '{*}' end::text[],
        jsonb_strip_nulls(jsonb_build_object(
            'email', bench.digest(lower(btrim(p.email))),
            'phone', bench.digest(bench.digits(p.phone)),
            'phone/plus', bench.digest('+' || bench.digits(p.phone)),
            'first_name', bench.digest(lower(btrim(p.first_name))),
            'last_name', bench.digest(lower(btrim(p.last_name))),
            'city', bench.digest(lower(replace(p.city, ' ', ''))),
            'state', bench.digest(lower(btrim(p.state))),
            'zip', bench.digest(lower(replace(p.zip, ' ', ''))),
            'country', bench.digest(lower(btrim(p.country))),
            'external_id', bench.digest(btrim(p.external_id)))),
        jsonb_strip_nulls(jsonb_build_object(
            'client_ip_address', p.browser -> 'ip', 'client_user_agent', p.browser -> 'user_agent',
            'fbp', p.browser -> 'fbp', 'fbc', p.browser -> 'fbc',
            'ga_client_id', p.browser -> 'ga_client_id',
            'event_source_url', p.event_source_url, 'order_id', p.order_id, 'contents', p.contents)),
        '{}'
    from p cross join fresh f;
    return null;
end
$$;

-- The same for all orders of a stretch, in one statement.
create function bench.hand_over(first_id bigint, last_id bigint) returns void
language sql
begin atomic
    with p as materialized (
        select * from shop.purchases where id between first_id and last_id and consent is not null
    ),
    fresh as (
        insert into bench.event_key (event_name, event_id, key, event, captured_at)
        select p.event_name, p.event_id, p.id::text, nextval('bench.event'), clock_timestamp() from p
        on conflict do nothing
        returning key, event, captured_at
    )
    insert into bench.outbox (id, captured_at, era, source, version, rules, key, event_name, event_id,
        event_time, action_source, value, currency, refused, identity, facts, dropped)
    select f.event, f.captured_at, 1, 1, 1, 1, f.key, p.event_name, p.event_id,
        p.event_time, p.action_source, p.value, upper(p.currency),
        case when p.consent then '{}' else '{*}' end::text[],
        jsonb_strip_nulls(jsonb_build_object(
            'email', bench.digest(lower(btrim(p.email))),
            'phone', bench.digest(bench.digits(p.phone)),
            'phone/plus', bench.digest('+' || bench.digits(p.phone)),
            'first_name', bench.digest(lower(btrim(p.first_name))),
            'last_name', bench.digest(lower(btrim(p.last_name))),
            'city', bench.digest(lower(replace(p.city, ' ', ''))),
            'state', bench.digest(lower(btrim(p.state))),
            'zip', bench.digest(lower(replace(p.zip, ' ', ''))),
            'country', bench.digest(lower(btrim(p.country))),
            'external_id', bench.digest(btrim(p.external_id)))),
        jsonb_strip_nulls(jsonb_build_object(
            'client_ip_address', p.browser -> 'ip', 'client_user_agent', p.browser -> 'user_agent',
            'fbp', p.browser -> 'fbp', 'fbc', p.browser -> 'fbc',
            'ga_client_id', p.browser -> 'ga_client_id',
            'event_source_url', p.event_source_url, 'order_id', p.order_id, 'contents', p.contents)),
        '{}'
    from p join fresh f on f.key = p.id::text;
end;

-- Which of them are at work in this database.
\if :{?trigger}
create constraint trigger bench after insert or update on shop.orders deferrable initially deferred
    for each row when (new.paid_at is not null) execute function bench.:trigger();
\endif
