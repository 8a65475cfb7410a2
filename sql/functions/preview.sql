create or replace function capi.preview(
    destination text,
    p anyelement,
    default_country text default null
) returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select capi._preview_at(
        destination,
        to_jsonb(p),
        (select t.typrelid from pg_type t where t.oid = pg_typeof(p)),
        default_country)
$$;
