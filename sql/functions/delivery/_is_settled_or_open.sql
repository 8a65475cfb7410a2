-- Whether an event has a receipt at a destination or is in one of its open batches.
create or replace function capi._is_settled_or_open(
    p_event bigint,
    p_captured_at timestamptz,
    p_destination integer
) returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
    select exists (
        select from capi.receipt r
        where r.event = p_event and r.destination = p_destination and r.captured_at = p_captured_at
    ) or exists (
        select from capi.batch b
        -- As in capi._capacity.
        where (b.destination, b.batch) >= (p_destination, (
                select c.first_batch from capi.cursor c where c.destination = p_destination
                order by c.step desc limit 1
            ))
            and b.destination <= p_destination and p_event = any (b.events)
    )
$$;

comment on function capi._is_settled_or_open is 'Whether an event has a receipt at a destination or is in one of its open batches.';
