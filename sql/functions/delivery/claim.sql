create or replace function capi.claim(
    p_destination integer,
    p_worker text,
    p_lease interval,
    p_batch_limit integer,
    p_version integer default null, -- of the destination whose settings the caller sends with
    p_database bigint default null -- as capi.handshake() tells it
) returns table (
    batch bigint,
    token uuid,
    attempt bigint,
    tries integer,
    events bigint[],
    ticket text,
    polls integer,
    accepted_seconds double precision
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    b capi.batch;
    at timestamptz;
    may_carve boolean;
    may_replay boolean;
    turn text[];
    kind text;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'capi.claim needs READ COMMITTED'
            using errcode = 'invalid_transaction_state',
                hint = 'A cursor must be read with a snapshot younger than its lock.';
    end if;
    if p_worker is null or p_lease is null or p_batch_limit is null or p_batch_limit < 1 then
        raise exception 'worker, lease or limit is missing' using errcode = 'invalid_parameter_value',
            hint = 'All three are needed, and the limit is at least 1.';
    end if;
    -- A claim lost in a crash would be a double send that nobody recorded.
    if current_setting('synchronous_commit') = 'off' then
        perform set_config('synchronous_commit', 'local', true);
    end if;
    -- A name or an address may lead elsewhere since the caller read its settings.
    if p_database <> capi._era(0) then
        raise exception 'this is another database than the one whose destinations the caller knows'
            using errcode = 'object_not_in_prerequisite_state',
                hint = 'Restart the sidecar if this database is the one to send from now on.';
    end if;
    if not capi._may_send() or not exists (
        select from capi.destination d
        where d.destination = p_destination and d.state = 'active' and d.version = coalesce(p_version, d.version)
    ) then
        return;
    end if;
    if (select i.timeline from capi.installation i) is distinct from capi._timeline() then
        perform capi._mark_doubtful();
    end if;

    loop
        select * into b from capi.batch x
        where (x.destination, x.batch) >= (p_destination, (
                select c.first_batch from capi.cursor c where c.destination = p_destination
                order by c.step desc limit 1
            ))
            and x.destination <= p_destination
            and (x.state = 'ready' and x.due_at <= clock_timestamp()
                or x.state = 'leased' and x.lease_until < clock_timestamp())
        order by x.due_at, x.batch
        limit 1
        for update skip locked;

        if not found then
            select f.again, f.fresh into may_replay, may_carve from capi._capacity(p_destination) f;
            -- While both wait, every fourth batch is of a replay, so that neither starves the other.
            turn := case when may_replay and may_carve and random() < 0.25 then '{replay, fresh}'::text[]
                else '{fresh, replay}'::text[] end;
            foreach kind in array turn loop
                if kind = 'fresh' and may_carve then
                    select c.events, c.captured_from, c.captured_to, null::bigint
                    into b.events, b.captured_from, b.captured_to, b.replay
                    from capi._next_events(p_destination, p_batch_limit) c;
                elsif kind = 'replay' and may_replay then
                    -- Who opens a batch holds the cursor, see capi._advance_first_batch.
                    perform from capi.cursor c where c.destination = p_destination
                    order by c.step desc limit 1
                    for update skip locked;
                    if found then
                        select c.events, c.captured_from, c.captured_to, c.replay
                        into b.events, b.captured_from, b.captured_to, b.replay
                        from capi._carve_replay(p_destination, p_batch_limit) c;
                    end if;
                end if;
                exit when b.events is not null;
            end loop;
            if b.events is null then
                return;
            end if;
            b.tries := 0;
            b.lapses := 0;
            b.unknown := coalesce(capi._doubtful_until(p_destination) >= b.captured_from, false)::integer;
        end if;

        at := clock_timestamp();
        if b.state = 'leased' then
            b := capi._lapsed(b);
            -- So many in a row are no chance: receipts cannot be written, or the batch ends its workers.
            if b.lapses >= 10 then
                update capi.batch x
                set state = b.state, token = b.token, lease_until = b.lease_until, worker = b.worker, attempt = b.attempt,
                    attempt_started_at = b.attempt_started_at, unknown = b.unknown, tries = b.tries, lapses = b.lapses,
                    reason = 'answers_not_recorded'
                where x.batch = b.batch;
                perform capi._set_state(p_destination, 'blocked', 'answers_not_recorded');
                return;
            end if;
        end if;
        -- What was accepted cannot be called back, and its order is what the platform's answer goes by.
        exit when b.ticket is not null;
        -- Consent may have been withdrawn since the batch was made. The day is for withdrawals whose
        -- transaction was open then.
        exit when b.batch is null
            or not exists (select from capi.withdrawal w where w.at > b.created_at - interval '1 day');
        b.events := capi._without_withdrawn(b);
        exit when b.events is not null;
        delete from capi.batch x where x.batch = b.batch;
    end loop;

    b.token := gen_random_uuid();
    b.attempt := nextval('capi.attempt_id');
    if b.batch is null then
        insert into capi.batch as x (destination, events, captured_from, captured_to, state, token,
            worker, lease_until, attempt, attempt_started_at, replay, unknown)
        values (p_destination, b.events, b.captured_from, b.captured_to, 'leased', b.token,
            p_worker, at + p_lease, b.attempt, at, b.replay, b.unknown)
        returning x.batch into b.batch;
        perform capi._advance_first_batch(p_destination, b.batch);
    else
        update capi.batch x
        set events = b.events, state = 'leased', token = b.token, worker = p_worker, lease_until = at + p_lease,
            attempt = b.attempt, attempt_started_at = at, unknown = b.unknown, tries = b.tries, lapses = b.lapses
        where x.batch = b.batch;
    end if;
    -- The ids as they were just stored, so that they are compressed once.
    insert into capi.attempt (attempt, started_at, destination, batch, parent, worker, tries, events, kind)
    select b.attempt, at, p_destination, b.batch, b.parent, p_worker, b.tries, x.events,
        case when b.ticket is null then 'send' else 'poll' end
    from capi.batch x
    where x.batch = b.batch;

    return query select b.batch, b.token, b.attempt, b.tries, b.events, b.ticket, b.polls,
        extract(epoch from at - b.accepted_at)::double precision;
end
$$;

comment on function capi.claim is 'For the sidecar: leases a due batch, else carves the next one from the outbox, and opens an attempt. No row when there is nothing to send, or when the destination has another version than the caller knows.';
grant execute on function capi.claim to capi_sidecar;
