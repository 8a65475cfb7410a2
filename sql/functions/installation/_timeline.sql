-- The timeline of the write-ahead log: another one after every promotion and every recovery to a
-- moment. The control file would tell it only after the next checkpoint.
create or replace function capi._timeline() returns integer
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer;
end
$$;

comment on function capi._timeline is 'The timeline of the write-ahead log: another one after a promotion.';
