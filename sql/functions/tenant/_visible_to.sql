-- Sources that a role may look at, as the view capi._visible says of the current user. The sidecar
-- sees all of them.
create or replace function capi._visible_to(
    p_role name
) returns setof integer
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select s.source
    from capi.source s
    where capi._sees_all(p_role)
        or s.tenant in (
            select t.tenant from capi.tenant_reader t
            join pg_roles r on r.rolname = t.role and r.oid = t.role_id
            where pg_has_role(p_role, r.oid, 'usage')
        )
$$;

comment on function capi._visible_to is 'Sources that a role may look at.';
