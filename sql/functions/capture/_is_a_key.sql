-- Whether a column of a view has the name of a primary key column of a table that the view reads.
create or replace function capi._is_a_key(
    p_view regclass,
    p_column text
) returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from pg_rewrite r
        join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
            and d.refclassid = 'pg_class'::regclass
        where r.ev_class = p_view and p_column = any (capi._key_columns(d.refobjid))
    )
$$;

comment on function capi._is_a_key is 'Whether a view''s column is named like a primary key column of a table that it reads.';
grant execute on function capi._is_a_key to capi_admin;
