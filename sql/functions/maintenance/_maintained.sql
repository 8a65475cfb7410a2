-- Keeps how a task of maintenance went. When all is well and nothing was to be done it writes once an
-- hour only: an idle database shall be idle.
create or replace function capi._maintained(
    p_task text,
    p_started timestamptz,
    p_result jsonb,
    p_problem text
) returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    nothing constant boolean := p_problem is null
        and (p_result is null or p_result @> '{"swept": "all", "captured": 0}');
begin
    if nothing and exists (
        select from capi.maintenance_task t
        where t.task = p_task and t.problem is null and t.last_run > now() - interval '1 hour'
    ) then
        return;
    end if;
    insert into capi.maintenance_task as t (task, last_run, took, result, problem, failing_since)
    values (p_task, p_started, clock_timestamp() - p_started, case when not nothing then p_result end, p_problem,
        case when p_problem is not null then p_started end)
    on conflict (task) do update
    set last_run = excluded.last_run, took = excluded.took, result = coalesce(excluded.result, t.result),
        problem = excluded.problem,
        failing_since = case when excluded.problem is not null then coalesce(t.failing_since, excluded.failing_since) end;
end
$$;

comment on function capi._maintained is 'Keeps how a task of maintenance went.';
