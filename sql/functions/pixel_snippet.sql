create or replace function capi.pixel_snippet(
    destination text,
    p anyelement,
    base boolean default true,
    nonce text default null,
    beacon text default null,
    loader text default null,
    within interval default '1 day',
    default_country text default null
) returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select capi._pixel_at(
        destination,
        to_jsonb(p),
        (select t.typrelid from pg_type t where t.oid = pg_typeof(p)),
        jsonb_build_object('base', base, 'nonce', nonce, 'beacon', beacon, 'loader', loader,
            'within', extract(epoch from within)),
        default_country)
$$;
