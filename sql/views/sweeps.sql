create or replace view capi.sweeps with (security_barrier) as
select s.name as source, s.conversions_name as conversions, w.since, w.until, w.started_at, w.finished_at,
    w.scanned, w.missing, w.captured, w.failed, w.trouble
from capi.sweep w join capi.source s using (source)
where w.source in (select v.source from capi._visible v);

comment on view capi.sweeps is 'The daily comparison of each source''s view with the outbox: when, how many rows, how many were missing and captured, and what kept it from finishing.';
grant select on capi.sweeps to capi_tenant, capi_analyst, capi_admin;
