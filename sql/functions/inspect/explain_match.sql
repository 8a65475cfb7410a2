create or replace function capi.explain_match(
    p anyelement,
    platform text default 'meta',
    default_country text default null
) returns table (
    field text,
    status text,
    values_used integer,
    reason text,
    advice text
)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select x.field, x.status, x.values_used, x.reason, x.advice
    from capi._explain_match(
        platform,
        capi._read(p),
        capi._source_options(
            (select t.typrelid from pg_type t where t.oid = pg_typeof(p)),
            default_country)) x
$$;

comment on function capi.explain_match is 'What becomes of each identifier of a row of a conversion view on a platform: used, dropped and why, or missing. The line without a field tells of the event as a whole.';
grant execute on function capi.explain_match to capi_analyst, capi_admin;
