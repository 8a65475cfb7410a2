-- Makes the weekly partitions of one table from this week to `p_ahead` from now.
create or replace function capi._partitions(
    p_table text,
    p_ahead interval
) returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
    week timestamp := date_trunc('week', now() at time zone 'UTC');
    made integer := 0;
begin
    while week <= (now() + p_ahead) at time zone 'UTC' loop
        made := made + capi._partition(p_table, week)::integer;
        week := week + interval '7 days';
    end loop;
    return made;
end
$$;

comment on function capi._partitions is 'Makes weekly partitions of one table.';
