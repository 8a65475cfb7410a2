-- What bench/delivery.py needs in a database with the tracked shop. No part of the product.

create schema if not exists bench;

-- Events as they were captured, without what belongs to one transaction.
create table bench.captured (
    n bigint primary key,
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
    refused text[] not null,
    identity jsonb not null,
    facts jsonb not null,
    dropped jsonb not null
);

-- Orders as an application places them: each transaction has a few, with two items each.
create procedure bench.place(orders bigint, per_transaction integer)
language plpgsql
as $$
begin
    for t in 1..orders / per_transaction loop
        with o as (
            insert into shop.orders (customer_id, currency, checkout_url, total, status, paid_at, browser)
            select 1 + (t * 7919 + i * 104729) % 10000, 'EUR', 'https://shop.example.com/de/checkout/' || t * per_transaction + i,
                25.80, 'paid', clock_timestamp(), jsonb_build_object(
                    'ip', '203.0.113.' || i % 250,
                    'user_agent', 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36',
                    'fbp', 'fb.1.1790000000000.' || t * per_transaction + i, 'ga_client_id', t || '.1790000000')
            from generate_series(1, per_transaction) i
            returning id
        )
        insert into shop.order_items (order_id, product_id, sku, quantity, price)
        select o.id, p.product, p.sku, 1, p.price
        from o cross join (values (1, 'MUG-01', 9.90), (7, 'TRY-07', 15.90)) p (product, sku, price);
        commit;
    end loop;
end
$$;

-- The same events once more, in transactions of a few.
create procedure bench.refill(events bigint, per_transaction integer)
language plpgsql
as $$
declare
    of bigint := (select max(n) from bench.captured);
    first bigint;
begin
    for t in 0..events / per_transaction - 1 loop
        first := t * per_transaction % of;
        insert into capi.outbox (id, captured_at, era, source, version, rules, key, event_name, event_id,
            event_time, action_source, value, currency, refused, identity, facts, dropped)
        select nextval('capi.event'), clock_timestamp(), capi._era(0), source, version, rules, key, event_name, event_id,
            event_time, action_source, value, currency, refused, identity, facts, dropped
        from bench.captured
        where n > first and n <= first + per_transaction;
        commit;
    end loop;
end
$$;

-- Delivered events of the last three weeks, with receipts and attempts of 1,000 events each, as delivery
-- leaves them. Nothing may be unread: the cursor goes behind them.
create procedure bench.history(events bigint)
language plpgsql
as $$
#variable_conflict use_column
declare
    of bigint := (select max(n) from bench.captured);
    destination integer := (select d.destination from capi.destination d);
    step interval := interval '21 days' / events;
    start timestamptz := now() - interval '21 days 2 hours';
    week timestamp := date_trunc('week', start at time zone 'UTC');
    part text;
begin
    while week < date_trunc('week', now() at time zone 'UTC') loop
        foreach part in array array['outbox', 'attempt', 'receipt'] loop
            execute format('create table if not exists capi.%I partition of capi.%I for values from (%L) to (%L)',
                part || to_char(week, '_YYYYMMDD'), part, week at time zone 'UTC', (week + interval '7 days') at time zone 'UTC');
        end loop;
        week := week + interval '7 days';
    end loop;
    for t in 0..events / 10000 - 1 loop
        with e as (
            insert into capi.outbox (id, captured_at, era, source, version, rules, key, event_name, event_id,
                event_time, action_source, value, currency, refused, identity, facts, dropped)
            select nextval('capi.event'), start + step * (t * 10000 + i), capi._era(0), c.source, c.version, c.rules, 'h' || t * 10000 + i,
                c.event_name, 'history-' || t * 10000 + i, start + step * (t * 10000 + i), c.action_source, c.value,
                c.currency, c.refused, c.identity, c.facts, c.dropped
            from generate_series(1, 10000) i join bench.captured c on c.n = 1 + (t * 10000 + i) % of
            order by i
            returning id, captured_at
        ), numbered as (
            select e.*, (row_number() over (order by e.id) - 1) / 1000 as batch from e
        ), attempts as (
            insert into capi.attempt (started_at, destination, batch, worker, tries, events, finished_at, outcome,
                http_status, request_id, answer)
            select max(n.captured_at) + interval '1 second', destination, t * 10 + n.batch, 'capi-1', 0,
                array_agg(n.id order by n.id), max(n.captured_at) + interval '1.2 second', 'each', 200, 'A' || t, '{"received": 1000}'
            from numbered n
            group by n.batch
            returning attempt, started_at, events
        )
        insert into capi.receipt (event, captured_at, destination, attempts, status, attempt, settled_at)
        select n.id, n.captured_at, destination, 1, 'delivered', a.attempt, a.started_at + interval '0.2 second'
        from attempts a cross join unnest(a.events) u (id) join numbered n on n.id = u.id;
        commit;
    end loop;
    update capi.cursor set from_snapshot = pg_current_snapshot(), from_xid = pg_current_xact_id(), from_taken_at = now(),
        to_snapshot = null, to_xid = null, to_taken_at = null, last_xid = '0', last_id = 0, unread_since = now() - interval '1 day';
end
$$;
