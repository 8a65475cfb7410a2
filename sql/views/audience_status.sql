create or replace view capi.audience_status as
select a.name as audience, d.name as destination, a.settings ->> 'audience_id' as audience_id,
    a.people_name as people_view, m.members, m.waiting,
    (select max(x.finished_at) from capi.audience_sync x where x.audience = a.audience and x.outcome = 'done') as synced_at,
    s.outcome as last_outcome, s.reason as last_reason, s.started_at as last_started_at, s.rows, s.people, s.withheld,
    s.added, s.removed, s.invalid
from capi.audience a
join capi.destination d on d.destination = a.destination
cross join lateral (
    select count(*) filter (where x.sent is not null) as members,
        count(*) filter (where x.sent is distinct from x.content or x.sync <> y.latest) as waiting
    from capi.audience_member x
    cross join (select max(z.sync) as latest from capi.audience_sync z where z.audience = a.audience) y
    where x.audience = a.audience
) m
left join lateral (
    select x.* from capi.audience_sync x where x.audience = a.audience order by x.sync desc limit 1
) s on true
where a.dropped_at is null;

comment on view capi.audience_status is 'Every audience: how many members the platform has acknowledged, how many changes wait for the next sync, and how the last sync ended. No person.';
grant select on capi.audience_status to capi_analyst, capi_admin;
