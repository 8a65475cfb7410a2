-- Everything that reading a view may run or look at, at any depth: relations, functions, operators, types,
-- casts and checks.
create or replace function capi._reaches(
    p_view oid
) returns table (
    classid oid,
    objid oid
)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with recursive below (classid, objid) as (
        select 'pg_class'::regclass::oid, p_view
        union
        select x.classid, x.objid
        from below b
        cross join lateral (
            -- The query of a view.
            select d.refclassid, d.refobjid
            from pg_class c
            join pg_rewrite r on r.ev_class = c.oid
            join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
            where b.classid = 'pg_class'::regclass and c.oid = b.objid and c.relkind = 'v'
            union all
            -- A function of JSON looks for casts of what it is given, at any depth of rows.
            select 'pg_type'::regclass, a.atttypid
            from pg_attribute a
            where b.classid = 'pg_class'::regclass and a.attrelid = b.objid and a.attnum > 0 and not a.attisdropped
            union all
            -- What operators, aggregates, standard SQL bodies and checks call.
            select d.refclassid, d.refobjid
            from pg_depend d
            where b.classid in ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_constraint'::regclass)
                and d.classid = b.classid and d.objid = b.objid
                and d.refclassid in ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_class'::regclass)
            union all
            select p.classid, p.objid
            from pg_type t
            cross join lateral (
                values ('pg_type'::regclass::oid, t.typbasetype), ('pg_type'::regclass, t.typelem), ('pg_class'::regclass, t.typrelid)
                union all
                select 'pg_constraint'::regclass, c.oid from pg_constraint c where c.contypid = t.oid
                union all
                select v.classid, v.objid
                from pg_cast c
                cross join lateral (values ('pg_cast'::regclass::oid, c.oid), ('pg_proc'::regclass, c.castfunc)) v (classid, objid)
                where t.oid in (c.castsource, c.casttarget)
                union all
                select f.classid, f.objid
                from pg_range g
                cross join lateral (values
                    ('pg_type'::regclass::oid, g.rngsubtype), ('pg_proc'::regclass, g.rngcanonical::oid), ('pg_proc'::regclass, g.rngsubdiff::oid)
                ) f (classid, objid)
                where g.rngtypid = t.oid
            ) p (classid, objid)
            -- The types that are built in belong to the cluster's first superuser.
            where b.classid = 'pg_type'::regclass and t.oid = b.objid and t.oid >= 16384
        ) x (classid, objid)
        where x.objid <> 0
    )
    select b.classid, b.objid from below b
$$;

comment on function capi._reaches is 'Everything that reading a view may run or look at, at any depth.';
grant execute on function capi._reaches to capi_admin;
