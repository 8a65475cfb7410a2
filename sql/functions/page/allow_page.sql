create or replace function capi.allow_page(
    role name
) returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
    perform capi._not_inside();
    perform capi._not_own_role(role);
    -- Quoted or not, GRANT takes public for everybody.
    if role = 'public' then
        raise exception 'public is everybody, and no role' using errcode = 'invalid_role_specification',
            hint = 'Name the role that the web server connects as.';
    end if;
    if not exists (select from pg_roles r where r.rolname = role) then
        raise exception 'there is no role "%"', role using errcode = 'undefined_object',
            hint = 'Name the role that the web server connects as.';
    end if;
    execute format('grant usage on schema capi to %I', role);
    execute format('grant execute on function %s to %I', capi._page_functions(), role);
end
$$;

comment on function capi.allow_page is 'Lets a role of the shop call what pages need: capi.event_id, capi.pixel_snippet, capi.browser, capi.beacon. It can read nothing of capi by them but the ids of tags.';
grant execute on function capi.allow_page to capi_admin;
