create or replace function capi.replay_candidates(
    destination text,
    status text,
    reason text default null,
    since timestamptz default '-infinity',
    until timestamptz default 'infinity'
) returns setof bigint
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    id integer := capi._destination_id(destination);
begin
    if not status = any (enum_range(null::capi.receipt_status)::text[]) then
        raise exception 'status must be a final one' using errcode = 'invalid_parameter_value',
            hint = 'One of ' || array_to_string(enum_range(null::capi.receipt_status), ', ') || '.';
    end if;
    return query
    select r.event from capi.receipt r
    where r.destination = id and r.status = status::capi.receipt_status
        and (replay_candidates.reason is null or r.reason = replay_candidates.reason)
        and r.captured_at >= since and r.captured_at < until
    order by r.event;
end
$$;

comment on function capi.replay_candidates is 'Events of a destination by final status, reason and time of capture, for capi.replay.';
grant execute on function capi.replay_candidates to capi_admin;
