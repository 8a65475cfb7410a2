-- What of a view lends more rights than its readers should get: it is read as its owner, and so
-- runs every function, operator, cast and check below it.
create or replace function capi._lent_rights(
    p_view regclass
) returns table (
    problem text,
    hint text
)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select format('%s belongs to %s, which is a superuser or has rights like one', c.oid::regclass, c.relowner::regrole),
        format('What the view calls would run with these rights: alter view %s owner to a role without them that may read '
            'the tables. Only where nobody else can change what it calls, a superuser may set capi.superuser_views.', c.oid::regclass)
    from capi._reaches(p_view::oid) b
    join pg_class c on b.classid = 'pg_class'::regclass and c.oid = b.objid and (c.oid = p_view or c.relkind = 'v')
    join pg_roles r on r.oid = c.relowner
    where (
            r.rolsuper or r.rolbypassrls or r.rolcreaterole
            or exists (
                select from pg_roles m
                where m.rolname in ('pg_execute_server_program', 'pg_write_server_files', 'pg_read_server_files')
                    and pg_has_role(r.oid, m.oid, 'usage')
            )
            or pg_has_role(r.oid, (select n.nspowner from pg_namespace n where n.nspname = 'capi'), 'usage')
        )
        -- Not current_setting: before the library is loaded anybody may set what he likes.
        and not capi._superuser_views()
    union all
    select l.problem, l.hint from capi._lent_functions(p_view) l
$$;

comment on function capi._lent_rights is 'What of a view lends more rights than its readers should get.';
grant execute on function capi._lent_rights to capi_admin;
