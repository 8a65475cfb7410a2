create or replace function capi.maintain() returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'
as $$
declare
    made integer;
    t text;
begin
    if not pg_try_advisory_xact_lock(capi._bell_key(), 4) then
        return jsonb_build_object('skipped', 'another session is at it');
    end if;
    -- One table per transaction: a lock on two of them could meet a reader of both.
    foreach t in array array['outbox', 'attempt', 'receipt'] loop
        made := capi._partitions(t, interval '5 weeks');
        if made > 0 then
            return jsonb_build_object('table', t, 'partitions_made', made, 'more', true);
        end if;
    end loop;
    -- As far back as capi.pixel_coverage looks.
    delete from capi.pixel_hit h where h.fired_at < now() - interval '30 days';
    return coalesce(capi._sweep_due(), '{"more": false}');
exception
    when lock_not_available then
        return jsonb_build_object('skipped', 'a table is in use', 'more', false);
end
$$;
