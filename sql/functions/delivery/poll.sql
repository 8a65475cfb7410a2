create or replace function capi.poll() returns table (
    destination integer,
    version integer,
    work boolean,
    due_in_ms bigint
)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
begin
    if not capi._may_send() then
        return;
    end if;
    return query
    select d.destination, d.version,
        coalesce(f.due <= clock_timestamp(), false)
            or f.again or f.fresh and capi._has_unread(d.destination),
        (extract(epoch from f.due - clock_timestamp()) * 1000)::bigint
    from capi.destination d
    cross join capi._capacity(d.destination) f
    where d.state = 'active';
end
$$;

comment on function capi.poll is 'For the sidecar: active destinations, whether there is something to claim, and when the next retry is due in milliseconds. Read only.';
grant execute on function capi.poll to capi_sidecar;
