-- Notes now and then, in the transaction that opens a batch, that finished batches need not be looked at any
-- more: as long as a snapshot is held anywhere their dead rows stay.
--
-- The cursor is locked by whoever opens a batch, and whoever splits one leaves halves of higher numbers
-- than its own: nobody can still bring a batch of a lower number than all that are open now.
create or replace function capi._advance_first_batch(
    p_destination integer,
    p_batch bigint
) returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
    c record;
begin
    select x.step, x.first_batch, x.first_as_of into strict c from capi.cursor x where x.destination = p_destination
    order by x.step desc limit 1;
    if p_batch between c.first_as_of and c.first_as_of + 31 then
        return;
    end if;
    -- Numbers that went backwards, in a copy without its sequences: from the beginning.
    update capi.cursor u
    set step = u.step + 1,
        first_as_of = p_batch,
        first_batch = (
            select x.batch from capi.batch x
            where (x.destination, x.batch) >= (p_destination, case when p_batch < c.first_as_of then 0 else c.first_batch end)
                and x.destination <= p_destination
            order by x.destination, x.batch
            limit 1
        )
    where u.destination = p_destination and u.step = c.step;
    if not found then
        raise exception 'the cursor of destination % was changed under its lock', p_destination
            using errcode = 'object_in_use', hint = 'Each destination has one row in capi.cursor.';
    end if;
end
$$;

comment on function capi._advance_first_batch is 'Notes now and then that finished batches of a destination need not be looked at any more.';
