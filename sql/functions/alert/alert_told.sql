create or replace function capi.alert_told(
    p_alert bigint,
    p_step text,
    p_recovered boolean
) returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
    update capi.alert a
    set told_step = case when p_recovered then a.told_step else p_step end,
        told_at = coalesce(a.told_at, clock_timestamp()),
        recovery_told_at = case when p_recovered then clock_timestamp() end,
        posts = 0,
        -- It may have changed meanwhile: that goes out at once.
        post_at = clock_timestamp()
    where a.alert = p_alert
$$;

comment on function capi.alert_told is 'For the sidecar: the receiver of alerts knows this one now.';
grant execute on function capi.alert_told to capi_sidecar;
