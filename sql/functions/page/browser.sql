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

comment on function capi.browser(text, text, text, text, timestamptz) is 'Makes the browser object of conversion views of a web request: its Cookie header (or JSON of names and values), full address, client''s IP address (or X-Forwarded-For) and user agent. What is not well-formed is left out.';
comment on function capi.browser(jsonb, text, text, text, timestamptz) is 'The same from an object of cookie names and values.';
grant execute on function capi.browser(text, text, text, text, timestamptz) to capi_admin;
grant execute on function capi.browser(jsonb, text, text, text, timestamptz) to capi_admin;
