-- A barrier: a condition of the reader's that could tell of what it sees runs behind ours. Equality
-- cannot, so that source and key still find their index.
create or replace view capi.delivery with (security_barrier) as
select d.source, d.key, d.event_name, d.event_id, d.event_time, d.value, d.currency, d.destination, d.platform,
    d.status, d.reason, d.attempts, d.next_attempt, d.request_id, d.http_status, d.possible_duplicate,
    d.dropped_fields, d.captured_at, d.settled_at, d.event, d.source_version, d.rules
from capi._delivery d
where d.source_id in (select v.source from capi._visible v);
