-- Takes note of another timeline. Claims that the lost server had committed may be missing here, and nobody
-- knows which: whatever was not delivered by now may have been sent.
create or replace function capi._timeline_changed() returns capi.installation
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    i capi.installation;
begin
    select * into strict i from capi.installation for update;
    if i.timeline <> capi._timeline() then
        update capi.installation x set timeline = capi._timeline(), timeline_since = clock_timestamp()
        returning * into i;
        update capi.batch b set unknown = b.unknown + 1 where b.ticket is null;
    end if;
    return i;
end
$$;
