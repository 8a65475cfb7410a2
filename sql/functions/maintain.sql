create or replace function capi.maintain() returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
    made integer := 0;
    t text;
begin
    if not pg_try_advisory_xact_lock(capi._bell_key(), 4) then
        return jsonb_build_object('skipped', 'another session is at it');
    end if;
    foreach t in array array['outbox', 'attempt', 'receipt'] loop
        made := made + capi._partitions(t, interval '5 weeks');
    end loop;
    return jsonb_build_object('partitions_made', made);
end
$$;
