-- After a promotion or a recovery to a moment: what the server before sent last may be unknown here,
-- claims and records included. Whatever is not settled by now may have been sent.
create or replace function capi._mark_doubtful() returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Of several sessions that find out, one is the first.
    update capi.installation i
    set timeline = capi._timeline(), doubtful_until = clock_timestamp(), updated_at = now()
    where i.timeline is distinct from capi._timeline();
    if found then
        update capi.batch set unknown = unknown + 1 where ticket is null;
    end if;
end
$$;

comment on function capi._mark_doubtful is 'After a promotion: marks what is not settled as possibly sent by the server before.';
