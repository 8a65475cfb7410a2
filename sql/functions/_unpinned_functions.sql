-- Functions in SQL or a procedural language under a view, at any depth of views, that do not pin
-- their search_path.
create or replace function capi._unpinned_functions(
    p_view regclass
) returns setof regprocedure
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with recursive views (relation) as (
        select p_view::oid
        union
        select c.oid
        from views v
        join pg_rewrite r on r.ev_class = v.relation
        join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
            and d.refclassid = 'pg_class'::regclass
        join pg_class c on c.oid = d.refobjid and c.relkind = 'v'
    )
    select distinct p.oid::regprocedure
    from views v
    join pg_rewrite r on r.ev_class = v.relation
    join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
        and d.refclassid = 'pg_proc'::regclass
    join pg_proc p on p.oid = d.refobjid
    join pg_language l on l.oid = p.prolang and l.lanname not in ('internal', 'c')
    where not exists (select from unnest(p.proconfig) o where o like 'search_path=%')
        -- A standard SQL body has its names resolved already.
        and p.prosqlbody is null
$$;
