create or replace function capi.set_tenant(
    source text,
    tenant text
) returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    n integer;
begin
    perform capi._not_inside();
    if tenant !~ '^[a-z0-9][a-z0-9_.-]{0,62}$' then
        raise exception 'name of a tenant must be 1 to 63 lower-case letters, digits, dots, dashes or underscores'
            using errcode = 'invalid_parameter_value', hint = 'For example shop-a.';
    end if;
    update capi.source s set tenant = set_tenant.tenant
    where s.source in (select x.source from capi._sources_named(source) x);
    get diagnostics n = row_count;
    return n;
end
$$;

comment on function capi.set_tenant is 'Says whose a source is, where several shops share the database; null: nobody''s. Returns the number of sources.';
grant execute on function capi.set_tenant to capi_admin;
