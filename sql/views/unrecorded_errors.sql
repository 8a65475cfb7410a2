create or replace view capi.unrecorded_errors with (security_barrier) as
select s.name as source, u.hour, sum(u.more)::bigint as more
from capi.unrecorded_error u join capi.source s using (source)
where u.source in (select v.source from capi._visible v)
group by s.name, u.hour;

comment on view capi.unrecorded_errors is 'Failed captures beyond the 10,000 of an hour and source that are on record: how many more there were.';
grant select on capi.unrecorded_errors to capi_analyst, capi_admin;
