-- Makes the partition of one week, unless it is there. Attaching locks neither readers nor writers of the
-- parent, only the default partition. That is empty unless nobody made partitions for weeks; then its
-- rows of the week move into the new one, and the whole table is locked meanwhile.
create or replace function capi._partition(
    p_table text,
    p_week timestamp
) returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
    first_day timestamptz := p_week at time zone 'UTC';
    next_week timestamptz := (p_week + interval '7 days') at time zone 'UTC';
    part text := format('%s_%s', p_table, to_char(p_week, 'YYYYMMDD'));
    stamp text := case p_table when 'attempt' then 'started_at' else 'captured_at' end;
    moves boolean;
begin
    if to_regclass(format('capi.%I', part)) is not null then
        return false;
    end if;
    -- Rows come and stay: the visibility map is kept fresh by what is inserted.
    execute format(
        'create table capi.%I (like capi.%I including all) with '
        '(autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02%s)', part, p_table,
        case p_table when 'outbox' then ', toast_tuple_target = 4080' else '' end);
    execute format('select exists (select from capi.%I where %I >= %L and %I < %L)',
        p_table || '_default', stamp, first_day, stamp, next_week) into moves;
    if moves then
        -- Who has planned without the new partition would not find the rows in it, and none in the old
        -- one: nobody may be planning.
        execute format('lock table capi.%I in access exclusive mode', p_table);
    end if;
    execute format('lock table capi.%I in access exclusive mode', p_table || '_default');
    if not moves then
        execute format('select exists (select from capi.%I where %I >= %L and %I < %L)',
            p_table || '_default', stamp, first_day, stamp, next_week) into moves;
        if moves then
            raise exception 'rows came meanwhile' using errcode = 'lock_not_available',
                hint = 'The next maintenance makes the partition.';
        end if;
    end if;
    execute format(
        'with moved as (delete from capi.%I where %I >= %L and %I < %L returning *) '
        'insert into capi.%I select * from moved',
        p_table || '_default', stamp, first_day, stamp, next_week, part);
    execute format('alter table capi.%I attach partition capi.%I for values from (%L) to (%L)',
        p_table, part, first_day, next_week);
    return true;
end
$$;

comment on function capi._partition is 'Makes the partition of one week.';
