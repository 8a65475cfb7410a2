-- Changes the state of a destination and keeps the change. One that was dropped meanwhile stays dropped.
create or replace function capi._set_state(
    p_destination integer,
    p_state text,
    p_reason text
) returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    with changed as (
        update capi.destination d
        set state = p_state, pause_reason = p_reason, version = version + 1,
            changed_at = clock_timestamp()
        where d.destination = p_destination and d.state <> 'dropped'
        returning *
    )
    insert into capi.destination_version (destination, version, settings, credential, state, reason)
    select destination, version, settings, credential, state, pause_reason from changed;
    if not found then
        raise exception 'this destination was dropped' using errcode = 'undefined_object',
            hint = 'capi.destinations() lists those that are there.';
    end if;
end
$$;

comment on function capi._set_state is 'Changes the state of a destination and keeps the change.';
