-- What a conversion view is made of: relations and functions, through views below it.
create or replace function capi._depends(
    p_view oid
) returns table (
    classid oid,
    objid oid
)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with recursive parts (classid, objid) as (
        select 'pg_class'::regclass::oid, p_view
        union
        select d.refclassid, d.refobjid
        from parts p
        join pg_rewrite r on p.classid = 'pg_class'::regclass and r.ev_class = p.objid
        join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
            and d.refclassid in ('pg_class'::regclass, 'pg_proc'::regclass)
    )
    select p.classid, p.objid from parts p
$$;

comment on function capi._depends is 'What a conversion view is made of: relations and functions.';
