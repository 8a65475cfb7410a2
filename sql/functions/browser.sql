-- Definer, so that a role of the shop needs no right on the library's functions.
create or replace function capi.browser(
    cookies text,
    url text default null,
    ip text default null,
    user_agent text default null,
    at timestamptz default now()
) returns jsonb
language sql
immutable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
    select capi._browser(cookies, url, ip, user_agent, at)
$$;

create or replace function capi.browser(
    cookies jsonb,
    url text default null,
    ip text default null,
    user_agent text default null,
    at timestamptz default now()
) returns jsonb
language sql
immutable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
    select capi._browser(cookies::text, url, ip, user_agent, at)
$$;
