-- Second key of the advisory lock that a sync of an audience holds as long as its session lives.
create or replace function capi._audience_lock(
    p_audience integer
) returns integer
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$ select -1000000000 - p_audience $$;
