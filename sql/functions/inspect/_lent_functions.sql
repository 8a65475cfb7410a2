-- Functions that reading a view may run with the rights of its owner, and that somebody else can change.
create or replace function capi._lent_functions(
    p_view regclass
) returns table (
    problem text,
    hint text
)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with reader as (
        select c.relowner as oid from pg_class c where c.oid = p_view
    )
    select format('function %s belongs to %s, neither the owner of the view nor a superuser', p.oid::regprocedure, p.proowner::regrole),
        format('It runs with the rights of %s: alter %s %s owner to %s;', reader.oid::regrole,
            case p.prokind when 'a' then 'aggregate' else 'function' end, p.oid::regprocedure, reader.oid::regrole)
    from reader
    cross join capi._reaches(p_view::oid) b
    join pg_proc p on b.classid = 'pg_proc'::regclass and p.oid = b.objid
    join pg_roles r on r.oid = p.proowner
    where p.proowner <> reader.oid and not r.rolsuper
        -- capi.event_id and the like are ours.
        and p.proowner <> (select n.nspowner from pg_namespace n where n.nspname = 'capi')
$$;

comment on function capi._lent_functions is 'Functions that reading a view may run with its owner''s rights, and that somebody else can change.';
grant execute on function capi._lent_functions to capi_admin;
