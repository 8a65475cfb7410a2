-- The receipts of events of a batch, as rows that nobody has inserted yet (capi._end_events does). Their capture
-- time is part of the receipt's key. Of the doubtful ones nobody knows what the request that was answered did.
create or replace function capi._receipts(
    p_batch capi.batch,
    p_settled bigint[],
    p_statuses text[],
    p_reasons text[],
    p_reason text,
    p_at timestamptz,
    p_answered boolean,
    p_doubtful bigint[]
) returns setof capi.receipt
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
as $$
begin
    return query
    select s.event, o.captured_at, coalesce(p_batch.accepted_attempt, p_batch.attempt), p_at, p_batch.destination,
        -- What was accepted was sent once more than has failed, and so was what is answered now.
        v.status, (p_batch.tries + (p_answered or p_batch.ticket is not null)::integer)::smallint,
        p_batch.unknown > 0
            or v.status <> 'delivered' and (s.event in (select e.event from unnest(p_doubtful) e (event))) is true,
        coalesce(
            p_reasons[case when cardinality(p_reasons) = 1 then 1 else s.n end],
            case when v.status <> 'delivered' then coalesce(p_reason, 'unspecified') end)
    from unnest(p_settled) with ordinality s (event, n)
    cross join lateral (
        select p_statuses[case when cardinality(p_statuses) = 1 then 1 else s.n end]::capi.receipt_status
    ) v (status)
    join capi.outbox o on o.id = s.event
        and o.captured_at between p_batch.captured_from and p_batch.captured_to
    -- As a condition it is always hashed; as a join it was a thousand times a thousand comparisons.
    where (s.event in (select e.event from unnest(p_batch.events) e (event))) is true;
end
$$;

comment on function capi._receipts is 'The receipts of events of a batch, not yet inserted.';
