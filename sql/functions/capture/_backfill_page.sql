-- Captures the next rows of a backfill; false when it is done.
create or replace function capi._backfill_page(
    p_backfill bigint,
    p_rows integer
) returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    b capi.backfill;
    page record;
begin
    select * into b from capi.backfill x where x.backfill = p_backfill for update;
    if not found or b.finished_at is not null then
        return false;
    end if;
    select p.* into page
    from capi._sweep_page(b.source, b.since, b.until, b.after_time, b.after_key, p_rows, 3600000::bigint, true) p;
    if not found then
        raise exception 'nothing can be captured now' using errcode = 'object_not_in_prerequisite_state',
            hint = 'The source is not tracked, or capi.capture is off. Call capi.backfill again to go on.';
    end if;
    -- Nothing could be read at all: rows without a key were read.
    if page.trouble is not null and page.scanned = 0 then
        raise exception '%', page.trouble using errcode = 'invalid_object_definition',
            hint = 'Call capi.backfill again to go on. Query the view as its owner with search_path pg_catalog and row_security off to see the error.';
    end if;
    update capi.backfill x
    set after_time = coalesce(page.last_time, x.after_time),
        after_key = case when page.last_time is null then x.after_key else page.last_key end,
        scanned = x.scanned + page.scanned, captured = x.captured + page.captured,
        waiting = x.waiting + page.waiting, failed = x.failed + page.failed, updated_at = clock_timestamp(),
        finished_at = case when page.last_time is null then clock_timestamp() end
    where x.backfill = p_backfill;
    return page.last_time is not null;
end
$$;

comment on function capi._backfill_page is 'One page of a backfill; false when it is done.';
grant execute on function capi._backfill_page to capi_admin;
