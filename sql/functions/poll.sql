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
        coalesce(b.due <= clock_timestamp(), false)
            or f.again or f.fresh and capi._has_unread(d.destination),
        (extract(epoch from b.due - clock_timestamp()) * 1000)::bigint
    from capi.destination d
    left join lateral (
        select min(case x.state when 'ready' then x.due_at else x.lease_until end) as due
        from capi.batch x
        where x.destination = d.destination
    ) b on true
    cross join capi._free(d.destination) f
    where d.state = 'active';
end
$$;
