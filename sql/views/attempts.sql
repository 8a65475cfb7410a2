-- Where tenants share a destination, an attempt shows each only its own events.
create or replace view capi.attempts with (security_barrier) as
select a.attempt, d.name as destination, a.batch, a.parent, a.worker, a.tries, a.started_at,
    a.finished_at, a.kind, a.outcome, a.http_status, a.request_id, a.reason,
    case when cardinality(own.events) = cardinality(a.events) then a.answer end as answer,
    cardinality(own.events) as event_count, own.events
from capi.attempt a
join capi.destination d on d.destination = a.destination
cross join lateral (
    select case
        when exists (
            select from capi.route r
            where r.destination = a.destination and r.source not in (select v.source from capi._visible v)
        ) then array(
            select o.id from capi.outbox o
            where o.id = any (a.events) and o.captured_at <= a.started_at
                and o.source in (select v.source from capi._visible v)
            order by o.id
        )
        else a.events end as events
) own
where cardinality(own.events) > 0;

comment on view capi.attempts is 'Every send (kind send), every question after an accepted one (poll) and every test by hand (test): when, by whom, with what answer, of which events.';
grant select on capi.attempts to capi_tenant, capi_analyst, capi_admin;
