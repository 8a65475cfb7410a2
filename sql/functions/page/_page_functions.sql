-- What a role needs that makes pages, as GRANT takes it.
create or replace function capi._page_functions() returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select 'capi._read(anyelement), capi._event_of(anyelement), capi.event_id(anyelement), capi.event_id(text, text[]),
        capi.pixel_snippet(text, anyelement, boolean, text, text, text, interval, text),
        capi._pixel_at(text, json, jsonb, oid, jsonb, text, text), capi._who(),
        capi.browser(text, text, text, text, timestamptz), capi.browser(jsonb, text, text, text, timestamptz),
        capi.beacon(text)'
$$;

comment on function capi._page_functions is 'What a role needs that makes pages.';
