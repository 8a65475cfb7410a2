create or replace view capi.capture_errors with (security_barrier) as
select s.name as source, s.conversions_name as conversions, e.error, e.key, e.event_name, e.sqlstate, e.reason, e.field,
    e.times, e.first_at, e.last_at, e.resolved_at, e.resolution
from capi.capture_error e join capi.source s using (source)
where e.source in (select v.source from capi._visible v);

comment on view capi.capture_errors is 'Captures that failed while their transaction committed, of the sources that the reader may see.';
grant select on capi.capture_errors to capi_tenant, capi_analyst, capi_admin;
