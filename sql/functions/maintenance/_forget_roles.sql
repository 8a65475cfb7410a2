-- Removes rights of roles that are gone or have another name now; how many.
create or replace function capi._forget_roles() returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    readers bigint;
    callers bigint;
begin
    delete from capi.tenant_reader t
    where not exists (select from pg_roles r where r.oid = t.role_id and r.rolname = t.role);
    get diagnostics readers = row_count;
    delete from capi.emitter_caller c
    where not exists (select from pg_roles r where r.oid = c.role_id and r.rolname = c.role);
    get diagnostics callers = row_count;
    return readers + callers;
end
$$;

comment on function capi._forget_roles is 'Removes rights of roles that are gone or have another name now.';
