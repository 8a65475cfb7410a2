-- Functions in SQL or a procedural language that reading a view may run, and that can find the temporary
-- objects of whoever's session it is: their search_path is not pinned, or does not name pg_temp, which is
-- then looked into first.
create or replace function capi._unpinned_functions(
    p_view regclass
) returns setof regprocedure
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select distinct p.oid::regprocedure
    from capi._reaches(p_view::oid) r
    join pg_proc p on r.classid = 'pg_proc'::regclass and p.oid = r.objid
    join pg_language l on l.oid = p.prolang and l.lanname not in ('internal', 'c')
    where not exists (
            select from unnest(p.proconfig) o where o ~ '^search_path=(.*,)?[ ]*"?pg_temp"?[ ]*$'
        )
        -- A standard SQL body has its names resolved already.
        and p.prosqlbody is null
$$;

comment on function capi._unpinned_functions is 'Functions that reading a view may run and that can find a session''s temporary objects.';
grant execute on function capi._unpinned_functions to capi_admin;
