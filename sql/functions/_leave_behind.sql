-- Notes now and then, in the transaction that opens a batch, that finished batches need not be looked at any
-- more: as long as a snapshot is held anywhere their dead rows stay.
--
-- The cursor is locked by whoever opens a batch, and whoever splits one leaves halves of higher numbers
-- than its own: nobody can still bring a batch of a lower number than all that are open now.
create or replace function capi._leave_behind(
    p_destination integer,
    p_batch bigint
) returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
    c record;
begin
    select x.step, x.first_batch, x.first_as_of into strict c from capi.cursor x where x.destination = p_destination
    order by x.step desc limit 1;
    if p_batch < c.first_as_of + 32 then
        return;
    end if;
    update capi.cursor u
    set step = u.step + 1,
        first_as_of = p_batch,
        first_batch = (select min(x.batch) from capi.batch x
            where x.destination = p_destination and x.batch >= c.first_batch)
    where u.destination = p_destination and u.step = c.step;
end
$$;
