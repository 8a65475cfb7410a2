-- Moves the rows of one week out of a default partition; null when there is nothing to move. More than
-- 50,000 of them stay where they are: moving them would hold up sidecar and captures for too long.
create or replace function capi._drain_default_partition() returns jsonb
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
    t text;
    stamp text;
    oldest timestamptz;
    week timestamp;
    waiting bigint;
begin
    foreach t in array array['outbox', 'attempt', 'receipt'] loop
        stamp := case t when 'attempt' then 'started_at' else 'captured_at' end;
        execute format('select min(%I) from capi.%I', stamp, t || '_default') into oldest;
        week := date_trunc('week', oldest at time zone 'UTC');
        continue when oldest is null or to_regclass(format('capi.%I', format('%s_%s', t, to_char(week, 'YYYYMMDD')))) is not null;
        execute format('select count(*) from (select from capi.%I where %I < %L limit 50001) x',
            t || '_default', stamp, (week + interval '7 days') at time zone 'UTC') into waiting;
        continue when waiting > 50000;
        perform capi._partition(t, week);
        return jsonb_build_object('table', t, 'moved', waiting);
    end loop;
    return null;
end
$$;

comment on function capi._drain_default_partition is 'Moves the rows of one week out of a default partition.';
