create or replace function capi.recapture(
    source text default null,
    keys text[] default null,
    caller text default capi._who()
) returns table (
    source_name text,
    captured bigint,
    waiting bigint,
    failed bigint,
    vanished bigint,
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
    wanted text[];
    tally record;
begin
    if keys is not null and source is null then
        raise exception 'keys need their source' using errcode = 'invalid_parameter_value',
            hint = 'select * from capi.recapture(''shop.orders'', keys => ''{42}'');';
    end if;
    -- By its key any row may be captured, one from before the tracking too.
    if keys is not null and exists (
        select from capi._sources_named(source) s join pg_class c on c.oid = s.relation
        where not pg_has_role(capi._whose(caller), c.relowner, 'member')
    ) then
        raise exception 'must be owner of the table' using errcode = 'insufficient_privilege',
            hint = 'Whose orders they are decides what becomes of them. Without keys what has failed is tried again.';
    end if;
    for tracked in
        select s.source as id, s.name, s.relation is null as is_emitter from capi.source s
        where s.tracked and (source is null or s.source in (select x.source from capi._sources_named(source) x))
        order by s.source
    loop
        -- What is on record is spelled already; a key that is too long stands there by its fingerprint.
        wanted := coalesce(case when keys is not null then array(select capi._spelled(tracked.id, k) from unnest(keys) k) end, array(
            select e.key from capi.capture_error e
            where e.source = tracked.id and e.resolved_at is null and e.reason <> 'key_too_long' order by e.key));
        if tracked.is_emitter then
            -- There is no row to read again: the application has to emit the event again.
            update capi.capture_error e set resolved_at = clock_timestamp(), resolution = 'given_up'
            where e.source = tracked.id and e.key = any (wanted) and e.resolved_at is null;
            continue;
        end if;
        select r.* into tally from capi._recapture(tracked.id, wanted, 600000::bigint, keys is not null) r;
        source_name := tracked.name;
        captured := tally.captured;
        waiting := tally.waiting;
        failed := tally.failed;
        vanished := tally.vanished;
        trouble := tally.trouble;
        if trouble is not null then
            raise warning 'recapture of %: %', source_name, trouble using hint = 'Its errors stay open.';
        end if;
        return next;
    end loop;
    if source is not null and tracked is null then
        raise exception 'this source is not tracked' using errcode = 'undefined_object',
            hint = 'capi.sources lists what is.';
    end if;
end
$$;

comment on function capi.recapture is 'Tries failed captures again: all open ones, those of a source, or rows by key. Records of rows that the view shows no more are closed as vanished, those of an emitter as given up. Returns numbers of rows by source, and as trouble why one cannot be read.';
grant execute on function capi.recapture to capi_admin;
