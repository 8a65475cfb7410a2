-- Foreign tables under a view, at any depth, partitions and children among them.
create or replace function capi._foreign_tables(p_view regclass) returns setof regclass
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with recursive under (relation) as (
        select p_view::oid
        union
        select x.relation
        from under u
        cross join lateral (
            select d.refobjid as relation
            from pg_rewrite r
            join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
                and d.refclassid = 'pg_class'::regclass
            -- A materialised view holds what it has read.
            join pg_class c on c.oid = r.ev_class and c.relkind = 'v'
            where r.ev_class = u.relation
            union all
            select i.inhrelid from pg_inherits i where i.inhparent = u.relation
        ) x
    )
    select t.oid::regclass
    from under u
    join pg_class t on t.oid = u.relation
    where t.relkind = 'f'
    order by t.oid::regclass::text
$$;

comment on function capi._foreign_tables is 'Foreign tables under a view, for whose host an order waits.';
grant execute on function capi._foreign_tables to capi_admin;
