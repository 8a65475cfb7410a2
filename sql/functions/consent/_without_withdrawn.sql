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
    reasons text[];
begin
    select array_agg(j.id), array_agg(j.reason) into gone, reasons
    from (
        select o.id, capi._withdrawn(o.source, o.key, o.captured_at, d.platform, d.name) as reason
        from capi.outbox o
        join capi.destination d on d.destination = p_batch.destination
        where o.id = any (p_batch.events) and o.captured_at between p_batch.captured_from and p_batch.captured_to
        -- A fence: each is judged once.
        offset 0
    ) j
    where j.reason is not null;
    if gone is null then
        return p_batch.events;
    end if;
    perform capi._end_events(p_batch, gone, '{suppressed}', reasons, null, clock_timestamp());
    return (select array_agg(e order by n) from unnest(p_batch.events) with ordinality u (e, n) where not e = any (gone));
end
$$;

comment on function capi._without_withdrawn is 'The events of a batch whose consent still stands; settles the others.';
