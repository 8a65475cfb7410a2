create or replace function capi.bell_keep() returns boolean
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$ select capi._try_lock('keeper', 0, true) $$;

comment on function capi.bell_keep is 'For the sidecar: elects this session as the one that keeps the doorbell.';
grant execute on function capi.bell_keep to capi_sidecar;
