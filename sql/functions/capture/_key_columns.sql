-- Names of the primary key's columns in key order; null when there is no primary key. Columns that its
-- index only includes are no part of it.
create or replace function capi._key_columns(
    p_table regclass
) returns text[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select array_agg(a.attname::text order by k.n)
    from pg_index i
    cross join unnest(i.indkey::smallint[]) with ordinality k (attnum, n)
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
    where i.indrelid = p_table and i.indisprimary and k.n <= i.indnkeyatts
$$;

comment on function capi._key_columns is 'Names of the primary key''s columns.';
grant execute on function capi._key_columns to capi_admin;
