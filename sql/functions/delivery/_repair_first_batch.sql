-- Lowers the number below which a cursor says that no batch is open, where one is, so that it is found
-- again. Nothing brings that about but numbers that went backwards. Null when all is well.
create or replace function capi._repair_first_batch() returns jsonb
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    n bigint;
begin
    update capi.cursor c
    set step = c.step + 1, first_batch = b.first, first_as_of = 0
    from (select x.destination, min(x.batch) as first from capi.batch x group by x.destination) b
    where b.destination = c.destination and b.first < c.first_batch;
    get diagnostics n = row_count;
    return case when n > 0 then jsonb_build_object('destinations_with_lost_batches', n) end;
end
$$;

comment on function capi._repair_first_batch is 'Finds open batches again whose numbers are lower than the cursor says.';
