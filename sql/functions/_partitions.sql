-- Makes the weekly partitions of one table from this week to `p_ahead` from now. Attaching locks
-- neither readers nor writers of the parent, only the default partition. That is empty unless
-- nobody made partitions for weeks; then its rows of the week move into the new one.
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
    first_day timestamptz;
    next_week timestamptz;
    part text;
    made integer := 0;
    stamp text := case p_table when 'attempt' then 'started_at' else 'captured_at' end;
begin
    while week <= (now() + p_ahead) at time zone 'UTC' loop
        part := format('%s_%s', p_table, to_char(week, 'YYYYMMDD'));
        if to_regclass(format('capi.%I', part)) is null then
            first_day := week at time zone 'UTC';
            next_week := (week + interval '7 days') at time zone 'UTC';
            execute format('create table capi.%I (like capi.%I including all)%s', part, p_table,
                case p_table when 'outbox' then ' with (toast_tuple_target = 4080)' else '' end);
            execute format('lock table capi.%I in access exclusive mode', p_table || '_default');
            execute format(
                'with moved as (delete from capi.%I where %I >= %L and %I < %L returning *) '
                'insert into capi.%I select * from moved',
                p_table || '_default', stamp, first_day, stamp, next_week, part);
            execute format('alter table capi.%I attach partition capi.%I for values from (%L) to (%L)',
                p_table, part, first_day, next_week);
            made := made + 1;
        end if;
        week := week + interval '7 days';
    end loop;
    return made;
end
$$;
