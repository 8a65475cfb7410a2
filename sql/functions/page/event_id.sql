create or replace function capi.event_id(
    p anyelement
) returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    -- What capture would not take is no id.
    select capi._event_of(p) ->> 'event_id'
$$;

-- For shops that have no id yet: the same parts give the same id, on the page and in the view. The
-- length before each part keeps ('a', 'bc') from ('ab', 'c').
create or replace function capi.event_id(
    event_name text,
    variadic key text[]
) returns text
language sql
immutable
strict
parallel safe
set search_path = pg_catalog, pg_temp
as $$
    -- Version 8 of RFC 9562: a UUID of the maker's own. Null where a part is null.
    select overlay(overlay(x.hex placing '8' from 13) placing '8' from 17)::uuid::text
    from (
        select left(encode(sha256(convert_to(string_agg(
            octet_length(k.part) || ':' || k.part, '' order by k.n), 'UTF8')), 'hex'), 32)
        from unnest(array[event_name] || key) with ordinality k (part, n)
        having bool_and(k.part is not null)
    ) x (hex)
$$;

comment on function capi.event_id(anyelement) is 'The event id that the server''s event of a row of a conversion view has, for the page; null where capture would not take it.';
comment on function capi.event_id(text, text[]) is 'Makes an event id of an event''s name and a key, for shops that have none: the same parts give the same id. Null where a part is null.';
grant execute on function capi.event_id(anyelement) to capi_admin;
grant execute on function capi.event_id(text, text[]) to capi_admin;
