create or replace function capi.untrack(
    source regclass,
    conversions regclass default null
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
    if not pg_has_role(session_user, (select c.relowner from pg_class c where c.oid = source), 'member') then
        raise exception 'must be owner of table %', source using errcode = 'insufficient_privilege',
            hint = 'Whose orders they are decides what becomes of them.';
    end if;
    update capi.source s set tracked = false
    where s.relation = source and s.tracked and (conversions is null or s.conversions = conversions);
    get diagnostics n = row_count;
    if n = 0 then
        raise exception '% is not tracked', source using errcode = 'undefined_object',
            hint = 'select * from capi.sources; lists what is.';
    end if;
    perform capi._forget_plans();
    return n;
end
$$;
