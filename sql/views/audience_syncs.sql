create or replace view capi.audience_syncs as
select s.sync, a.name as audience, d.name as destination, s.started_at, s.finished_at, s.outcome, s.reason,
    s.rows, s.people, s.withheld, s.to_add, s.to_remove, s.added, s.removed, s.invalid, s.requests,
    s.http_status, s.request_id, s.by_role, s.worker
from capi.audience_sync s
join capi.audience a on a.audience = s.audience
join capi.destination d on d.destination = a.destination;

comment on view capi.audience_syncs is 'Every sync of an audience: rows read, people, withheld ones by reason, added, removed, what the platform called invalid, and its last answer. No person.';
grant select on capi.audience_syncs to capi_analyst, capi_admin;
