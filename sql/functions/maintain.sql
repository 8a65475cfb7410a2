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
    if not pg_try_advisory_xact_lock(capi._bell_key(), 4) then
        return jsonb_build_object('skipped', 'another session is at it', 'more', false);
    end if;
    foreach task in array array['batches', 'outbox', 'attempt', 'receipt', 'default', 'retention', 'errors', 'sweep'] loop
        started := clock_timestamp();
        done := null;
        problem := null;
        -- One that fails does not keep the others from their work.
        begin
            case task
                when 'batches' then done := capi._batches_found();
                when 'default' then done := capi._default_step();
                when 'retention' then done := capi._retain_step();
                when 'errors' then done := capi._age_out();
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
