-- Why a destination may not have an event any more, since after its capture consent was withdrawn or the
-- person forgotten: withdrawn, forgotten, or null.
create or replace function capi._withdrawn(
    p_source integer,
    p_key text,
    p_captured_at timestamptz,
    p_platform text,
    p_destination text
) returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select w.reason
    from capi.withdrawal w
    where w.source = p_source and w.key = p_key and w.at >= p_captured_at
        and capi._refuses(w.refused, p_platform, p_destination)
$$;

comment on function capi._withdrawn is 'Why a destination may not have an event any more: withdrawn, forgotten, or null.';
