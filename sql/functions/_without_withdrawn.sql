-- The events of a batch whose consent still stands; the others are settled as suppressed. Null when
-- none is left.
create or replace function capi._without_withdrawn(
    p_batch capi.batch
) returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    gone bigint[];
begin
    with judged as (
        select o.id, o.captured_at, capi._withdrawn(o.source, o.key, o.captured_at, d.platform, d.name) as reason
        from capi.outbox o
        join capi.destination d on d.destination = p_batch.destination
        where o.id = any (p_batch.events) and o.captured_at between p_batch.captured_from and p_batch.captured_to
    ), settled as (
        insert into capi.receipt (event, captured_at, destination, status, reason, attempts, possible_duplicate)
        select j.id, j.captured_at, p_batch.destination, 'suppressed', j.reason, p_batch.tries, p_batch.unknown > 0
        from judged j
        where j.reason is not null
        on conflict do nothing
    )
    select array_agg(j.id) into gone from judged j where j.reason is not null;
    if gone is null then
        return p_batch.events;
    end if;
    return (select array_agg(e order by n) from unnest(p_batch.events) with ordinality u (e, n) where not e = any (gone));
end
$$;
