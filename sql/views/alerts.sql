create or replace view capi.alerts as
select a.alert, a.kind, a.subject, a.step, a.detail, a.raised_at, a.changed_at, a.cleared_at,
    a.told_at, a.recovery_told_at
from capi.alert a;
