-- The past is what this function's snapshot shows and no route of the pair covers. It is read by id
-- (capi._carve_past); the cursor leaves it out and reads everything else, such as what is captured by
-- transactions that are open now. So each event is somebody's, and no one's twice.
create or replace function capi.add_route(
    source text,
    destination text,
    since interval default null,
    caller text default capi._who()
) returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    id integer := capi._destination_id(destination);
    longest interval;
    at timestamptz;
    start timestamptz;
    snap pg_snapshot;
    s capi.source;
    gap record;
    n integer := 0;
begin
    perform capi._not_inside();
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'capi.add_route needs READ COMMITTED'
            using errcode = 'invalid_transaction_state',
                hint = 'The past must be told from the future with a snapshot younger than the cursor''s lock.';
    end if;
    if since < interval '0' then
        raise exception 'since must not be negative' using errcode = 'invalid_parameter_value',
            hint = 'It reaches back from now: since => ''7 days''.';
    end if;
    if exists (
        select from capi._sources_named(source) x join pg_class c on c.oid = x.relation
        where not pg_has_role(capi._whose(caller), c.relowner, 'member')
    ) then
        raise exception 'must be owner of the table' using errcode = 'insufficient_privilege',
            hint = 'Whose orders they are decides what becomes of them.';
    end if;
    if not capi._may_send() then
        raise exception 'this database is a copy and does not send'
            using errcode = 'object_not_in_prerequisite_state',
                hint = 'If it is to send from now on, and the original is not, run: select capi.adopt();';
    end if;
    select capi._longest_age(d.platform) * interval '1 second' into longest
    from capi.destination d where d.destination = id;
    -- No carving until commit, and a snapshot younger than the cursor's.
    perform from capi.cursor c where c.destination = id for update;
    at := clock_timestamp();
    snap := pg_current_snapshot();
    -- Nothing reaches back unless somebody says how far.
    start := at - case when since is not null then least(since, longest) else interval '0' end;
    if since > longest then
        raise notice 'events from before % are too old for the platform and are left out', start;
    end if;

    for s in
        select x.* from capi.source x
        where x.tracked and x.source in (select y.source from capi._sources_named(source) y)
        order by x.source
        for update
    loop
        n := n + 1;
        delete from capi.route r where r.source = s.source and r.destination = id and r.since = r.until;
        insert into capi.route (source, destination, since)
        select s.source, id, at
        where not exists (
            select from capi.route r where r.source = s.source and r.destination = id and r.until is null
        );
        for gap in
            select lower(g) as since, upper(g) as until
            from unnest(
                tstzmultirange(tstzrange(start, at))
                - (select range_agg(tstzrange(r.since, r.until)) from capi.route r
                    where r.source = s.source and r.destination = id)
            ) g
        loop
            insert into capi.route (source, destination, since, until, past, past_until, past_id)
            values (s.source, id, gap.since, gap.until, snap, at, 0);
            -- Of open transactions the cursor must find what is as old.
            update capi.cursor c set unread_since = least(c.unread_since, gap.since) where c.destination = id;
        end loop;
    end loop;
    if n = 0 then
        raise exception 'this source is not tracked' using errcode = 'object_not_in_prerequisite_state',
            hint = 'capi.track or capi.create_emitter take it up again.';
    end if;
    -- The sidecar may be asleep; this is rare enough for a plain NOTIFY.
    notify capi;
    return format('%s goes to %s from now on', source, destination)
        || case when since is not null then format(', and what was captured since %s', start) else '' end;
end
$$;

comment on function capi.add_route is 'Sends a source to one more destination: what is captured from now on and, with since, what was captured in the time before and is young enough for the platform, from the outbox alone. Returns what it did.';
grant execute on function capi.add_route to capi_admin;
