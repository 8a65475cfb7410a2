-- Refuses a role of the installation itself, whose rights capi.setup() sets: what is revoked from the
-- owner, its own functions lack.
create or replace function capi._not_own_role(
    p_role text
) returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (
        select from capi.installation i, pg_roles r
        where r.rolname = p_role
            and r.oid in (i.owner_id, i.sidecar_id, i.analyst_id, i.admin_id, i.emitter_id, i.tenant_id)
    ) then
        raise exception 'role "%" is one of pg_capi''s own', p_role using errcode = 'invalid_role_specification',
            hint = 'capi.setup() sets its rights. Name a role of the application.';
    end if;
end
$$;

comment on function capi._not_own_role is 'Refuses a role of the installation itself.';
