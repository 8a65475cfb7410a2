-- The receipts of an attempt's outcomes, as rows that nobody has inserted yet. Only events of the batch;
-- their capture time is part of the receipt's key.
create or replace function capi._receipts(
    p_batch capi.batch,
    p_settled bigint[],
    p_statuses text[],
    p_reasons text[],
    p_reason text,
    p_at timestamptz
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
        v.status, (p_batch.tries + 1)::smallint,
        p_batch.unknown > 0,
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
