create or replace view capi.replays as
select y.replay, d.name as destination, y.at, y.by_role, y.note, y.asked, y.taken, y.left_out,
    y.dropped, y.finished_at
from capi.replay_log y
join capi.destination d on d.destination = y.destination;

comment on view capi.replays is 'Every replay: destination, who, when, why, how many events were named, taken, and left out for which reason.';
grant select on capi.replays to capi_analyst, capi_admin;
