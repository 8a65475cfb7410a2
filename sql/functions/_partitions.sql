-- Makes the weekly partitions of one table from this week to `p_ahead` from now. Attaching locks
-- neither readers nor writers of the parent; only the (empty) default partition is locked.
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
    part text;
    made integer := 0;
begin
    while week <= (now() + p_ahead) at time zone 'UTC' loop
        part := format('%s_%s', p_table, to_char(week, 'YYYYMMDD'));
        if to_regclass(format('capi.%I', part)) is null then
            execute format('create table capi.%I (like capi.%I including all)', part, p_table);
            execute format('alter table capi.%I attach partition capi.%I for values from (%L) to (%L)',
                p_table, part, week at time zone 'UTC', (week + interval '7 days') at time zone 'UTC');
            made := made + 1;
        end if;
        week := week + interval '7 days';
    end loop;
    return made;
end
$$;
