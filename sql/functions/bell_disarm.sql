create or replace function capi.bell_disarm() returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Session locks count how often they were taken.
    while exists (
        select from pg_locks l
        where l.locktype = 'advisory' and l.pid = pg_backend_pid() and l.objsubid = 2
            and l.classid = 'capi'::regnamespace::oid and l.objid = 1 and l.mode = 'ExclusiveLock' and l.granted
            and l.database = (select d.oid from pg_database d where d.datname = current_database())
    ) loop
        perform pg_advisory_unlock(capi._bell_key(), 1);
    end loop;
end
$$;
