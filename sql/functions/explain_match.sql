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
        to_jsonb(p),
        capi._source_options(
            (select t.typrelid from pg_type t where t.oid = pg_typeof(p)),
            default_country)) x
$$;
