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
        when q.ticket is not null then 'accepted'
        when q.state = 'leased' then 'sending'
        when q.tries > 0 then 'retrying'
        -- A replay that waits counts more than the outcome before it.
        when q.event is not null or again.event is not null or r.status is null then 'pending'
        else r.status::text
    end as status,
    case when q.event is not null or again.event is not null then q.reason else r.reason end as reason,
    (coalesce(r.attempts, 0) + coalesce(q.tries, 0))::integer as attempts,
    case when q.state = 'ready' then q.due_at end as next_attempt,
    a.request_id,
    a.http_status,
    doubt.in_doubt as possible_duplicate,
    o.dropped as dropped_fields,
    o.captured_at,
    r.settled_at,
    o.id as event,
    o.version as source_version,
    o.rules,
    -- Whether the platform has the event: yes, perhaps, no. What is on its way may have arrived.
    case when r.status = 'delivered' then 'yes'
        when doubt.in_doubt or r.status = 'undecided' or q.ticket is not null or q.state = 'leased' then 'perhaps'
        else 'no' end as has
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
    select b.destination, e.event, b.state, b.tries, b.unknown, b.reason, b.due_at, b.ticket
    from capi.batch b cross join unnest(b.events) e (event)
) q on q.event = o.id and q.destination = d.destination
left join (
    select y.destination, p.event
    from capi.replay_log y join capi.replay_event p on p.replay = y.replay and p.event > y.last_event
    where y.finished_at is null
) again on again.event = o.id and again.destination = d.destination
cross join lateral (
    select coalesce(r.possible_duplicate, false) or coalesce(q.unknown > 0, false)
        -- Unread since another server may have sent it.
        or r.event is null and q.event is null and coalesce(o.captured_at <= (
            select i.doubtful_until from capi.installation i where i.doubtful_until >= d.created_at
        ), false) as in_doubt
) doubt
-- What a dropped destination had not sent, it never will.
where d.state <> 'dropped' or r.event is not null;

comment on view capi._delivery is 'What capi.delivery shows, of all tenants.';
