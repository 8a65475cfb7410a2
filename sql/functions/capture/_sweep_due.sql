-- One step of the sweeps that maintenance makes: of the last two hours at each call, and once a day
-- of the last eight days, a page at a time. Writes only where it found something or finished a day.
-- Null when nothing is left to do.
create or replace function capi._sweep_due() returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    day capi.sweep;
    tracked record;
    page record;
    at_time timestamptz;
    at_key text;
    problem text;
    is_locked boolean;
    pages integer;
    total bigint := 0;
begin
    if not capi._may_send() then
        return null;            -- a copy leaves it to the original
    end if;
    -- A day's sweep that is under way, else one that is due: sooner where something was wrong, so that
    -- what was mended is seen.
    insert into capi.sweep (source, since, until)
    select s.source, greatest(now() - interval '8 days', s.tracked_since), now()
    from capi.source s
    where s.tracked and s.relation is not null and not exists (select from capi.sweep w where w.source = s.source)
    on conflict do nothing;
    update capi.sweep w
    set since = greatest(now() - interval '8 days', s.tracked_since), until = now(), after_time = null, after_key = null, scanned = 0,
        missing = 0, captured = 0, failed = 0, started_at = now(), finished_at = null, trouble = null
    from capi.source s
    where s.source = w.source and s.tracked
        and w.finished_at < now() - case when w.trouble is null then interval '1 day' else interval '1 hour' end;
    select w.* into day
    from capi.sweep w join capi.source s using (source)
    where s.tracked and w.finished_at is null
    order by w.source limit 1
    for update of w;
    if found then
        begin
            select p.* into page
            from capi._sweep_page(day.source, day.since, day.until, day.after_time, day.after_key, 5000, 10000::bigint, false) p;
        exception
            -- Never the message: views quote values in theirs.
            when others then
                select null::timestamptz as last_time, null::text as last_key, 0::bigint as scanned, 0::bigint as missing,
                    0::bigint as captured, 0::bigint as waiting, 0::bigint as failed, 'SQLSTATE ' || sqlstate as trouble
                into page;
        end;
        -- A lock passes: the next maintenance goes on.
        is_locked := page.trouble like '%lock_not_available';
    end if;
    if day.source is not null and is_locked is not true then
        update capi.sweep w
        set after_time = page.last_time, after_key = page.last_key, scanned = w.scanned + coalesce(page.scanned, 0),
            missing = w.missing + coalesce(page.missing, 0), captured = w.captured + coalesce(page.captured, 0),
            failed = w.failed + coalesce(page.failed, 0), trouble = coalesce(page.trouble, w.trouble),
            finished_at = case when page.last_time is null then now() end
        where w.source = day.source;
        return jsonb_build_object('swept', day.source, 'more', true);
    end if;

    -- The last two hours of everything.
    for tracked in select s.source, s.tracked_since from capi.source s where s.tracked and s.relation is not null order by s.source loop
        at_time := null;
        at_key := null;
        pages := 0;
        problem := null;
        begin
            loop
                select p.* into page
                from capi._sweep_page(tracked.source, greatest(now() - interval '2 hours', tracked.tracked_since), now() + interval '10 minutes',
                    at_time, at_key, 5000, 5000::bigint, false) p;
                exit when not found;
                total := total + page.captured;
                problem := coalesce(page.trouble, problem);
                pages := pages + 1;
                at_time := page.last_time;
                at_key := page.last_key;
                exit when at_time is null or pages = 20;
            end loop;
        exception
            when others then
                problem := 'SQLSTATE ' || sqlstate;
        end;
        if problem is not null and problem not like '%lock_not_available' then
            -- Until a day's sweep finds it mended.
            update capi.sweep w set trouble = problem
            where w.source = tracked.source and w.trouble is distinct from problem;
        end if;
    end loop;
    return jsonb_build_object('swept', 'all', 'captured', total, 'more', false);
end
$$;

comment on function capi._sweep_due is 'One step of the sweeps that maintenance makes.';
