-- The books of the demo with several platforms: the shop's tables, the outbox, and what each
-- platform's stand-in received, money by currency; then one line for each platform and one for all.
-- $SUMMARY names the file with the stand-in's counts.
\set summary `cat "$SUMMARY"`

create temp table shop as
select sum(n) as conversions, sum(refused) as refused
from (
    select count(*) as n, count(*) filter (where not c.marketing_consent) as refused
    from shop.orders o join shop.customers c on c.id = o.customer_id
    where o.paid_at is not null and c.marketing_consent is not null
    union all
    select count(*), count(*) filter (where not consent) from shop.leads where consent is not null
) x;

-- What was paid and what was captured, by currency: the same for every platform.
create temp table captured as
select currency, s.value as shop_value, o.value as outbox_value, s.n = o.n and s.value = o.value as agree
from (
    select o.currency, count(*) as n, sum(o.total) as value
    from shop.orders o join shop.customers c on c.id = o.customer_id
    where o.paid_at is not null and c.marketing_consent is not null
    group by 1
) s
full join (
    select currency, count(*) as n, sum(value) as value from capi.outbox where event_name = 'Purchase' group by 1
) o using (currency);

create temp table delivered as
select platform, count(*) as events,
    count(*) filter (where status = 'suppressed') as suppressed,
    count(*) filter (where status = 'unrouted') as unrouted,
    count(*) filter (where status = 'refused') as refused,
    count(*) filter (where status = 'expired') as expired,
    count(*) filter (where status = 'delivered') as delivered
from capi.delivery group by 1;

-- Events that a platform took first and decided on later, when it was asked.
create temp table accepted as
select d.platform, count(distinct e.event) as events
from capi.attempts a join capi.destination d on d.name = a.destination cross join unnest(a.events) e (event)
where a.kind = 'poll' group by 1;

create temp table received as
select key as platform, (value ->> 'unique_events')::bigint as events, (value ->> 'duplicates')::bigint as duplicates,
    (value ->> 'vanished')::bigint as vanished, value -> 'values' as money
from jsonb_each(:'summary'::jsonb -> 'platforms');

create temp table money as
select platform, currency, coalesce(d.value, 0) as delivered, coalesce(r.value, 0) as received,
    d.value is not distinct from r.value as agree
from (
    select platform, currency, sum(value) as value from capi.delivery
    where status = 'delivered' and value is not null group by 1, 2
) d
full join (
    select platform, m.key as currency, m.value::numeric as value
    from received, jsonb_each_text(money) m
) r using (platform, currency);

create temp table books as
select d.*, coalesce(a.events, 0) as accepted, coalesce(r.events, 0) as received, coalesce(r.duplicates, 0) as duplicates,
    m.currencies, m.delivered as value_delivered, m.received as value_received,
    d.events = s.conversions and d.suppressed = s.refused
        and d.events = d.suppressed + d.unrouted + d.refused + d.expired + d.delivered
        and d.delivered = coalesce(r.events, 0) and coalesce(r.vanished, 0) = 0 and coalesce(m.agree, d.delivered = 0)
        as agree
from delivered d
cross join shop s
left join accepted a using (platform)
left join received r using (platform)
left join (
    select platform, count(*) as currencies, sum(delivered) as delivered, sum(received) as received, bool_and(agree) as agree
    from money group by 1
) m using (platform);

select platform, status, reason, count(*) from capi.delivery
where status <> 'delivered' group by 1, 2, 3 order by 1, 2, 3;
\echo 'money by currency, delivered and received alike unless both are shown'
select currency, platform, case when agree then delivered::text else delivered || ' <> ' || received end as value
from money order by 1, 2
\crosstabview
\t on
\a
select format('%s: events=%s suppressed=%s unrouted=%s refused=%s expired=%s accepted=%s delivered=%s received=%s duplicates=%s '
    'currencies=%s value_delivered=%s value_received=%s agree=%s',
    platform, events, suppressed, unrouted, refused, expired, accepted, delivered, received, duplicates,
    coalesce(currencies, 0), coalesce(value_delivered, 0), coalesce(value_received, 0),
    case when agree then 'yes' else 'no' end)
from books order by platform;

-- A platform that nothing went to has no books, and then they do not agree.
select format('platforms: agree=%s platforms=%s orders=%s conversions=%s captured=%s currencies=%s capture_errors=%s '
    'possible_doubles=%s',
    case when (select bool_and(agree) from books) and (select bool_and(coalesce(agree, false)) from captured)
        and (select count(*) from books) = (select count(*) from capi.destination)
        and (select conversions from shop) = (select count(*) from capi.outbox) then 'yes' else 'no' end,
    (select count(*) from books),
    (select count(*) from shop.orders),
    (select conversions from shop),
    (select count(*) from capi.outbox),
    (select count(*) from captured),
    (select count(*) from capi.capture_error where resolved_at is null),
    (select count(*) from capi.delivery where possible_duplicate));
