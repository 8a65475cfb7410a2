create or replace function capi.unblock(
    p_destination integer,
    p_version integer,
    p_reason text
) returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if not capi._may_send() then
        return false;
    end if;
    -- Only out of the block that the sidecar has looked at: somebody may have paused it since, or it
    -- may be blocked anew.
    perform from capi.destination d
    where d.destination = p_destination and d.state = 'blocked' and d.version = p_version
    for update;
    if not found then
        return false;
    end if;
    perform capi._set_state(p_destination, 'active'::text, null::text);
    update capi.destination_version v set reason = p_reason
    where v.destination = p_destination and v.version = p_version + 1;
    update capi.batch b set due_at = clock_timestamp()
    where b.destination = p_destination and b.state = 'ready' and b.due_at > clock_timestamp();
    notify capi;
    return true;
end
$$;

comment on function capi.unblock is 'For the sidecar: sends to a blocked destination again, because its credential has changed. False unless it is still in the block of that version.';
grant execute on function capi.unblock to capi_sidecar;
