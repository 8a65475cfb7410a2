-- The event trigger: notes when something changes that a tracked source is made of, and writes down
-- the view's new definition. Whatever goes wrong here must not stop somebody's migration.
create or replace function capi._ddl() returns event_trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s'
as $$
declare
    changed record;
begin
    if tg_event = 'sql_drop' then
        update capi.source s
        set stale_since = coalesce(s.stale_since, clock_timestamp()), stale_reason = 'dropped: ' || o.object_identity
        from pg_event_trigger_dropped_objects() o
        where o.classid = 'pg_class'::regclass and o.objsubid = 0 and o.objid in (s.relation, s.conversions) and s.tracked;
        return;
    end if;
    for changed in
        select s.source, min(lower(c.command_tag) || ' ' || c.object_identity) as what
        from capi.source s
        cross join lateral (
            select d.classid, d.objid from capi._depends(s.conversions) d
            union
            select 'pg_class'::regclass, s.relation
        ) part
        join pg_event_trigger_ddl_commands() c on c.classid = part.classid and c.objid = part.objid
        where s.tracked
        group by s.source
        order by s.source
    loop
        perform capi._stale(changed.source, changed.what);
    end loop;
exception
    when others then
        raise warning 'capi: a change of the schema could not be noted (SQLSTATE %)', sqlstate
            using hint = 'select * from capi.revalidate(); looks at every source.';
end
$$;
