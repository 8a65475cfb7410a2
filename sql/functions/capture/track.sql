create or replace function capi.track(
    source regclass,
    conversions regclass,
    destinations text[] default '{}',
    also jsonb default '{}',
    only_if text default null,
    on_columns text[] default null,
    default_country text default null,
    consent text default 'required',
    on_error text default 'record',
    date_order text default null,
    hashed_phone text default 'digits'
) returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
#variable_conflict use_variable
declare
    options jsonb;
    id integer;
    problem text;
    advice text;
    keys text[] := capi._key_columns(source);
    tables regclass[];
    t regclass;
    other record;
begin
    perform capi._not_inside();
    options := capi._row_options(default_country, consent, on_error, date_order, hashed_phone)
        || jsonb_strip_nulls(jsonb_build_object(
            'only_if', only_if, 'on_columns', to_jsonb(on_columns), 'also', also));

    -- The same validator as check_view; the first error stops.
    select format('%s%s', f.field || ': ', f.finding), f.hint into problem, advice
    from capi._findings(conversions, source, null::text[], options) f
    where f.severity = 'error' order by f.field nulls first limit 1;
    if problem is not null then
        raise exception 'cannot track %: %', conversions, problem
            using errcode = 'invalid_object_definition',
                hint = coalesce(advice, '') || ' See all findings: select * from capi.check_view('
                    || quote_literal(conversions::text) || ');';
    end if;
    id := capi._source_save(source, conversions, destinations, options);

    -- Children by inheritance do not fire their parent's row triggers; partitions do.
    with recursive children (relation) as (
        select source::oid
        union
        select i.inhrelid from pg_inherits i
        join children c on c.relation = i.inhparent
        join pg_class k on k.oid = i.inhrelid and not k.relispartition
    )
    select array_agg(c.relation::regclass) into tables from children c;
    foreach t in array tables loop
        perform capi._make_triggers(t, id, keys, only_if, on_columns);
    end loop;
    -- Unqualified names would be looked up in the pinned path.
    if exists (select from jsonb_object_keys(also) k where to_regclass(k) is null) then
        raise exception 'also names a table that is not there' using errcode = 'undefined_table',
            hint = 'Give schema and table: {"shop.payments": "order_id"}.';
    end if;
    if exists (select from jsonb_object_keys(also) k where k::regclass = any (tables)) then
        raise exception 'also names the source itself' using errcode = 'invalid_parameter_value',
            hint = 'Name other tables that make a row appear in the view.';
    end if;
    for other in select e.key::regclass as relation, e.value as column from jsonb_each_text(also) e loop
        if cardinality(keys) > 1 then
            raise exception 'also needs a source with a key of one column' using errcode = 'feature_not_supported';
        end if;
        perform from capi._view_columns(other.relation) c
        join capi._view_columns(source) k on k.name = keys[1]
        where c.name = other.column
            and (c.type_oid = k.type_oid
                or c.type in ('smallint', 'integer', 'bigint') and k.type in ('smallint', 'integer', 'bigint'));
        if not found then
            raise exception 'also: % has no column % that could hold the key of %', other.relation, quote_ident(other.column), source
                using errcode = 'datatype_mismatch',
                    hint = 'Name the column that refers to the source; it must have the type of its key.';
        end if;
        perform capi._make_triggers(other.relation, id, array[other.column]::text[], null::text, null::text[]);
    end loop;

    -- Triggers of an earlier tracking on tables that are no longer named. Anybody may give a trigger their
    -- name, or make one of a table of his own: it captures nothing.
    for other in
        select g.tgrelid::regclass as relation, g.tgname as name
        from pg_trigger g
        join pg_class c on c.oid = g.tgrelid and c.relpersistence <> 't' and pg_has_role(c.relowner, 'member')
        where g.tgfoid = 'capi._capture'::regproc and g.tgname in (format('capi_%s_insert', id), format('capi_%s_update', id))
            and not g.tgisinternal and g.tgparentid = 0
            and not g.tgrelid = any (tables)
            and not exists (select from jsonb_object_keys(also) k where k::regclass = g.tgrelid)
    loop
        execute format('drop trigger %I on %s', other.name, other.relation);
    end loop;

    problem := capi._trial(id);
    if problem is not null then
        raise exception 'cannot track %: a trial capture failed: %', conversions, problem
            using errcode = 'invalid_object_definition',
                hint = format('The view is read as its owner %s with search_path pg_catalog, row_security off '
                    'and no right to create temporary objects. Pin the search_path of functions that it calls%s, '
                    'and grant its owner what it reads.',
                    (select c.relowner::regrole from pg_class c where c.oid = conversions),
                    (select ' (' || string_agg(f::text, ', ') || ')' from capi._unpinned_functions(conversions) f));
    end if;
    return format('tracking %s through %s as source %s', source, conversions, id)
        || case when destinations = '{}' then '; without a destination nothing of it is ever sent' else '' end;
exception
    when lock_not_available then
        raise exception 'could not lock % within 2 seconds; nothing was changed', source
            using errcode = 'lock_not_available',
                hint = 'Creating a trigger waits for running writers. Try again at a quieter moment.';
end
$$;

comment on function capi.track is 'Captures the rows of a conversion view as its source changes. Creates deferred triggers, which waits up to 2 seconds for running writers, and makes one trial capture that is rolled back.';
grant execute on function capi.track to capi_admin;
