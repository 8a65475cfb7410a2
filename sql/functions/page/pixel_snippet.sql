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
        capi._read(p),
        capi._event_of(p),
        (select t.typrelid from pg_type t where t.oid = pg_typeof(p)),
        jsonb_build_object('base', base, 'nonce', nonce, 'beacon', beacon, 'loader', loader,
            'within', extract(epoch from within)),
        default_country)
$$;

comment on function capi.pixel_snippet is 'HTML for the page of a row of a conversion view: fires in the browser the event that the destination''s server event is, with the same id, amount, contents and digests. base => false where the page has the vendor''s base code. A comment that says why where nothing is to be fired, such as without consent or for an event older than within.';
grant execute on function capi.pixel_snippet to capi_admin;
