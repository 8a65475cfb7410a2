create or replace function capi.alert_note(
    p_findings jsonb
) returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    at timestamptz := clock_timestamp();
    cleared integer;
    raised integer;
begin
    -- Several sidecars look at the same things, in any order.
    perform capi._lock('alerts');
    update capi.alert a
    set cleared_at = at, posts = 0, post_at = at
    from jsonb_to_recordset(p_findings) f (kind text, subject text, step text)
    where a.kind = f.kind and a.subject = f.subject and f.step is null and a.cleared_at is null;
    get diagnostics cleared = row_count;

    begin
        insert into capi.alert as a (kind, subject, step, detail, raised_at, changed_at, post_at)
        select f.kind, f.subject, f.step, coalesce(f.detail, '{}'), at, at, at
        from jsonb_to_recordset(p_findings) f (kind text, subject text, step text, detail jsonb)
        where f.step is not null
        on conflict (kind, subject) where cleared_at is null do update
        set step = excluded.step, detail = excluded.detail, changed_at = at, posts = 0, post_at = at
        where a.step <> excluded.step;
        get diagnostics raised = row_count;
    -- Postgres would quote the row.
    exception when check_violation or not_null_violation or cardinality_violation then
        raise exception 'a finding has no subject, an unknown kind, or comes twice'
            using errcode = 'invalid_parameter_value',
                hint = 'Each finding needs a kind of the column capi.alerts.kind and a subject, and is named once.';
    end;

    delete from capi.alert a where a.cleared_at < at - interval '90 days';
    return cleared + raised;
end
$$;

comment on function capi.alert_note is 'For the sidecar: raises alerts, changes their step, or clears them (step null): [{"kind", "subject", "step", "detail"}]. Returns the number of changes.';
grant execute on function capi.alert_note to capi_sidecar;
