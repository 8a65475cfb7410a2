create or replace function capi.claimed_events(
    p_batch bigint,
    p_token uuid
) returns table (
    id bigint,
    packed bytea
)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
as $$
#variable_conflict use_column
declare
    b capi.batch;
    low bigint;
    high bigint;
begin
    select * into b from capi.batch x where x.batch = p_batch and x.token = p_token;
    if not found then
        return;
    end if;
    select min(e.event), max(e.event) into low, high from unnest(b.events) e (event);
    if high - low < 2 * cardinality(b.events) then
        -- They lie together, as most do: one walk through the index, and not one search per event.
        return query
        select o.id, capi._pack(o.id, o.event_time, o.event_name, o.event_id, o.action_source, o.value,
            o.currency, o.identity, o.facts)
        from capi.outbox o
        where o.id between low and high
            and o.captured_at between b.captured_from and b.captured_to
            -- As a condition on a subquery it is hashed.
            and (o.id in (select e.event from unnest(b.events) e (event))) is true
        order by o.id;
    else
        return query
        select o.id, capi._pack(o.id, o.event_time, o.event_name, o.event_id, o.action_source, o.value,
            o.currency, o.identity, o.facts)
        from capi.outbox o
        where o.id = any (b.events)
            and o.captured_at between b.captured_from and b.captured_to
        order by o.id;
    end if;
end
$$;
