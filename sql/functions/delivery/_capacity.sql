-- Whether a destination may open another batch, of unread events (fresh) or of a replay (again), and when
-- the next of its open ones is due.
--
-- Few open batches: an outage grows no queue. Those that the platform has accepted are out of its way
-- and have a bound of their own; a replay gets a quarter.
create or replace function capi._capacity(
    p_destination integer,
    out fresh boolean,
    out again boolean,
    out due timestamptz
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
begin
    select b.waiting < 16 and b.accepted < 256,
        b.waiting < 16 and b.accepted < 256 and b.replayed < 4 and exists (
            select from capi.replay_log y where y.destination = p_destination and y.finished_at is null
        ),
        b.due
    into fresh, again, due
    from (
        select count(*) filter (where x.ticket is null) as waiting,
            count(*) filter (where x.ticket is not null) as accepted,
            count(*) filter (where x.ticket is null and x.replay is not null) as replayed,
            min(case x.state when 'ready' then x.due_at else x.lease_until end) as due
        from capi.batch x
        -- Not from the beginning: there lie the dead rows, as long as a snapshot is held anywhere. By
        -- both columns at once, which is where the index then starts.
        where (x.destination, x.batch) >= (p_destination, (
                select c.first_batch from capi.cursor c where c.destination = p_destination
                order by c.step desc limit 1
            ))
            and x.destination <= p_destination
    ) b;
end
$$;

comment on function capi._capacity is 'Whether a destination may open another batch, of unread events or of a replay, and when the next open one is due.';
