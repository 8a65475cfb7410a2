create or replace function capi.recapture(
    source text default null,
    keys text[] default null
) returns table (
    source_name text,
    captured bigint,
    waiting bigint,
    failed bigint,
    vanished bigint
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    tracked record;
    wanted text[];
    tally record;
begin
    if keys is not null and source is null then
        raise exception 'keys need their source' using errcode = 'invalid_parameter_value',
            hint = 'select * from capi.recapture(''shop.orders'', keys => ''{42}'');';
    end if;
    for tracked in
        select s.source as id, s.name, s.relation is null as is_emitter from capi.source s
        where s.tracked and (source is null or s.source in (select x.source from capi._named(source) x))
        order by s.source
    loop
        wanted := coalesce(keys, array(
            select e.key from capi.capture_error e where e.source = tracked.id and e.resolved_at is null order by e.key));
        if tracked.is_emitter then
            -- There is no row to read again: the application has to emit the event again.
            update capi.capture_error e set resolved_at = clock_timestamp(), resolution = 'given_up'
            where e.source = tracked.id and e.key = any (wanted) and e.resolved_at is null;
            continue;
        end if;
        select r.* into tally from capi._recapture(tracked.id, wanted, 600000) r;
        source_name := tracked.name;
        captured := tally.captured;
        waiting := tally.waiting;
        failed := tally.failed;
        vanished := tally.vanished;
        return next;
    end loop;
    if source is not null and tracked is null then
        raise exception 'this source is not tracked' using errcode = 'undefined_object',
            hint = 'capi.sources lists what is.';
    end if;
end
$$;
