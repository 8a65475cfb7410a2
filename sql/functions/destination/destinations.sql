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

comment on function capi.destinations is 'For the sidecar: destinations with settings and the name of their credential.';
grant execute on function capi.destinations to capi_sidecar, capi_admin;
