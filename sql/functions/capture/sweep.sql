create or replace function capi.sweep(
    source regclass default null,
    since interval default '1 day'
) returns table (
    source_name text,
    scanned bigint,
    missing bigint,
    captured bigint,
    waiting bigint,
    failed bigint,
    trouble text
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    tracked record;
    page record;
    after_time timestamptz;
    after_key text;
begin
    for tracked in
        select s.source as id, s.name, s.tracked_since from capi.source s
        where s.tracked and s.relation is not null and (source is null or s.relation = source)
        order by s.source
    loop
        source_name := tracked.name;
        scanned := 0;
        missing := 0;
        captured := 0;
        waiting := 0;
        failed := 0;
        trouble := null;
        after_time := null;
        after_key := null;
        loop
            select p.* into page
            from capi._sweep_page(tracked.id, greatest(now() - since, tracked.tracked_since), now() + interval '10 minutes',
                after_time, after_key, 5000, 600000::bigint, true) p;
            exit when not found;
            scanned := scanned + page.scanned;
            missing := missing + page.missing;
            captured := captured + page.captured;
            waiting := waiting + page.waiting;
            failed := failed + page.failed;
            trouble := coalesce(page.trouble, trouble);
            after_time := page.last_time;
            after_key := page.last_key;
            exit when after_time is null;
        end loop;
        if trouble is not null then
            raise warning 'sweep of %: %', source_name, trouble
                using hint = 'Its numbers are no proof: not every row was compared.';
        end if;
        return next;
    end loop;
    if source is not null and tracked is null then
        raise exception '% is not tracked', source using errcode = 'undefined_object',
            hint = 'capi.sources lists what is.';
    end if;
end
$$;

comment on function capi.sweep is 'Compares the view''s rows of the last time (since) with the outbox and captures what is missing. Maintenance does it by itself. Reaches back to the beginning of the tracking only. Returns numbers of rows by source, and as trouble what keeps rows of it from being compared: then missing is no proof.';
grant execute on function capi.sweep to capi_admin;
