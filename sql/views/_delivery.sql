-- Of all tenants: what the schema's own functions read.
create or replace view capi._delivery as
select
    o.source as source_id,
    s.name as source,
    o.key,
    o.event_name,
    o.event_id,
    o.event_time,
    o.value,
    o.currency,
    d.name as destination,
    d.platform,
    case
        when r.status is not null then r.status::text
        when q.state = 'leased' then 'sending'
        when q.tries > 0 then 'retrying'
        else 'pending'
    end as status,
    coalesce(r.reason, q.reason) as reason,
    coalesce(r.attempts, q.tries, 0)::integer as attempts,
    case when r.status is null and q.state = 'ready' then q.due_at end as next_attempt,
    a.request_id,
    a.http_status,
    coalesce(r.possible_duplicate, q.unknown > 0, false) as possible_duplicate,
    o.dropped as dropped_fields,
    o.captured_at,
    r.settled_at,
    o.id as event,
    o.version as source_version,
    o.rules
from capi.outbox o
join capi.source s on s.source = o.source
join capi.route t on t.source = o.source
    and o.captured_at >= t.since and (t.until is null or o.captured_at < t.until)
join capi.destination d on d.destination = t.destination
left join capi.receipt r on r.event = o.id and r.destination = d.destination
    and r.captured_at = o.captured_at
left join capi.attempt a on a.attempt = r.attempt
    and a.started_at between r.captured_at and r.settled_at
left join (
    select b.destination, e.event, b.state, b.tries, b.unknown, b.reason, b.due_at
    from capi.batch b cross join unnest(b.events) e (event)
) q on q.event = o.id and q.destination = d.destination and r.event is null
-- What a dropped destination had not sent, it never will.
where d.state <> 'dropped' or r.event is not null;
