create or replace function capi.alert_claim() returns table (
    alert bigint,
    kind text,
    subject text,
    step text,
    detail jsonb,
    raised_at timestamptz,
    cleared_at timestamptz,
    told_step text
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    a capi.alert;
begin
    select * into a from capi.alert x
    where x.post_at <= clock_timestamp() and capi._is_untold(x)
    order by x.alert
    limit 1
    for update skip locked;
    if not found then
        return;
    end if;
    -- Until then it belongs to the caller; a receiver that is down is tried ever more rarely.
    update capi.alert x
    set posts = a.posts + 1,
        post_at = clock_timestamp() + least(interval '10 seconds' * 2 ^ least(a.posts, 10), interval '15 minutes')
    where x.alert = a.alert;
    return query select a.alert, a.kind, a.subject, a.step, a.detail, a.raised_at, a.cleared_at, a.told_step;
end
$$;

comment on function capi.alert_claim is 'For the sidecar: the next alert that the receiver does not know yet; it belongs to the caller for 10 seconds, after failures for longer.';
grant execute on function capi.alert_claim to capi_sidecar;
