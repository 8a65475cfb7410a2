create or replace function capi.destinations() returns table (
    destination integer,
    name text,
    platform text,
    settings jsonb,
    credential text,
    state text,
    pause_reason text,
    version integer
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select d.destination, d.name, d.platform, d.settings, d.credential, d.state, d.pause_reason, d.version
    from capi.destination d
    where d.state <> 'dropped'
    order by d.name
$$;
