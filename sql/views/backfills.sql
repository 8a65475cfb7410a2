create or replace view capi.backfills with (security_barrier) as
select b.backfill, s.name as source, s.conversions_name as conversions, b.since, b.until, b.after_time as done_until,
    b.scanned, b.captured, b.waiting, b.failed, b.started_at, b.started_by, b.updated_at, b.finished_at
from capi.backfill b join capi.source s using (source)
where b.source in (select v.source from capi._visible v);

comment on view capi.backfills is 'Backfills with their progress; one without finished_at goes on when it is called again.';
grant select on capi.backfills to capi_tenant, capi_analyst, capi_admin;
