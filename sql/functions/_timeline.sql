-- The timeline of the cluster: another one after each promotion or recovery to a point in time.
create or replace function capi._timeline() returns integer
language sql
stable
set search_path = pg_catalog, pg_temp
as $$ select ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer $$;
