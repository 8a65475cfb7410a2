-- Builds the snippet of one row for a named destination; the row comes from the caller, who has
-- read it himself.
create or replace function capi._pixel_at(
    p_destination text,
    p_row jsonb,
    p_view oid,
    p_page jsonb,
    p_default_country text
) returns text
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    -- Built in any case: a wrong argument should not show on the day of going live only.
    select case when s.reason is null then x.snippet else capi._pixel_comment(s.reason) end
    from capi.destination d
    cross join lateral (select capi._pixel_silence(d.destination, p_row, p_view)) s (reason)
    cross join lateral capi._pixel_snippet(d.name, d.platform, d.settings, p_row,
        capi._source_options(p_view, p_default_country), p_page,
        capi._pixel_mac(d.destination, p_row ->> 'event_name', p_row ->> 'event_id')) x (snippet)
    where d.destination = capi._destination_id(p_destination)
$$;
