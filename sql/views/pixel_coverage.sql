-- Where tenants share a destination, a page that fired without an event of the server's is nobody's: only
-- who sees every source of that destination is told of it.
create or replace view capi.pixel_coverage with (security_barrier) as
with shown as (
    select d.destination, d.name, d.platform,
        exists (
            select from capi.route r
            where r.destination = d.destination and r.source not in (select v.source from capi._visible v)
        ) as shared
    from capi.destination d
    where d.state <> 'dropped'
        and (
            exists (select from capi.route r join capi._visible v using (source) where r.destination = d.destination)
            -- As capi._visible says it: what a view calls runs with the reader's rights.
            or exists (
                select from capi.installation i
                cross join lateral (values (i.owner_role, i.owner_id), (i.analyst_role, i.analyst_id), (i.admin_role, i.admin_id)) x (name, id)
                join pg_roles r on r.oid = x.id and r.rolname = x.name
                where pg_has_role(current_user, r.oid, 'usage')
            )
        )
), halves as (
    select t.destination, o.event_name, o.event_id, o.captured_at as at, true as server
    from capi.outbox o
    join capi.route t on t.source = o.source
        and o.captured_at >= t.since and (t.until is null or o.captured_at < t.until)
    join shown d on d.destination = t.destination
    where o.captured_at > now() - interval '30 days' and o.action_source = 'website'
        and o.source in (select v.source from capi._visible v)
        and not capi._refuses(o.refused, d.platform, d.name)
    union all
    select h.destination, h.event_name, h.event_id, h.fired_at, false
    from capi.pixel_hit h
    where h.fired_at > now() - interval '30 days'
), events as (
    select h.destination, h.event_name, h.event_id, min(h.at)::date as day,
        bool_or(h.server) as server, bool_or(not h.server) as browser
    from halves h
    group by h.destination, h.event_name, h.event_id
)
select
    d.name as destination,
    d.platform,
    e.event_name,
    e.day,
    count(*) filter (where e.server) as server_events,
    count(*) filter (where e.server and e.browser) as both_halves,
    count(*) filter (where not e.server) as browser_only,
    round(100.0 * count(*) filter (where e.server and e.browser)
        / nullif(count(*) filter (where e.server), 0), 1) as percent_covered
from events e
join shown d on d.destination = e.destination
where e.server or not d.shared
group by d.name, d.platform, e.event_name, e.day;

comment on view capi.pixel_coverage is 'The last 30 days by destination, event name and day: website events of the server, how many of them have the browser''s half too, and browser halves without a server event. Needs pages with a beacon.';
grant select on capi.pixel_coverage to capi_tenant, capi_analyst, capi_admin;
