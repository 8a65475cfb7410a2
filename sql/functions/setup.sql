-- A member of the extension, unlike what it makes. Runs with the caller's rights: a superuser's.
create function capi.setup(
    instance text default null,
    owner text default 'capi_owner',
    sidecar text default 'capi_sidecar',
    analyst text default 'capi_analyst',
    admin text default 'capi_admin',
    adopt boolean default false
) returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set check_function_bodies = off
set client_min_messages = warning
as $$
#variable_conflict use_variable
declare
    caller text := current_user;
    fresh boolean := to_regclass('capi.installation') is null;
    known boolean;
    wanted record;
    step record;
begin
    if not (select r.rolsuper from pg_roles r where r.rolname = current_user) then
        raise exception 'capi.setup must be run by a superuser'
            using errcode = 'insufficient_privilege',
                hint = 'It creates roles and objects of another owner. Daily work needs no superuser.';
    end if;
    if pg_encoding_to_char((select d.encoding from pg_database d where d.datname = current_database())) <> 'UTF8' then
        raise exception 'the encoding of this database is not UTF8'
            using errcode = 'feature_not_supported',
                hint = 'Identifiers are hashed as UTF-8; other encodings cannot hold the names of all customers.';
    end if;
    if not fresh then
        execute 'select owner_role, sidecar_role, analyst_role, admin_role from capi.installation'
        into owner, sidecar, analyst, admin;
        if exists (
            select from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where n.nspname = 'capi' and c.relname in ('installation', 'outbox')
                and (c.relowner::regrole::text <> quote_ident(owner) or n.nspowner <> c.relowner)
        ) then
            raise exception 'schema capi does not belong to role "%" as capi.installation says', owner
                using errcode = 'invalid_object_definition', hint = 'Somebody changed its owner. Look into it before going on.';
        end if;
    end if;

    for wanted in
        select * from (values
            (owner, 'Owns the schema capi: its tables, views and security definer functions.'),
            (sidecar, 'May deliver: executes the delivery functions of capi, reads no table.'),
            (analyst, 'May read the views of capi: no digests, no IP addresses, no click ids.'),
            (admin, 'Manages destinations and tracking of capi.')
        ) r (name, comment)
    loop
        known := exists (select from pg_roles r where r.rolname = wanted.name);
        if not known then
            execute format('create role %I nologin', wanted.name);
            execute format('comment on role %I is %L', wanted.name, 'pg_capi: ' || wanted.comment);
        elsif fresh and not adopt then
            raise exception 'role "%" exists already and was not made by this installation', wanted.name
                using errcode = 'duplicate_object',
                    hint = 'Roles belong to the whole cluster: another database may use them. To share them run '
                        'capi.setup(adopt => true); for roles of its own give other names, for example '
                        'capi.setup(owner => ''shop_capi_owner'', …).';
        elsif exists (
            select from pg_roles r
            where r.rolname = wanted.name
                and (r.rolsuper or r.rolbypassrls or r.rolcreaterole or wanted.name = owner and r.rolcanlogin)
        ) then
            raise exception 'role "%" has more rights than it may have here', wanted.name
                using errcode = 'invalid_role_specification',
                    hint = 'It must be no superuser, without BYPASSRLS and CREATEROLE, and the owner without LOGIN.';
        end if;
    end loop;

    -- Whoever made the schema beforehand could have left traps in it.
    if fresh and exists (
        select from pg_class c where c.relnamespace = 'capi'::regnamespace
        union all
        select from pg_proc p where p.pronamespace = 'capi'::regnamespace
            and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass
                and d.objid = p.oid and d.deptype = 'e')
        union all
        select from pg_type t where t.typnamespace = 'capi'::regnamespace and t.typelem = 0
            and not exists (select from pg_depend d where d.classid = 'pg_type'::regclass
                and d.objid = t.oid and d.deptype = 'e')
    ) then
        raise exception 'schema capi holds objects that are not the extension''s'
            using errcode = 'duplicate_object', hint = 'Look at them, drop them, and run capi.setup() again.';
    end if;

    execute format('alter schema capi owner to %I', owner);
    -- What the owner makes in the next lines, he owns; the functions of the library he may call.
    execute format('grant execute on all functions in schema capi to %I', owner);
    execute format('set local role %I', owner);
    for step in
        select l.body from capi._layout() l
        where l.part = 'tables' and fresh or l.part = 'always'
        order by l.step
    loop
        execute capi._with_roles(step.body, owner, sidecar, analyst, admin);
    end loop;
    if fresh then
        execute 'insert into capi.installation
            (layout, instance, owner_role, sidecar_role, analyst_role, admin_role, adopted_era, timeline)
            values ($1, coalesce($2, current_database()), $3, $4, $5, $6, capi._era(0), capi._timeline())'
        using capi.library_version(), instance, owner, sidecar, analyst, admin;
        execute 'insert into capi.era (era) values (capi._era(0))';
    else
        execute 'update capi.installation set layout = $1, instance = coalesce($2, instance), updated_at = now()'
        using capi.library_version(), instance;
    end if;
    -- One table per call.
    for step in select from generate_series(1, 3) loop
        execute 'select capi.maintain()';
    end loop;
    execute format('set local role %I', caller);

    for step in select l.body from capi._layout() l where l.part = 'grants' order by l.step loop
        execute capi._with_roles(step.body, owner, sidecar, analyst, admin);
    end loop;
    execute format('grant execute on all functions in schema capi to %I', owner);
    return format('pg_capi %s is set up', capi.library_version());
end
$$;
