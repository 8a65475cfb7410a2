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
    perform capi._not_inside();
    perform capi._not_own_role(role);
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
    -- Rows of another role that had the name.
    delete from capi.tenant_reader t
    where t.role = grant_tenant.role and t.role_id <> quote_ident(grant_tenant.role)::regrole;
    insert into capi.tenant_reader (role, role_id, tenant) values (role, quote_ident(role)::regrole, tenant)
    on conflict do nothing;
    execute format('grant %s to %I', (select i.tenant_id from capi.installation i), role);
    return format('%s reads what belongs to %s', role, tenant);
end
$$;

comment on function capi.grant_tenant is 'Lets a role read what belongs to one tenant in the views of capi and capi.status(), and nothing else. It must be no analyst: those see all.';
grant execute on function capi.grant_tenant to capi_admin;
