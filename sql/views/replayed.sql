create or replace view capi.replayed as
select p.replay, d.name as destination, p.event, y.at, y.by_role, y.note,
    p.status as status_before, p.reason as reason_before, p.attempts as attempts_before,
    p.attempt as attempt_before, p.settled_at as settled_before
from capi.replay_event p
join capi.replay_log y on y.replay = p.replay
join capi.destination d on d.destination = y.destination;

comment on view capi.replayed is 'Every event that was sent again by hand, with the outcome that it had before.';
grant select on capi.replayed to capi_analyst, capi_admin;
