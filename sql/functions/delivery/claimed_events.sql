-- In the language SQL, which hands on a piece before it asks for the next.
create or replace function capi.claimed_events(
    p_batch bigint,
    p_token uuid,
    p_room integer
) returns setof bytea
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
    select capi._pack_batch(b.events, b.captured_from, b.captured_to, p_room)
    from capi.batch b
    where b.batch = p_batch and b.token = p_token
$$;

comment on function capi.claimed_events is 'For the sidecar: the events of a batch that it leases, as pieces of what capi._pack_batch makes of them; none when the lease is lost.';
grant execute on function capi.claimed_events to capi_sidecar;
