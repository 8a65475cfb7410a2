create or replace function capi.record(
    p_batch bigint,
    p_token uuid,
    p_attempt bigint,
    p_http_status integer,
    p_request_id text,
    p_reason text,
    p_answer jsonb,
    p_decision text,
    p_settled bigint[],
    p_statuses text[],
    p_reasons text[],
    p_again bigint[],
    p_due_in interval,
    p_ticket text default null,
    p_accepted bigint[] default '{}',
    p_backoff boolean default false,
    p_doubtful bigint[] default '{}'
) returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
as $$
declare
    b capi.batch;
    at timestamptz := clock_timestamp();
    rest bigint[];
    due timestamptz := clock_timestamp() + coalesce(p_due_in, interval '0');
    middle integer;
    settled integer;
    polled boolean;
begin
    if p_decision is null or p_decision not in ('each', 'accepted', 'retry', 'wait', 'split', 'blocked') then
        raise exception 'unknown decision' using errcode = 'invalid_parameter_value',
            hint = 'One of each, accepted, retry, wait, split, blocked.';
    end if;
    if p_settled is null or p_again is null or p_accepted is null or p_doubtful is null or p_backoff is null
        or cardinality(p_settled) > 0 and (
            p_statuses is null or array_position(p_statuses, null) is not null
            or cardinality(p_statuses) not in (1, cardinality(p_settled))
        )
    then
        raise exception 'events, statuses or backoff are missing' using errcode = 'invalid_parameter_value',
            hint = 'Lists may be empty but not null, and each settled event needs a status.';
    end if;
    if (p_decision = 'accepted') <> (p_ticket is not null and cardinality(p_accepted) > 0) then
        raise exception 'ticket and accepted events belong to the decision accepted'
            using errcode = 'invalid_parameter_value',
                hint = 'The decision accepted needs both, and no other one takes them.';
    end if;
    select * into b from capi.batch x where x.batch = p_batch for update;
    if not found or b.state <> 'leased' or b.token is distinct from p_token
        or b.attempt is distinct from p_attempt
    then
        -- The lease was lost: the answer is worth keeping, the events are somebody else's now.
        update capi.attempt a
        set http_status = p_http_status, request_id = p_request_id,
            reason = 'answered_after_lease', answer = p_answer
        where a.attempt = p_attempt and a.batch = p_batch and a.outcome = 'unknown';
        return false;
    end if;

    update capi.attempt a
    set finished_at = at, outcome = p_decision, http_status = p_http_status,
        request_id = p_request_id, reason = p_reason, answer = p_answer
    where a.attempt = b.attempt and a.started_at = b.attempt_started_at;

    settled := capi._end_events(b, p_settled, p_statuses, p_reasons, p_reason, at, true, p_doubtful);

    -- Most batches end as a whole.
    rest := case when settled = cardinality(b.events) then '{}' else array(
        select e.event from unnest(b.events) with ordinality e (event, n)
        where not exists (select from unnest(p_settled) s (event) where s.event = e.event)
        order by e.n
    ) end;
    if settled <> coalesce(cardinality(p_settled), 0)
        or settled + cardinality(rest) <> cardinality(b.events)
        or p_decision = 'each' and exists (
            select from unnest(rest) r (event)
            where not exists (select from unnest(p_again) a (event) where a.event = r.event)
        )
        or exists (
            select from unnest(p_accepted) a (event)
            where not exists (select from unnest(rest) r (event) where r.event = a.event)
        )
        or cardinality(p_accepted) <> (select count(distinct a.event) from unnest(p_accepted) a (event))
    then
        raise exception 'record does not account for each event of batch %', p_batch
            using errcode = 'invalid_parameter_value',
                hint = 'Each event of the batch is either settled once or sent again.';
    end if;

    -- Nobody knows whether the platform took what goes again.
    if exists (select from unnest(rest) r (event) where r.event in (select e.event from unnest(p_doubtful) e (event))) then
        b.unknown := b.unknown + 1;
    end if;

    if p_decision = 'blocked' and exists (
        select from capi.destination d where d.destination = b.destination and d.state = 'active'
    ) then
        perform capi._set_state(b.destination, 'blocked', coalesce(p_reason, 'blocked'));
    end if;

    -- A question that brought no decision leaves the ticket, costs no try and sends nothing again. One that
    -- did has events that go again, and all of those are in doubt.
    polled := b.ticket is not null;
    if cardinality(rest) = 0 then
        delete from capi.batch x where x.batch = b.batch;
    elsif p_decision = 'accepted' then
        -- What was not in this request goes by itself.
        insert into capi.batch
            (destination, events, captured_from, captured_to, tries, unknown, reason, parent, replay)
        select b.destination, o.events, b.captured_from, b.captured_to, b.tries, b.unknown, null, b.batch, b.replay
        from (select array_agg(r.event order by r.n) as events
            from unnest(rest) with ordinality r (event, n)
            where not exists (select from unnest(p_accepted) a (event) where a.event = r.event)) o
        where o.events is not null;
        update capi.batch x
        set events = p_accepted, state = 'ready', due_at = due, token = null, lease_until = null,
            worker = null, attempt = null, attempt_started_at = null, reason = p_reason, unknown = b.unknown, lapses = 0,
            ticket = p_ticket, polls = case when polled then x.polls + 1 else 0 end,
            accepted_at = coalesce(x.accepted_at, at), accepted_attempt = coalesce(x.accepted_attempt, b.attempt)
        where x.batch = b.batch;
    elsif polled and p_decision in ('retry', 'wait', 'blocked') and cardinality(p_doubtful) = 0 then
        update capi.batch x
        set events = rest, state = 'ready', due_at = due, token = null, lease_until = null, worker = null,
            attempt = null, attempt_started_at = null, reason = p_reason, polls = x.polls + 1, lapses = 0
        where x.batch = b.batch;
    elsif p_decision = 'split' and cardinality(rest) > 1 then
        middle := cardinality(rest) / 2;
        insert into capi.batch
            (destination, events, captured_from, captured_to, tries, unknown, reason, parent, replay)
        select b.destination, half, b.captured_from, b.captured_to, b.tries, b.unknown, p_reason, b.batch, b.replay
        from (values (rest[:middle]), (rest[middle + 1:])) halves (half);
        delete from capi.batch x where x.batch = b.batch;
    else
        update capi.batch x
        set events = rest, unknown = b.unknown, state = 'ready', due_at = due, token = null, lease_until = null,
            worker = null, attempt = null, attempt_started_at = null, reason = p_reason, backoff = p_backoff, lapses = 0,
            ticket = null, accepted_at = null, accepted_attempt = null, polls = 0,
            tries = b.tries + case when p_decision in ('wait', 'blocked') then 0 else 1 end
        where x.batch = b.batch;
    end if;
    return true;
end
$$;

comment on function capi.record is 'For the sidecar: writes the result of an attempt, receipts and the batch''s next state in one transaction; of the doubtful events nobody knows whether this request brought them. False when the lease was lost.';
grant execute on function capi.record to capi_sidecar;
