create or replace function capi.claim(
    p_destination integer,
    p_worker text,
    p_lease interval,
    p_batch_limit integer
) returns table (
    batch bigint,
    token uuid,
    attempt bigint,
    tries integer,
    events bigint[]
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    b capi.batch;
    made bigint;
    at timestamptz;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'capi.claim needs READ COMMITTED'
            using errcode = 'invalid_transaction_state',
                hint = 'A cursor must be read with a snapshot younger than its lock.';
    end if;
    -- A claim lost in a crash would be a double send that nobody recorded.
    if current_setting('synchronous_commit') = 'off' then
        perform set_config('synchronous_commit', 'local', true);
    end if;
    if not capi._may_send() or not exists (
        select from capi.destination d where d.destination = p_destination and d.state = 'active'
    ) then
        return;
    end if;

    select * into b from capi.batch x
    where x.destination = p_destination
        and (x.state = 'ready' and x.due_at <= clock_timestamp()
            or x.state = 'leased' and x.lease_until < clock_timestamp())
    order by x.due_at, x.batch
    limit 1
    for update skip locked;

    if not found then
        -- Few open batches: an outage grows no queue.
        if (select count(*) from capi.batch x where x.destination = p_destination) >= 16 then
            return;
        end if;
        made := capi._carve(p_destination, p_batch_limit);
        if made is null then
            return;
        end if;
        select * into strict b from capi.batch x where x.batch = made for update;
    end if;

    at := clock_timestamp();
    if b.state = 'leased' then
        -- Its worker died or froze between send and record: nobody knows whether it was sent.
        update capi.attempt a set outcome = 'unknown', finished_at = at, reason = 'lease_expired'
        where a.attempt = b.attempt and a.started_at = b.attempt_started_at and a.outcome = 'sending';
        b.unknown := b.unknown + 1;
        b.tries := b.tries + 1;
    end if;

    b.token := gen_random_uuid();
    insert into capi.attempt as a (started_at, destination, batch, parent, worker, tries, events)
    values (at, p_destination, b.batch, b.parent, p_worker, b.tries, b.events)
    returning a.attempt into b.attempt;
    update capi.batch x
    set state = 'leased', token = b.token, worker = p_worker, lease_until = at + p_lease,
        attempt = b.attempt, attempt_started_at = at, unknown = b.unknown, tries = b.tries
    where x.batch = b.batch;

    return query select b.batch, b.token, b.attempt, b.tries, b.events;
end
$$;
