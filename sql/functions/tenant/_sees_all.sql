-- Whether a role may look at the sources of every tenant, and of none.
create or replace function capi._sees_all(
    p_role name
) returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(bool_or(pg_has_role(p_role, r.oid, 'usage')), false)
    from capi.installation i
    cross join lateral (values
        (i.owner_role, i.owner_id), (i.analyst_role, i.analyst_id), (i.admin_role, i.admin_id), (i.sidecar_role, i.sidecar_id)
    ) x (name, id)
    join pg_roles r on r.oid = x.id and r.rolname = x.name
$$;

comment on function capi._sees_all is 'Whether a role may look at the sources of every tenant.';
