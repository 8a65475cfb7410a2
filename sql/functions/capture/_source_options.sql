-- What the source that is tracked through a view says of its rows; nothing before tracking.
create or replace function capi._source_options(
    p_view oid,
    p_default_country text
) returns jsonb
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(
            (select s.options from capi.source s where s.conversions = p_view order by s.tracked desc limit 1),
            '{}'::jsonb)
        || jsonb_strip_nulls(jsonb_build_object('default_country', p_default_country))
$$;

comment on function capi._source_options is 'What the source that is tracked through a view says of its rows.';
grant execute on function capi._source_options to capi_analyst, capi_admin;
