create or replace view capi.attempts as
select a.attempt, d.name as destination, a.batch, a.parent, a.worker, a.tries, a.started_at,
    a.finished_at, a.kind, a.outcome, a.http_status, a.request_id, a.reason, a.answer,
    cardinality(a.events) as event_count, a.events
from capi.attempt a
join capi.destination d on d.destination = a.destination;
