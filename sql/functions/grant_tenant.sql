create or replace function capi.grant_tenant(
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
    if not exists (select from pg_roles r where r.rolname = role) then
        raise exception 'there is no role "%"', role using errcode = 'undefined_object',
            hint = 'Make it first: create role … login;';
    end if;
    if not exists (select from capi.source s where s.tenant = grant_tenant.tenant) then
        raise exception 'no source belongs to tenant "%"', tenant using errcode = 'undefined_object',
            hint = 'Say whose each source is first: select capi.set_tenant(''shop.orders'', ''shop-a'');';
    end if;
    if capi._sees_all(role::name) then
        raise exception 'role "%" sees every tenant already', role using errcode = 'invalid_role_specification',
            hint = 'It is a superuser, or a member of an analyst''s, administrator''s or the sidecar''s role: revoke that first.';
    end if;
    insert into capi.tenant_reader (role, tenant) values (role, tenant) on conflict do nothing;
    execute format('grant %I to %I', (select i.tenant_role from capi.installation i), role);
    return format('%s reads what belongs to %s', role, tenant);
end
$$;
