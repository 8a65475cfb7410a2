-- Takes the next events of a destination's oldest open replay; no row when there are none. What cannot
-- be sent any more keeps the outcome that it has.
create or replace function capi._carve_replay(
    p_destination integer,
    p_limit integer
) returns table (
    events bigint[],
    captured_from timestamptz,
    captured_to timestamptz,
    replay bigint
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    y capi.replay_log;
    named bigint[];
    oldest timestamptz;
    newest timestamptz;
    ids bigint[];
begin
    loop
        select * into y from capi.replay_log x
        where x.destination = p_destination and x.finished_at is null
        order by x.replay
        limit 1
        for update skip locked;
        if not found then
            return;
        end if;
        select array_agg(n.event order by n.event), min(n.captured_at), max(n.captured_at)
        into named, oldest, newest
        from (
            select p.event, p.captured_at from capi.replay_event p
            where p.replay = y.replay and p.event > y.last_event
            order by p.event
            limit p_limit
        ) n;
        if named is null then
            update capi.replay_log x set finished_at = clock_timestamp() where x.replay = y.replay;
            continue;
        end if;
        ids := array(
            select o.id
            from capi.outbox o
            join capi.destination d on d.destination = p_destination
            where o.id = any (named) and o.captured_at between oldest and newest
                -- As capi._replay_bar, written out: a call per event costs more than all the rest.
                and not exists (
                    select from capi.withdrawal w
                    where w.source = o.source and w.key = o.key and w.at >= o.captured_at
                        and capi._refuses(w.refused, d.platform, d.name)
                )
                and not (o.refused <> '{}' and capi._refuses(o.refused, d.platform, d.name))
                and capi._fate(d.platform, o.event_name, o.action_source, o.event_time, clock_timestamp())
                    is distinct from 'expired'
            order by o.id
        );
        update capi.replay_log x
        set last_event = named[cardinality(named)],
            dropped = x.dropped + cardinality(named) - cardinality(ids),
            finished_at = case when cardinality(named) < p_limit then clock_timestamp() end
        where x.replay = y.replay;
        if cardinality(ids) > 0 then
            return query select ids, oldest, newest, y.replay;
            return;
        end if;
    end loop;
end
$$;

comment on function capi._carve_replay is 'Takes the next events of a destination''s oldest open replay.';
