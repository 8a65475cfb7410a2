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
    p_due_in interval
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
begin
    if p_decision not in ('each', 'retry', 'wait', 'split', 'blocked') then
        raise exception 'unknown decision' using errcode = 'invalid_parameter_value',
            hint = 'One of each, retry, wait, split, blocked.';
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

    begin
        insert into capi.receipt
        select * from capi._receipts(b, p_settled, p_statuses, p_reasons, p_reason, at);
        get diagnostics settled = row_count;
    exception when unique_violation then
        -- One was settled before, so it went twice: the platform's last word stands. Not at once with a
        -- conflict clause: that makes each insert a tentative one, confirmed by a record of its own.
        insert into capi.receipt as r
        select * from capi._receipts(b, p_settled, p_statuses, p_reasons, p_reason, at)
        on conflict (event, destination, captured_at) do update
        set status = excluded.status, reason = excluded.reason, attempt = excluded.attempt,
            attempts = least(r.attempts + excluded.attempts, 32767), possible_duplicate = true,
            settled_at = excluded.settled_at;
        get diagnostics settled = row_count;
    end;

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
    then
        raise exception 'record does not account for each event of batch %', p_batch
            using errcode = 'invalid_parameter_value',
                hint = 'Each event of the batch is either settled once or sent again.';
    end if;

    -- No answer, or half of one: nobody knows whether the platform took the events.
    if p_answer ->> 'sent' = 'unknown' then
        b.unknown := b.unknown + 1;
    end if;

    if p_decision = 'blocked' and exists (
        select from capi.destination d where d.destination = b.destination and d.state = 'active'
    ) then
        perform capi._set_state(b.destination, 'blocked', coalesce(p_reason, 'blocked'));
    end if;

    if cardinality(rest) = 0 then
        delete from capi.batch x where x.batch = b.batch;
    elsif p_decision = 'split' and cardinality(rest) > 1 then
        middle := cardinality(rest) / 2;
        insert into capi.batch
            (destination, events, captured_from, captured_to, tries, unknown, reason, parent)
        select b.destination, half, b.captured_from, b.captured_to, b.tries, b.unknown, p_reason, b.batch
        from (values (rest[:middle]), (rest[middle + 1:])) halves (half);
        delete from capi.batch x where x.batch = b.batch;
    else
        update capi.batch x
        set events = rest, unknown = b.unknown, state = 'ready', due_at = due, token = null, lease_until = null,
            worker = null, attempt = null, attempt_started_at = null, reason = p_reason,
            tries = b.tries + case when p_decision in ('wait', 'blocked') then 0 else 1 end
        where x.batch = b.batch;
    end if;
    return true;
end
$$;
