-- Writes down a source, its version and its routes; returns its id. Called by capi.track, which
-- runs with the caller's rights; this part runs as the owner and so checks the session's rights
-- itself: an administrator must not make somebody else's view flow into the outbox. (A superuser's
-- session that runs an administrator's own function lends it its rights, as everywhere.)
create or replace function capi._source_save(
    p_source regclass,
    p_conversions regclass,
    p_destinations text[],
    p_options jsonb
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
begin
    if not exists (
        select from pg_roles r
        where pg_has_role(session_user, r.oid, 'member')
            and has_table_privilege(r.oid, p_conversions, 'select')
    ) then
        raise exception 'permission denied for view %', p_conversions
            using errcode = 'insufficient_privilege',
                hint = format('Who tracks a view must be allowed to read it: grant select on %s to %I;', p_conversions, session_user);
    end if;
    if not pg_has_role(session_user, (select c.relowner from pg_class c where c.oid = p_source), 'member') then
        raise exception 'must be owner of table %', p_source using errcode = 'insufficient_privilege',
            hint = 'Whose orders they are decides what becomes of them.';
    end if;
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
    if not found then
        insert into capi.source
            (name, relation, conversions, conversions_name, key_columns, options, version)
        values (
            coalesce((select x.name from capi.source x where x.relation = p_source limit 1), table_name),
            p_source, p_conversions, view_name, capi._key_columns(p_source), p_options, 0)
        returning * into s;
    end if;
    insert into capi.source_version (source, view_definition, columns, options, rules)
    select s.source, pg_get_viewdef(p_conversions, true),
        (select jsonb_object_agg(c.name, c.type) from capi._view_columns(p_conversions) c),
        p_options, capi.rules_version()
    returning version into s.version;
    update capi.source x
    set relation = p_source, conversions = p_conversions, key_columns = capi._key_columns(p_source),
        options = p_options, version = s.version, tracked = true, stale_since = null, stale_reason = null,
        tracked_since = case when x.tracked then x.tracked_since else at end
    where x.source = s.source;

    perform capi._routes_save(s.source, wanted, at);
    perform capi._forget_plans();
    return s.source;
end
$$;
