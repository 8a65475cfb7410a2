create or replace function capi.claimed_events(
    p_batch bigint,
    p_token uuid
) returns table (
    id bigint,
    event_name text,
    event_id text,
    event_time_us bigint,
    captured_at_us bigint,
    action_source text,
    value text,
    currency text,
    identity jsonb,
    facts jsonb
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
begin
    select * into b from capi.batch x where x.batch = p_batch and x.token = p_token;
    if not found then
        return;
    end if;
    return query
    select o.id, o.event_name, o.event_id,
        (extract(epoch from o.event_time) * 1000000)::bigint,
        (extract(epoch from o.captured_at) * 1000000)::bigint,
        o.action_source, o.value::text, o.currency, o.identity, o.facts
    from capi.outbox o
    where o.id = any (b.events)
        and o.captured_at between b.captured_from and b.captured_to
    order by o.id;
end
$$;
