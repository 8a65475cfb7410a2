-- Creates the deferred triggers of a source on one table, with the caller's rights. The WHEN clause
-- notes the key in backend memory and is true for the first one only, so that a transaction
-- queues one deferred event, whatever it changes.
create or replace function capi._make_triggers(
    p_table regclass,
    p_source integer,
    p_keys text[],
    p_only_if text,
    p_on_columns text[]
) returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    integers boolean := (
        select bool_and(a.atttypid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype))
        from pg_attribute a where a.attrelid = p_table and a.attname = any (p_keys)
    );
    note text := case when cardinality(p_keys) = 1 and integers
        then format('capi._note(%s, new.%I)', p_source, p_keys[1])
        else format('capi._note(%s, array[%s])', p_source,
            (select string_agg(format('new.%I::text', k), ', ' order by n) from unnest(p_keys) with ordinality x (k, n)))
        end;
    condition text := case when p_only_if is null then note
        else format('case when (%s) then %s else false end', p_only_if, note) end;
    event text;
    columns text;
begin
    foreach event in array array['insert', 'update'] loop
        columns := case when event = 'update' and p_on_columns is not null then
            (select ' of ' || string_agg(format('%I', c), ', ') from unnest(p_on_columns || p_keys) c) else '' end;
        execute format('drop trigger if exists %I on %s', format('capi_%s_%s', p_source, event), p_table);
        execute format(
            'create constraint trigger %I after %s on %s deferrable initially deferred '
            'for each row when (%s) execute function capi._capture()',
            format('capi_%s_%s', p_source, event), event || columns, p_table, condition);
    end loop;
end
$$;
