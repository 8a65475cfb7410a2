create or replace function capi.bell_disarm() returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$ select pg_advisory_unlock(capi._bell_key(), 1) $$;
