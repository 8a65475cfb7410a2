-- Builds the snippet of one row for a named destination; the row comes from the caller, who has
-- read it himself. He is told of no other destination, and of no row of a view that he may not read.
create or replace function capi._pixel_at(
    p_destination text,
    p_row json,
    p_event jsonb,
    p_view oid,
    p_page jsonb,
    p_default_country text,
    p_caller text default capi._who()
) returns text
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    d capi.destination;
    reason text;
    snippet text;
begin
    select * into d from capi.destination x where x.name = p_destination and x.state <> 'dropped';
    if not found then
        raise exception 'no destination named "%"', p_destination using errcode = 'undefined_object',
            hint = 'capi.status() lists them, to those who may see it.';
    end if;
    if p_view <> 0 and not coalesce(has_any_column_privilege(capi._whose(p_caller), p_view, 'select'), false) then
        raise exception 'permission denied for view %', p_view::regclass using errcode = 'insufficient_privilege',
            hint = 'Who makes the page of a row must be allowed to read it.';
    end if;
    reason := capi._pixel_silence(d.destination, p_event, p_view);
    -- Built in any case: a wrong argument should not show on the day of going live only.
    snippet := capi._pixel_snippet(d.name, d.platform, d.settings, p_row, capi._source_options(p_view, p_default_country),
        p_page, capi._pixel_mac(d.destination, p_event ->> 'event_name', p_event ->> 'event_id'));
    return case when reason is null then snippet else capi._pixel_comment(reason) end;
end
$$;

comment on function capi._pixel_at is 'Builds the snippet of one row for a named destination.';
grant execute on function capi._pixel_at to capi_admin;
