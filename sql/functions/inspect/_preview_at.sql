-- Builds the request of one row for a named destination; the row comes from the caller, who has
-- read it himself.
create or replace function capi._preview_at(
    p_destination text,
    p_row json,
    p_view oid,
    p_default_country text
) returns jsonb
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select capi._preview(d.name, d.platform, d.settings, p_row,
        capi._source_options(p_view, p_default_country))
    from capi.destination d
    where d.destination = capi._destination_id(p_destination)
$$;

comment on function capi._preview_at is 'Builds the request of one row for a named destination.';
grant execute on function capi._preview_at to capi_admin;
