create or replace function capi.untrack(
    source text,
    conversions regclass default null,
    caller text default capi._who()
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
    -- Of an emitter nobody but the administrators is the owner.
    if exists (
        select from capi._sources_named(source) s join pg_class c on c.oid = s.relation
        where not pg_has_role(capi._whose(caller), c.relowner, 'member')
    ) then
        raise exception 'must be owner of the table' using errcode = 'insufficient_privilege',
            hint = 'Whose orders they are decides what becomes of them.';
    end if;
    update capi.source s set tracked = false
    where s.source in (select x.source from capi._sources_named(source) x) and s.tracked and (conversions is null or s.conversions = conversions);
    get diagnostics n = row_count;
    if n = 0 then
        raise exception 'this source is not tracked' using errcode = 'undefined_object',
            hint = 'select * from capi.sources; lists what is.';
    end if;
    perform capi._forget_plans();
    return n;
end
$$;

comment on function capi.untrack is 'Stops capturing a source, without a lock; history stays, capi.track goes on with it. Returns the number of views concerned.';
grant execute on function capi.untrack to capi_admin;
