create or replace function capi.maintain() returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'
as $$
declare
    task text;
    started timestamptz;
    made integer;
    done jsonb;
    problem text;
    failed text[] := array[]::text[];
begin
    if not capi._try_lock('maintenance') then
        return jsonb_build_object('skipped', 'another session is at it', 'more', false, 'by', (
            select format('pid %s, role %s', h.pid, h.role) from capi.locks() h where h.lock = 'maintenance' limit 1));
    end if;
    foreach task in array array['batches', 'outbox', 'attempt', 'receipt', 'default', 'retention', 'errors', 'stale', 'sweep'] loop
        started := clock_timestamp();
        done := null;
        problem := null;
        -- One that fails does not keep the others from their work.
        begin
            case task
                when 'batches' then done := capi._repair_first_batch();
                when 'default' then done := capi._drain_default_partition();
                when 'retention' then done := capi._drop_expired_partition();
                when 'errors' then done := capi._purge_old();
                when 'stale' then done := capi._revalidate_due();
                when 'sweep' then done := capi._sweep_due();
                else
                    made := capi._partitions(task, interval '5 weeks');
                    if made > 0 then
                        done := jsonb_build_object('table', task, 'partitions_made', made);
                    end if;
            end case;
        exception
            when lock_not_available then
                problem := 'a table is in use';
            when others then
                -- Never the message: the sweep reads views, and theirs quote values.
                problem := 'SQLSTATE ' || sqlstate;
        end;
        perform capi._maintained(task, started, done, problem);
        if problem is not null then
            failed := failed || task;
        elsif done is not null then
            -- One table per transaction: a lock on two of them could meet a reader of both.
            return jsonb_build_object('more', true) || done || jsonb_build_object('failed', failed);
        end if;
    end loop;
    return jsonb_build_object('more', false, 'failed', failed);
end
$$;

comment on function capi.maintain is 'One step of maintenance: partitions ahead, emptying the default ones, retention, aged capture errors, sweeps. {"more": true} asks for another call, failed lists tasks that failed. The sidecar calls it every ten minutes.';
grant execute on function capi.maintain to capi_sidecar, capi_admin;
