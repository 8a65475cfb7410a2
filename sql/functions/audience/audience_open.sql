create or replace function capi.audience_open(
    p_name text,
    p_worker text
) returns table (
    sync bigint,
    destination text,
    platform text,
    destination_settings jsonb,
    credential text,
    settings jsonb,
    rows bigint,
    people bigint,
    withheld jsonb,
    to_add bigint,
    to_remove bigint
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    a capi.audience;
    d capi.destination;
    opened capi.audience_sync;
    found jsonb;
begin
    if p_worker is null then
        raise exception 'the worker is missing' using errcode = 'invalid_parameter_value',
            hint = 'Say who syncs.';
    end if;
    if not capi._may_send() then
        raise exception 'this database is a copy and does not send'
            using errcode = 'object_not_in_prerequisite_state',
                hint = 'If it is to send from now on, and the original is not, run: select capi.adopt();';
    end if;
    select * into strict a from capi.audience x where x.audience = capi._audience_id(p_name);
    select * into strict d from capi.destination x where x.destination = a.destination;
    if d.state <> 'active' then
        raise exception 'destination "%" is %', d.name, d.state
            using errcode = 'object_not_in_prerequisite_state',
                hint = 'An audience is sent when its destination sends: capi.resume().';
    end if;
    -- Of the session, so that a sync that dies lets go of it.
    if not capi._try_lock('audience', a.audience, true) then
        raise exception 'audience "%" is being synced right now', p_name using errcode = 'object_in_use',
            hint = format('Wait for the end of the other capi audience sync (%s).', (
                select format('pid %s, role %s', h.pid, h.role) from capi.locks() h
                where h.lock = 'audience' and h.id = a.audience limit 1));
    end if;
    update capi.audience_sync s set outcome = 'abandoned', finished_at = clock_timestamp()
    where s.audience = a.audience and s.outcome = 'running';
    insert into capi.audience_sync as s (audience, worker) values (a.audience, p_worker) returning * into opened;

    found := capi._audience_read(a.audience, opened.sync);

    -- Who never was in a request and is not wanted any more.
    delete from capi.audience_member m
    where m.audience = a.audience and m.sync <> opened.sync and m.sent is null and not m.offered;
    -- A removal never names what somebody else has who stays: the person with a new email address, or
    -- a family with one phone. So it does not matter in which order the platform works.
    with going as (
        select m.person, u.place, u.digest
        from capi.audience_member m cross join unnest(m.digests[1:3]) with ordinality u (digest, place)
        where m.audience = a.audience and m.sync <> opened.sync and u.digest <> ''
    ), shared as (
        select g.person, array_agg(distinct g.place) as places
        from going g
        join (
            select u.place, u.digest
            from capi.audience_member m cross join unnest(m.digests[1:3]) with ordinality u (digest, place)
            where m.audience = a.audience and m.sync = opened.sync and u.digest <> ''
                and exists (select from going)
        ) staying using (place, digest)
        group by g.person
    )
    update capi.audience_member m
    set digests = array(
        select case when u.place = any (s.places) then '' else u.digest end
        from unnest(m.digests) with ordinality u (digest, place) order by u.place
    )
    from shared s
    where m.audience = a.audience and m.person = s.person;
    -- All that was known of them belongs to somebody who stays: there is nothing to remove.
    delete from capi.audience_member m
    where m.audience = a.audience and m.sync <> opened.sync and m.digests[1:3] = '{"","",""}';

    select count(*) filter (where m.sync = opened.sync),
        count(*) filter (where m.sync = opened.sync and m.sent is distinct from m.content),
        count(*) filter (where m.sync <> opened.sync)
    into opened.people, opened.to_add, opened.to_remove
    from capi.audience_member m where m.audience = a.audience;
    opened.rows := (found ->> 'rows')::bigint;
    opened.withheld := found -> 'withheld';
    if (found ->> 'eligible')::bigint > opened.people then
        opened.withheld := opened.withheld
            || jsonb_build_object('repeated', (found ->> 'eligible')::bigint - opened.people);
    end if;
    update capi.audience_sync s
    set rows = opened.rows, people = opened.people, withheld = opened.withheld,
        to_add = opened.to_add, to_remove = opened.to_remove
    where s.sync = opened.sync;
    return query select opened.sync, d.name, d.platform, d.settings, d.credential, a.settings,
        opened.rows, opened.people, opened.withheld, opened.to_add, opened.to_remove;
end
$$;

comment on function capi.audience_open is 'For capi audience sync: takes the lock of the audience, reads its view, and says what is to be sent. Called in a transaction that is rolled back it is a dry run.';
grant execute on function capi.audience_open to capi_sidecar;
