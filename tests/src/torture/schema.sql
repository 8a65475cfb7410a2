-- Tables of every kind that can be tracked, what an application may have around them, and the books
-- that the outbox is compared with.
create schema torture authorization shop_owner;
set role shop_owner;
create table torture.orders (
    id bigint primary key,
    paid_at timestamptz, total numeric(12,2) not null, email text, consent boolean,
    keep boolean not null default false, touched integer not null default 0, mood text
);
create table torture.lines (
    id bigint generated always as identity primary key,
    order_id bigint not null references torture.orders on update cascade on delete cascade deferrable initially deferred,
    sku text not null
);
create index lines_order on torture.lines (order_id);
create table torture.parted (
    region text, number bigint,
    paid_at timestamptz, total numeric(12,2) not null, email text, consent boolean,
    keep boolean not null default false, touched integer not null default 0,
    primary key (region, number)
) partition by list (region);
create table torture.north partition of torture.parted for values in ('north');
create table torture.south partition of torture.parted for values in ('south');
create table torture.elsewhere partition of torture.parted default;
create table torture.family (
    id uuid primary key,
    paid_at timestamptz, total numeric(12,2) not null, email text, consent boolean,
    keep boolean not null default false, touched integer not null default 0
);
create table torture.child (primary key (id)) inherits (torture.family);
create table torture.words (
    word text primary key,
    paid_at timestamptz, total numeric(12,2) not null, email text, consent boolean,
    keep boolean not null default false, touched integer not null default 0
);

-- Triggers of the application: one that changes the row, one that writes, one that is deferred and
-- fires after ours.
create table torture.history (id bigint, at timestamptz not null default clock_timestamp());
create function torture.before_change() returns trigger language plpgsql as $$
begin
    new.mood := coalesce(new.mood, 'calm');
    return new;
end $$;
create function torture.after_change() returns trigger language plpgsql as $$
begin
    insert into torture.history values (new.id);
    return null;
end $$;
create function torture.at_commit() returns trigger language plpgsql as $$
begin
    if new.mood = 'late' then
        update torture.orders set mood = 'calm', paid_at = coalesce(paid_at, clock_timestamp()) where id = new.id;
    elsif new.mood = 'regret' then
        delete from torture.orders where id = new.id and paid_at is null;
        update torture.orders set mood = 'calm' where id = new.id;
    end if;
    return null;
end $$;
create trigger before_change before insert or update on torture.orders for each row execute function torture.before_change();
create trigger after_change after insert or update on torture.orders for each row execute function torture.after_change();
create constraint trigger zz_at_commit after insert on torture.orders deferrable initially deferred
    for each row execute function torture.at_commit();

create view torture.order_conversions as
select o.id, 'Purchase' as event_name, 'order-' || o.id as event_id, o.paid_at as event_time, 'website' as action_source, 'https://shop.example.com/' as event_source_url,
    case when o.mood = 'broken' then o.total / 0 else o.total end as value, 'EUR' as currency, o.email, o.consent,
    (select jsonb_agg(jsonb_build_object('id', l.sku)) from torture.lines l where l.order_id = o.id) as contents
from torture.orders o where o.paid_at is not null;
create view torture.parted_conversions as
select p.region, p.number, 'Purchase' as event_name, 'parted-' || p.region || p.number as event_id, p.paid_at as event_time,
    'website' as action_source, 'https://shop.example.com/' as event_source_url, p.total as value, 'USD' as currency, p.email, p.consent
from torture.parted p where p.paid_at is not null;
create view torture.family_conversions as
select f.id, 'Purchase' as event_name, 'family-' || f.id as event_id, f.paid_at as event_time, 'website' as action_source, 'https://shop.example.com/' as event_source_url,
    f.total as value, 'GBP' as currency, f.email, f.consent
from torture.family f where f.paid_at is not null;
create view torture.word_conversions as
select w.word, 'Purchase' as event_name, 'word-' || w.word as event_id, w.paid_at as event_time, 'website' as action_source, 'https://shop.example.com/' as event_source_url,
    w.total as value, 'PLN' as currency, w.email, w.consent
from torture.words w where w.paid_at is not null;

-- What was a conversion in a committed state and is no row of a view any more.
create table torture.gone (source text, key text, event_id text, value numeric, currency text, primary key (source, key));
create view torture.conversions as
select 'torture.orders' as source, id::text as key, event_id, value, currency, consent,
    coalesce(jsonb_array_length(contents), 0) as lines
from torture.order_conversions
union all
select 'torture.parted', jsonb_build_array(region, number::text)::text, event_id, value, currency, consent, 0
from torture.parted_conversions
union all
select 'torture.family', id::text, event_id, value, currency, consent, 0 from torture.family_conversions
union all
select 'torture.words', word, event_id, value, currency, consent, 0 from torture.word_conversions;
-- One event a key: a row that left and came back under its key is the same conversion.
create view torture.expected as
select source, key, event_id, value, currency from torture.conversions where consent is not null
union all
select source, key, event_id, value, currency from torture.gone g
where not exists (select from torture.conversions c where (c.source, c.key) = (g.source, g.key) and c.consent is not null);
grant usage on schema torture to app;
grant select, insert, update, delete on all tables in schema torture to app;
reset role;

create view torture.found as
select s.name as source, o.key, o.event_id, o.value, o.currency, o.refused, o.captured_at, o.source as number,
    coalesce(jsonb_array_length(o.facts -> 'contents'), 0) as lines
from capi.outbox o join capi.source s using (source);
create view torture.missing as
select e.source, e.key, exists (
    select from capi.capture_error c join capi.source s using (source) where s.name = e.source and c.key = e.key
) as on_record
from torture.expected e
where not exists (select from torture.found f where (f.source, f.key) = (e.source, e.key));

select capi.create_destination('torture', platform => 'meta', settings => '{"pixel_id": "1234567890", "endpoint": "{endpoint}"}',
    credential => 'META_TOKEN');
select capi.resume('torture');
select capi.track('torture.orders', conversions => 'torture.order_conversions', destinations => '{torture}',
    also => '{"torture.lines": "order_id"}');
select capi.track('torture.parted', conversions => 'torture.parted_conversions', destinations => '{torture}');
select capi.track('torture.family', conversions => 'torture.family_conversions', destinations => '{torture}');
select capi.track('torture.words', conversions => 'torture.word_conversions', destinations => '{torture}');
