-- First key of every advisory lock of this installation; the second says which:
-- 1 the bell, held exclusively while the sidecar sleeps; 2 the gate, shared by writers that rely on
-- another one's ringing; 3 the ringer; 4 maintenance; 5 the keeper of the bell;
-- 6 the list of alerts.
create or replace function capi._bell_key() returns integer
language sql
stable
set search_path = pg_catalog, pg_temp
as $$ select 'capi'::regnamespace::oid::integer $$;
