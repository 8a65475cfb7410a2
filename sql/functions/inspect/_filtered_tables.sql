-- Tables under a view, at any depth, whose row-level security applies to the role that reads them.
create or replace function capi._filtered_tables(
    p_view regclass,
    p_reader oid
) returns setof regclass
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with recursive under (relation, reader) as (
        select p_view::oid, p_reader
        union
        -- A view reads as its owner, unless it is a security_invoker view.
        select d.refobjid,
            case when c.relkind = 'v' and not coalesce((
                    select o.option_value::boolean from pg_options_to_table(c.reloptions) o
                    where o.option_name = 'security_invoker'), false)
                then c.relowner else u.reader end
        from under u
        join pg_class c on c.oid = u.relation
        join pg_rewrite r on r.ev_class = u.relation
        join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
            and d.refclassid = 'pg_class'::regclass and d.refobjid <> u.relation
        where c.relkind = 'v'
    )
    select distinct t.oid::regclass
    from under u
    join pg_class t on t.oid = u.relation and t.relkind in ('r', 'p')
    join pg_roles reader on reader.oid = u.reader
    where t.relrowsecurity
        and not reader.rolsuper and not reader.rolbypassrls
        and (t.relforcerowsecurity or not pg_has_role(u.reader, t.relowner, 'usage'))
$$;

comment on function capi._filtered_tables is 'Tables under a view whose row-level security applies to the role that reads them.';
grant execute on function capi._filtered_tables to capi_admin;
