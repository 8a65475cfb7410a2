create or replace function capi.event_id(
    p anyelement
) returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select x.id
    from (select to_jsonb(p) ->> 'event_id') x (id)
    -- What capture would not take is no id; the rule stands in core/src/capture.rs.
    where btrim(x.id, E' \t\n\r') <> '' and octet_length(x.id) <= 256
        and x.id !~ '[\u0001-\u001f\u007f-\u009f]'
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
