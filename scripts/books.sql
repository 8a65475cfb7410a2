-- The books of the demo: the shop's tables, the outbox and what the stand-in received, per
-- currency; then one line for scripts. $RECEIVED and $SUMMARY name files with its answers.
\set received `cat "$RECEIVED"`
\set summary `cat "$SUMMARY"`

create temp table received as
select e ->> 'event_id' as event_id, e ->> 'event_name' as event_name,
    (e -> 'custom_data' ->> 'value')::numeric as value, e -> 'custom_data' ->> 'currency' as currency,
    min(r.received_at) as received_at, count(*) as times
from jsonb_array_elements(:'received'::jsonb -> 'events') x,
    lateral (select x -> 'event' as e, (x ->> 'received_at')::bigint as received_at) r
group by 1, 2, 3, 4;

create temp table books as
with
shop as (
    select o.currency, count(*) as n, sum(o.total) as value
    from shop.orders o join shop.customers c on c.id = o.customer_id
    where o.paid_at is not null and c.marketing_consent is not null
    group by 1
),
outbox as (
    select currency, count(*) as n, sum(value) as value from capi.outbox
    where event_name = 'Purchase' group by 1
),
delivery as (
    select currency,
        count(*) filter (where status = 'delivered') as delivered,
        coalesce(sum(value) filter (where status = 'delivered'), 0) as value,
        count(*) filter (where status = 'suppressed') as suppressed,
        count(*) filter (where status = 'refused') as refused
    from capi.delivery where event_name = 'Purchase' group by 1
),
received_sums as (
    select currency, count(*) as n, coalesce(sum(value), 0) as value from received
    where event_name = 'Purchase' group by 1
)
select currency, s.n as shop, s.value as shop_value, o.n as outbox, o.value as outbox_value,
    d.delivered, d.value as delivered_value, coalesce(f.n, 0) as received, coalesce(f.value, 0) as received_value,
    d.suppressed, d.refused,
    s.n = o.n and s.value = o.value and o.n = d.delivered + d.suppressed + d.refused
        and d.delivered = coalesce(f.n, 0) and d.value = coalesce(f.value, 0) as agree
from shop s
full join outbox o using (currency)
full join delivery d using (currency)
full join received_sums f using (currency);

-- Decided enquiries are conversions too; they carry no money.
create temp table leads as
select
    (select count(*) from shop.leads where consent is not null) as shop,
    (select count(*) from capi.outbox where event_name = 'Lead') as outbox,
    (select count(*) from capi.delivery where event_name = 'Lead' and status = 'delivered') as delivered,
    (select count(*) from received where event_name = 'Lead') as received;

select currency, shop, shop_value, outbox, outbox_value, delivered, delivered_value, received,
    received_value, suppressed, refused, case when agree then 'yes' else 'NO' end as agree
from books order by currency;
select shop as "leads: shop", outbox, delivered, received from leads;

\t on
\a
select format('books: agree=%s capture_errors=%s possible_doubles=%s doubles_received=%s',
    case when (select bool_and(coalesce(agree, false)) from books)
        and (select shop = outbox and delivered = received from leads) then 'yes' else 'no' end,
    (select count(*) from capi.capture_error where resolved_at is null),
    (select count(*) from capi.delivery where possible_duplicate),
    :'summary'::jsonb ->> 'duplicates');

select format('demo: orders=%s conversions=%s delivered=%s suppressed=%s refused=%s value_orders=%s '
    'value_delivered=%s currencies=%s p50_ms=%s p99_ms=%s',
    (select count(*) from shop.orders),
    (select count(*) from capi.outbox),
    (select count(*) from capi.delivery where status = 'delivered'),
    (select count(*) from capi.delivery where status = 'suppressed'),
    (select count(*) from capi.delivery where status = 'refused'),
    (select sum(shop_value) from books),
    (select sum(delivered_value) from books),
    (select count(*) from books),
    round(latency.p50::numeric, 1), round(latency.p99::numeric, 1))
from (
    -- From capture, an instant before the commit, to the whole request received.
    select percentile_cont(0.5) within group (order by ms) as p50,
        percentile_cont(0.99) within group (order by ms) as p99
    from (
        select r.received_at / 1000.0 - extract(epoch from o.captured_at) * 1000 as ms
        from received r join capi.outbox o using (event_name, event_id)
    ) x
) latency;
