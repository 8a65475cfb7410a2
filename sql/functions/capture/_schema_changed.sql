-- Notes when something changes that a tracked source is made of, and writes down the view's new
-- definition. Called as the owner by capi._ddl, the function of the event triggers.
create or replace function capi._schema_changed(
    p_event text
) returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    changed record;
begin
    if p_event = 'sql_drop' then
        -- Postgres forgets the event of a trigger that is dropped; what it has noted is captured.
        perform capi._orphan(substring(o.address_names[3] from '[0-9]+')::integer, c.oid)
        from pg_event_trigger_dropped_objects() o
        join pg_namespace n on n.nspname = o.address_names[1]
        join pg_class c on c.relnamespace = n.oid and c.relname = o.address_names[2]
        where o.classid = 'pg_trigger'::regclass and o.address_names[3] ~ '^capi_[0-9]{1,9}_(insert|update)$';
        update capi.source s
        set stale_since = coalesce(s.stale_since, clock_timestamp()), stale_reason = 'dropped: ' || o.object_identity
        from pg_event_trigger_dropped_objects() o
        where o.classid = 'pg_class'::regclass and o.objsubid = 0 and o.objid in (s.relation, s.conversions) and s.tracked;
        return;
    end if;
    for changed in
        -- Not lower(): the letters of a command's name follow no language.
        select s.source, min(translate(c.command_tag, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')
            || ' ' || c.object_identity) as what
        from capi.source s
        cross join lateral (
            with reached as materialized (
                select d.classid, d.objid from capi._reaches(s.conversions::oid) d
                union
                select 'pg_class'::regclass, s.relation
            )
            select d.classid, d.objid from reached d
            union
            -- The schemas of all that: a function may name them.
            select 'pg_namespace'::regclass, coalesce(r.relnamespace, p.pronamespace, t.typnamespace)
            from reached o
            left join pg_class r on o.classid = 'pg_class'::regclass and r.oid = o.objid
            left join pg_proc p on o.classid = 'pg_proc'::regclass and p.oid = o.objid
            left join pg_type t on o.classid = 'pg_type'::regclass and t.oid = o.objid
            union
            -- A trigger that may change columns which on_columns does not name.
            select 'pg_trigger'::regclass, g.oid
            from pg_trigger g
            where s.options ? 'on_columns' and g.tgtype & 2 = 2
                and g.tgrelid in (
                    with recursive tree (relation) as (
                        select s.relation::oid
                        union
                        select i.inhrelid from pg_inherits i join tree t on t.relation = i.inhparent
                    )
                    select t.relation from tree t
                )
        ) part
        join pg_event_trigger_ddl_commands() c on c.classid = part.classid and c.objid = part.objid
        where s.tracked
        group by s.source
        order by s.source
    loop
        perform capi._mark_stale(changed.source, changed.what);
    end loop;
end
$$;

comment on function capi._schema_changed is 'Notes what an event trigger saw, as the owner.';
