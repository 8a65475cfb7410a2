create or replace function capi.recapture(
    source regclass default null,
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
        select s.source as id, s.name from capi.source s
        where s.tracked and (source is null or s.relation = source)
        order by s.source
    loop
        wanted := coalesce(keys, array(
            select e.key from capi.capture_error e where e.source = tracked.id and e.resolved_at is null order by e.key));
        select r.* into tally from capi._recapture(tracked.id, wanted, 600000) r;
        source_name := tracked.name;
        captured := tally.captured;
        waiting := tally.waiting;
        failed := tally.failed;
        vanished := tally.vanished;
        return next;
    end loop;
    if source is not null and tracked is null then
        raise exception '% is not tracked', source using errcode = 'undefined_object',
            hint = 'capi.sources lists what is.';
    end if;
end
$$;
