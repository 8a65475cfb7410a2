-- Whether consent refuses an event to a destination: by its name or its platform's, or by * unless
-- an exception names it.
create or replace function capi._refuses(
    p_refused text[],
    p_platform text,
    p_destination text
) returns boolean
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select p_refused && array[p_platform, p_destination]
        or '*' = any (p_refused) and not p_refused && array['!' || p_platform, '!' || p_destination]
$$;

comment on function capi._refuses is 'Whether consent refuses an event to a destination.';
grant execute on function capi._refuses to capi_tenant, capi_analyst, capi_admin;
