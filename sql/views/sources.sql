create or replace view capi.sources with (security_barrier) as
select s.source, s.name, s.conversions_name as conversions, s.tracked, s.options, s.version,
    array(
        select d.name from capi.route r join capi.destination d on d.destination = r.destination
        where r.source = s.source and r.until is null order by d.name
    ) as destinations,
    s.relation, s.tracked_since, s.stale_since, s.stale_reason, s.tenant
from capi.source s
where s.source in (select v.source from capi._visible v);

comment on view capi.sources is 'What is tracked, through which view, to which destinations.';
grant select on capi.sources to capi_tenant, capi_analyst, capi_admin;
