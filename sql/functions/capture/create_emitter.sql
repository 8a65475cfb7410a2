create or replace function capi.create_emitter(
    name text,
    destinations text[] default '{}',
    callers text[] default '{}',
    default_country text default null,
    consent text default 'required',
    on_error text default 'record',
    date_order text default null,
    hashed_phone text default 'digits'
) returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    s capi.source;
    said jsonb := capi._row_options(default_country, consent, on_error, date_order, hashed_phone);
    stranger text;
    wanted integer[];
    at timestamptz;
begin
    perform capi._not_inside();
    if name is null or name !~ '^[a-z][a-z0-9_.-]{0,62}$' then
        raise exception 'name of an emitter must be 1 to 63 lower-case letters, digits, dots, dashes or underscores, a letter first'
            using errcode = 'invalid_parameter_value', hint = 'For example shop.carts.';
    end if;
    select c into stranger from unnest(callers) c
    where not exists (select from pg_roles r where r.rolname = c) limit 1;
    if stranger is not null then
        raise exception 'callers: there is no role "%"', stranger using errcode = 'undefined_object';
    end if;
    if coalesce(callers, '{}') <> '{}' then
        said := said || jsonb_build_object('callers', callers);
    end if;
    select coalesce(array_agg(capi._destination_id(d)), '{}') into wanted from unnest(destinations) d;
    if exists (select from capi.source x where x.name = create_emitter.name and x.relation is not null) then
        raise exception 'a tracked table has this name' using errcode = 'duplicate_object',
            hint = 'An event is unique by the name of its source; give the emitter another one.';
    end if;
    insert into capi.source (name, conversions_name, key_columns, options, version)
    values (name, 'capi.emit', '{}', said, 0)
    on conflict on constraint source_once do nothing;
    select * into strict s from capi.source x where x.name = create_emitter.name for update;
    -- No carving until commit: it would pass the first events of a route that it cannot see yet.
    perform from capi.cursor c
    where c.destination = any (wanted)
        or c.destination in (select r.destination from capi.route r where r.source = s.source and r.until is null)
    order by c.destination
    for update;
    at := clock_timestamp();
    insert into capi.source_version (source, view_definition, columns, options, rules)
    values (s.source, 'capi.emit', '{}', said, capi.rules_version())
    returning version into s.version;
    update capi.source x set options = said, version = s.version, tracked = true
    where x.source = s.source;
    delete from capi.emitter_caller c where c.source = s.source;
    insert into capi.emitter_caller (source, role, role_id)
    select distinct s.source, c, quote_ident(c)::regrole from unnest(callers) c;
    perform capi._routes_save(s.source, wanted, at);
    perform capi._forget_plans();
    return format('capi.emit takes events as source %s', name)
        || case when wanted = '{}' then '; without a destination nothing of it is ever sent' else '' end;
end
$$;

comment on function capi.create_emitter is 'Makes a source without a table, for capi.emit; called again it replaces what it was told. callers names the roles that may emit there; without them every member of the emitting role may. capi.untrack ends it.';
grant execute on function capi.create_emitter to capi_admin;
