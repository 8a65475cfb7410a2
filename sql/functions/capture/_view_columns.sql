-- Columns of a view or table with their types.
create or replace function capi._view_columns(
    p_view regclass
) returns table (
    name text,
    type_oid oid,
    type text
)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select a.attname::text, a.atttypid, format_type(a.atttypid, null)
    from pg_attribute a
    where a.attrelid = p_view and a.attnum > 0 and not a.attisdropped
    order by a.attnum
$$;

comment on function capi._view_columns is 'Columns of a view or table with their types.';
grant execute on function capi._view_columns to capi_admin;
