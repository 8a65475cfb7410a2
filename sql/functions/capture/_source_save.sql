-- Writes down a source, its version and its routes; returns its id. Called by capi.track, which
-- runs with the caller's rights; this part runs as the owner and so checks the caller's rights and
-- everything that it is told itself: an administrator must not make somebody else's view flow into the
-- outbox.
create or replace function capi._source_save(
    p_source regclass,
    p_conversions regclass,
    p_destinations text[],
    p_options jsonb,
    p_caller text default capi._who()
) returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    s capi.source;
    table_name text;
    view_name text;
    wanted integer[];
    at timestamptz;
    problem record;
    owner oid;
    caller oid := capi._whose(p_caller);
    said jsonb;
begin
    if not exists (
        select from pg_roles r
        where pg_has_role(caller, r.oid, 'member')
            and has_table_privilege(r.oid, p_conversions, 'select')
    ) then
        raise exception 'permission denied for view %', p_conversions
            using errcode = 'insufficient_privilege',
                hint = format('Who tracks a view must be allowed to read it: grant select on %s to %s;', p_conversions, caller::regrole);
    end if;
    if not pg_has_role(caller, (select c.relowner from pg_class c where c.oid = p_source), 'member') then
        raise exception 'must be owner of table %', p_source using errcode = 'insufficient_privilege',
            hint = 'Whose orders they are decides what becomes of them.';
    end if;
    said := capi._row_options(p_options ->> 'default_country', p_options ->> 'consent', p_options ->> 'on_error',
            p_options ->> 'date_order', coalesce(p_options ->> 'hashed_phone', 'digits'))
        || jsonb_strip_nulls(jsonb_build_object(
            'only_if', p_options -> 'only_if', 'on_columns', p_options -> 'on_columns', 'also', p_options -> 'also'));
    if said <> p_options then
        raise exception 'unknown options of a source' using errcode = 'invalid_parameter_value',
            hint = 'capi.track puts them together.';
    end if;
    for problem in
        select f.finding, f.hint from capi._findings(p_conversions, p_source, null::text[], said) f
        where f.severity = 'error' order by f.field nulls first limit 1
    loop
        raise exception 'cannot track %: %', p_conversions, problem.finding
            using errcode = 'invalid_object_definition', hint = problem.hint;
    end loop;
    select format('%I.%I', n.nspname, c.relname) into strict table_name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = p_source;
    select format('%I.%I', n.nspname, c.relname) into strict view_name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = p_conversions;
    if exists (select from capi.source x where x.name = table_name and x.relation is null) then
        raise exception 'an emitter has the name %', table_name using errcode = 'duplicate_object',
            hint = 'An event is unique by the name of its source; rename the table for the moment of its first tracking.';
    end if;
    select coalesce(array_agg(capi._destination_id(d)), '{}') into wanted
    from unnest(p_destinations) d;

    -- No carving until commit: it would pass the first events of a route that it cannot see yet.
    perform from capi.cursor c
    where c.destination = any (wanted)
        or c.destination in (
            select r.destination from capi.route r
            join capi.source x on x.source = r.source
            where x.relation = p_source and r.until is null
        )
    order by c.destination
    for update;
    at := clock_timestamp();

    -- Found again by identity or by name: history goes on under the name of the first tracking.
    select * into s from capi.source x
    where (x.relation = p_source and x.conversions = p_conversions)
        or (x.name = table_name and x.conversions_name = view_name)
    order by x.relation = p_source desc limit 1
    for update;
    -- By name it may be another one's: the table has got another name, and somebody made one like it.
    if found and s.relation <> p_source and not coalesce((
        select pg_has_role(caller, c.relowner, 'member') from pg_class c where c.oid = s.relation
    ), true) then
        raise exception 'the source % is the table %', s.name, s.relation using errcode = 'insufficient_privilege',
            hint = 'It was tracked under this name. Its owner calls capi.untrack before another table can take its place.';
    end if;
    if s.source is null then
        insert into capi.source
            (name, relation, conversions, conversions_name, key_columns, options, version)
        values (
            coalesce((select x.name from capi.source x where x.relation = p_source limit 1), table_name),
            p_source, p_conversions, view_name, capi._key_columns(p_source), said, 0)
        returning * into s;
    end if;
    insert into capi.source_version (source, view_definition, columns, options, rules)
    select s.source, pg_get_viewdef(p_conversions, true),
        (select jsonb_object_agg(c.name, c.type) from capi._view_columns(p_conversions) c),
        said, capi.rules_version()
    returning version into s.version;
    update capi.source x
    set relation = p_source, conversions = p_conversions, key_columns = capi._key_columns(p_source),
        -- Looked up by hand: this runs as the owner, who has no USAGE on the application's schemas.
        also_tables = coalesce((
            select array_agg(c.oid::regclass)
            from jsonb_object_keys(said -> 'also') k
            cross join parse_ident(k) part
            join pg_namespace n on n.nspname = part[1]
            join pg_class c on c.relnamespace = n.oid and c.relname = part[2]
        ), '{}'),
        options = said, version = s.version, tracked = true, stale_since = null, stale_reason = null, lends_rights = false,
        unpinned = exists (select from capi._unpinned_functions(p_conversions)),
        tracked_since = case when x.tracked then x.tracked_since else at end
    where x.source = s.source;

    -- Who restores his table from a dump makes its triggers again, and names their function: of the
    -- source, and of each table that `also` names.
    for owner in
        select distinct c.relowner
        from capi.source x
        join pg_class c on c.oid = p_source or c.oid = any (x.also_tables::oid[])
        where x.source = s.source and not has_schema_privilege(c.relowner, 'capi', 'usage')
    loop
        execute format('grant usage on schema capi to %s', owner::regrole);
    end loop;
    perform capi._routes_save(s.source, wanted, at);
    perform capi._forget_plans();
    return s.source;
end
$$;

comment on function capi._source_save is 'Writes down a source, its version and its routes.';
grant execute on function capi._source_save to capi_admin;
