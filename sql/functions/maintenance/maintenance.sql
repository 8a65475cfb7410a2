create or replace function capi.maintenance() returns table (
    task text,
    last_run timestamptz,
    took_ms bigint,
    result jsonb,
    problem text,
    failing_since timestamptz
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select t.task, t.last_run, (extract(epoch from t.took) * 1000)::bigint, t.result, t.problem, t.failing_since
    from capi.maintenance_task t
    order by t.task
$$;

comment on function capi.maintenance is 'Tasks of maintenance: last run (written down when something was done or failed, else once an hour), duration, last result, and since when which problem.';
grant execute on function capi.maintenance to capi_sidecar, capi_analyst, capi_admin;
