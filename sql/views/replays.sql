create or replace view capi.replays as
select y.replay, d.name as destination, y.at, y.by_role, y.note, y.asked, y.taken, y.left_out,
    y.dropped, y.finished_at
from capi.replay_log y
join capi.destination d on d.destination = y.destination;
