-- Removes resolved capture errors, rights of roles that are gone, old reports of pages, and the details of replays that retention has no more use for, some at
-- a time; null when there are none.
create or replace function capi._purge_old() returns jsonb
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    r capi.retention;
    errors bigint;
    replayed bigint;
    hits bigint;
    roles bigint := capi._forget_roles();
begin
    select * into r from capi.retention;
    with gone as (
        select e.error from capi.capture_error e
        where e.resolved_at < now() - r.errors
        limit 10000
    )
    delete from capi.capture_error e using gone where e.error = gone.error;
    get diagnostics errors = row_count;
    delete from capi.unrecorded_error u where u.hour < now() - r.errors;
    with gone as (
        select p.replay, p.event from capi.replay_event p
        join capi.replay_log y on y.replay = p.replay
        where p.captured_at < now() - r.receipts and y.finished_at < now() - r.receipts
        limit 10000
    )
    delete from capi.replay_event p using gone where p.replay = gone.replay and p.event = gone.event;
    get diagnostics replayed = row_count;
    -- As far back as capi.pixel_coverage looks.
    delete from capi.pixel_hit h where h.fired_at < now() - interval '30 days';
    get diagnostics hits = row_count;
    return case when errors + replayed + hits + roles > 0
        then jsonb_build_object('capture_errors', errors, 'replayed', replayed, 'pixel_hits', hits, 'roles', roles) end;
end
$$;

comment on function capi._purge_old is 'Removes resolved capture errors and details of replays that are old enough.';
