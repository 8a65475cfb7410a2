-- A barrier: a condition of the reader's that could tell of what it sees runs behind ours. Equality
-- cannot, so that source and key still find their index.
create or replace view capi.delivery with (security_barrier) as
select d.source, d.key, d.event_name, d.event_id, d.event_time, d.value, d.currency, d.destination, d.platform,
    d.status, d.reason, d.attempts, d.next_attempt, d.request_id, d.http_status, d.possible_duplicate,
    d.dropped_fields, d.captured_at, d.settled_at, d.event, d.source_version, d.rules
from capi._delivery d
where d.source_id in (select v.source from capi._visible v);

comment on view capi.delivery is 'One row per event and destination: status, reason, attempts, request id, dropped fields. By source and key it is an index look-up.';
comment on column capi.delivery.possible_duplicate is 'A request with the event brought no answer that proves anything. What is delivered may be there twice; what has another status may be there all the same.';
comment on column capi.delivery.attempts is 'Requests with the event, those before a replay included; not those that the platform put off.';
grant select on capi.delivery to capi_tenant, capi_analyst, capi_admin;
