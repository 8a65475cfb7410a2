-- Creates the deferred triggers of a source on one table, with the caller's rights. The WHEN clause
-- notes the key in backend memory and is true for the first one only, so that a transaction
-- queues one deferred event per source, whatever it changes.
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
            -- As capture reads them, whatever the session's settings.
            (select string_agg(format(capi._spelling(a.atttypid, a.attcollation), format('new.%I', k)), ', ' order by n)
            from unnest(p_keys) with ordinality x (k, n)
            join pg_attribute a on a.attrelid = p_table and a.attname = k))
        end;
    condition text := case when p_only_if is null then note
        else format('case when (%s) then %s else false end', p_only_if, note) end;
    event text;
    columns text;
    name text;
    wanted text;
begin
    perform capi._not_inside();
    foreach event in array array['insert', 'update'] loop
        columns := case when event = 'update' and p_on_columns is not null then
            (select ' OF ' || string_agg(format('%I', c), ', ') from (select distinct unnest(p_on_columns || p_keys)) x (c)) else '' end;
        name := format('capi_%s_%s', p_source, event);
        wanted := format('CREATE CONSTRAINT TRIGGER %I AFTER %s ON %s DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (%s) EXECUTE FUNCTION capi._capture(%L)',
            name, case event when 'insert' then 'INSERT' else 'UPDATE' end || columns, p_table, condition, p_source);
        if exists (
            select from pg_trigger g
            where g.tgrelid = p_table and g.tgname = name and g.tgenabled = 'O'
                and obj_description(g.oid, 'pg_trigger') = wanted
        ) then
            continue;       -- replacing it would lock out the table's readers
        end if;
        if exists (select from pg_trigger g where g.tgrelid = p_table and g.tgname = name) then
            execute format('drop trigger %I on %s', name, p_table);
        end if;
        execute wanted;
        execute format('comment on trigger %I on %s is %L', name, p_table, wanted);
    end loop;
end
$$;

comment on function capi._make_triggers is 'Creates the deferred triggers of a source on one table.';
grant execute on function capi._make_triggers to capi_admin;
