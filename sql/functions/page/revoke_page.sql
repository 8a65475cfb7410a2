create or replace function capi.revoke_page(
    role name
) returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    id oid := (select r.oid from pg_roles r where r.rolname = role);
begin
    perform capi._not_inside();
    perform capi._not_own_role(role);
    if id is null or not exists (
        select from pg_proc p cross join aclexplode(p.proacl) a
        where p.oid = 'capi.beacon(text)'::regprocedure and a.grantee = id
    ) then
        raise exception 'role "%" makes no pages', role using errcode = 'undefined_object',
            hint = 'capi.allow_page has not been called for it; members of a role lose what that role loses.';
    end if;
    execute format('revoke execute on function %s from %I', capi._page_functions(), role);
    -- The schema stays open to whoever has something else to do in it: as owner of a tracked table, too.
    if not exists (
            select from pg_proc p cross join aclexplode(p.proacl) a
            where p.pronamespace = 'capi'::regnamespace and a.grantee = id
            union all
            select from pg_class c cross join aclexplode(c.relacl) a
            where c.relnamespace = 'capi'::regnamespace and a.grantee = id
            union all
            select from capi.source s join pg_class c on c.oid = s.relation where c.relowner = id
        )
    then
        execute format('revoke usage on schema capi from %I', role);
    end if;
end
$$;

comment on function capi.revoke_page is 'Takes back what capi.allow_page has given to a role.';
grant execute on function capi.revoke_page to capi_admin;
