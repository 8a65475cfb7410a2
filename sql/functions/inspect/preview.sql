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
        capi._read(p),
        (select t.typrelid from pg_type t where t.oid = pg_typeof(p)),
        default_country)
$$;

comment on function capi.preview is 'The exact request body that a row of a conversion view would be sent with, before or after tracking; or why it would not be sent.';
grant execute on function capi.preview to capi_admin;
