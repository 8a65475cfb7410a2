create or replace function capi.revoke_tenant(
    role text,
    tenant text
) returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
    perform capi._not_inside();
    perform capi._not_own_role(role);
    delete from capi.tenant_reader t where t.role = revoke_tenant.role and t.tenant = revoke_tenant.tenant;
    if not found then
        raise exception 'role "%" does not read tenant "%"', role, tenant using errcode = 'undefined_object',
            hint = 'table capi.tenant_reader; lists who reads what.';
    end if;
    -- A role that is gone has no rights to lose.
    if not exists (select from capi.tenant_reader t where t.role = revoke_tenant.role)
        and exists (select from pg_roles r where r.rolname = role)
    then
        execute format('revoke %s from %I', (select i.tenant_id from capi.installation i), role);
    end if;
    return format('%s does not read what belongs to %s any more', role, tenant);
end
$$;

comment on function capi.revoke_tenant is 'Takes that back.';
grant execute on function capi.revoke_tenant to capi_admin;
