create or replace function capi.audience_record(
    p_sync bigint,
    p_change text,
    p_people uuid[],
    p_invalid bigint,
    p_http_status integer,
    p_request_id text
) returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    s capi.audience_sync;
    n bigint;
begin
    if p_change is null or p_change not in ('add', 'remove') then
        raise exception 'unknown change' using errcode = 'invalid_parameter_value', hint = 'One of add, remove.';
    end if;
    select * into s from capi.audience_sync x where x.sync = p_sync and x.outcome = 'running' for update;
    if not found then
        raise exception 'this sync is over' using errcode = 'object_not_in_prerequisite_state',
            hint = 'Another one has begun, or the audience was dropped.';
    end if;
    if p_change = 'remove' then
        delete from capi.audience_member m
        where m.audience = s.audience and m.person = any (p_people) and m.sync <> s.sync;
    else
        update capi.audience_member m set sent = m.content, offered = false
        where m.audience = s.audience and m.person = any (p_people) and m.sync = s.sync;
    end if;
    get diagnostics n = row_count;
    update capi.audience_sync x
    set requests = x.requests + 1, http_status = p_http_status, request_id = p_request_id,
        -- Whether the platform counts by request or by session is not known.
        invalid = greatest(x.invalid, p_invalid),
        added = x.added + case p_change when 'add' then n else 0 end,
        removed = x.removed + case p_change when 'remove' then n else 0 end
    where x.sync = p_sync;
    return n;
end
$$;

comment on function capi.audience_record is 'For capi audience sync: writes down what the platform has acknowledged; removed members are deleted.';
grant execute on function capi.audience_record to capi_sidecar;
