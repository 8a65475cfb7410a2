create or replace function capi.bell_disarm() returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Session locks count how often they were taken.
    while exists (select from capi.locks() h where h.lock = 'bell' and h.pid = pg_backend_pid()) loop
        perform capi._unlock('bell');
    end loop;
end
$$;

comment on function capi.bell_disarm is 'For the sidecar: disarms the doorbell, so that commits need not notify.';
grant execute on function capi.bell_disarm to capi_sidecar;
