create or replace view capi.alerts as
select a.alert, a.kind, a.subject, a.step, a.detail, a.raised_at, a.changed_at, a.cleared_at,
    a.told_at, a.recovery_told_at
from capi.alert a;

comment on view capi.alerts is 'What somebody should look at: raised, changed and cleared when, and since when the receiver of alerts knows. No person.';
grant select on capi.alerts to capi_analyst, capi_admin;
