create or replace function capi.bell_keep() returns boolean
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$ select pg_try_advisory_lock(capi._bell_key(), 5) $$;
