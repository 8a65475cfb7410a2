-- Whether a role may look at the sources of every tenant, and of none.
create or replace function capi._sees_all(
    p_role name
) returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select bool_or(pg_has_role(p_role, r.name::name, 'usage'))
    from capi.installation i
    cross join unnest(array[i.owner_role, i.analyst_role, i.admin_role, i.sidecar_role]) r (name)
$$;
