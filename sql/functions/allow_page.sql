create or replace function capi.allow_page(
    role name
) returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('grant usage on schema capi to %I', role);
    execute format('grant execute on function capi.event_id(anyelement), capi.event_id(text, text[]),
        capi.pixel_snippet(text, anyelement, boolean, text, text, text, interval, text),
        capi._pixel_at(text, jsonb, oid, jsonb, text),
        capi.browser(text, text, text, text, timestamptz), capi.browser(jsonb, text, text, text, timestamptz),
        capi.beacon(text) to %I', role);
end
$$;
