-- The mark by which capi.beacon knows a report of a page that this database has made. Hashed twice,
-- so that nobody can prolong a text and its mark.
create or replace function capi._pixel_mac(
    p_destination integer,
    p_event_name text,
    p_event_id text
) returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select left(encode(sha256(i.salt || sha256(i.salt || convert_to(
        jsonb_build_array('beacon', p_destination, p_event_name, p_event_id)::text, 'UTF8'))), 'hex'), 32)
    from capi.installation i
$$;

comment on function capi._pixel_mac is 'The mark by which a page''s report is known again.';
