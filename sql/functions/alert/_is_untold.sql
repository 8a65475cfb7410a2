-- Whether the receiver of alerts does not know the latest of one yet. What nobody could be told
-- within a day is no news any more.
create or replace function capi._is_untold(
    p_alert capi.alert
) returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select case when p_alert.cleared_at is null
        then p_alert.told_step is distinct from p_alert.step
            and p_alert.changed_at > now() - interval '1 day'
        else p_alert.told_step is not null and p_alert.recovery_told_at is null
            and p_alert.cleared_at > now() - interval '1 day'
        end
$$;

comment on function capi._is_untold is 'Whether the receiver of alerts does not know the latest of one yet.';
