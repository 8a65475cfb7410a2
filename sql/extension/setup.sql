-- A member of the extension, unlike what it makes. Runs with the caller's rights: a superuser's.
create function capi.setup(
    instance text default null,
    owner text default 'capi_owner',
    sidecar text default 'capi_sidecar',
    analyst text default 'capi_analyst',
    admin text default 'capi_admin',
    emitter text default 'capi_emitter',
    tenant text default 'capi_tenant',
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
    schema_owner oid := (select n.nspowner from pg_namespace n where n.nspname = 'capi');
    known boolean;
    wanted record;
    step record;
    stranger record;
    names text[];
    ids oid[];
    before text[];
begin
    perform capi._not_inside();
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
    -- Before anything in it is looked at: reading a view would run its maker's functions as a superuser.
    if exists (
        select from pg_roles r
        where r.oid = schema_owner
            and case when fresh then not r.rolsuper and r.rolname <> owner else r.rolsuper or r.rolcanlogin end
    ) then
        raise exception 'schema capi belongs to role "%"', schema_owner::regrole
            using errcode = 'invalid_object_definition',
                hint = 'Whoever made it may have left traps. Look at it, then: drop extension pg_capi; '
                    'drop schema capi cascade; create extension pg_capi;';
    end if;
    for stranger in select x.* from capi._strangers(schema_owner) x order by x.problem limit 1 loop
        raise exception '%', stranger.problem using errcode = 'invalid_object_definition', hint = stranger.hint;
    end loop;
    if not fresh and not exists (
        select from pg_class c where c.oid = to_regclass('capi.installation') and c.relkind = 'r'
    ) then
        raise exception 'capi.installation is not a table' using errcode = 'invalid_object_definition',
            hint = 'Somebody replaced it. Look into it before going on.';
    end if;
    if not fresh then
        execute 'select array[owner_role, sidecar_role, analyst_role, admin_role, emitter_role, tenant_role],
            array[owner_id, sidecar_id, analyst_id, admin_id, emitter_id, tenant_id]::oid[] from capi.installation'
        into names, ids;
        -- A role that has got another name is followed; another role under the name is not.
        for step in
            select u.n, u.name, same.rolname as now, named.rolname is not null as taken
            from unnest(names, ids) with ordinality u (name, id, n)
            left join pg_roles same on same.oid = u.id
            left join pg_roles named on named.rolname = u.name
            where same.rolname is distinct from named.rolname
        loop
            if not step.taken then
                names[step.n] := coalesce(step.now, step.name);
            elsif not adopt then
                raise exception 'role "%" is another one than at the last set-up', step.name
                    using errcode = 'duplicate_object',
                        hint = 'If it is to have the rights of the one that was dropped or renamed: capi.setup(adopt => true).';
            end if;
        end loop;
        owner := names[1];
        sidecar := names[2];
        analyst := names[3];
        admin := names[4];
        emitter := names[5];
        tenant := names[6];
        if exists (
            select from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where n.nspname = 'capi' and c.relname in ('installation', 'outbox')
                and (c.relowner <> (select r.oid from pg_roles r where r.rolname = owner) or n.nspowner <> c.relowner)
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
            (admin, 'Manages destinations and tracking of capi.'),
            (emitter, 'May hand over events with capi.emit, nothing else.'),
            (tenant, 'Readers of one tenant of capi: what capi.grant_tenant names, nothing of the others.')
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

    -- Neither what default privileges have given of the extension's functions nor the schema itself is
    -- for anybody else.
    for wanted in
        select distinct a.grantee::regrole as name
        from (
            select n.nspacl as acl from pg_namespace n where n.nspname = 'capi'
            union all
            select p.proacl from pg_proc p where p.pronamespace = 'capi'::regnamespace
        ) x, aclexplode(x.acl) a
        where fresh and a.grantee <> 0 and a.grantee <> schema_owner
    loop
        execute format('revoke all on schema capi from %s', wanted.name);
        execute format('revoke all on all routines in schema capi from %s', wanted.name);
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
    before := array(
        select (p.oid, p.ctid)::text from pg_proc p
        where p.pronamespace = 'capi'::regnamespace and not exists (select from pg_depend d
            where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
    );
    execute format('set local role %I', owner);
    for step in
        select l.body from capi._layout() l
        where l.part = 'tables' and fresh or l.part = 'always'
        order by l.step
    loop
        begin
            execute capi._with_roles(step.body, owner, sidecar, analyst, admin, emitter, tenant);
        exception when ambiguous_function then
            raise exception '%', sqlerrm using errcode = 'invalid_object_definition',
                hint = 'One of the functions of that name is not of this set-up. Look at it, drop it, and run capi.setup() again.';
        end;
    end loop;
    -- What was not made anew is not of this version, and nothing may match a call better than what is.
    for stranger in
        select p.oid::regprocedure as name from pg_proc p
        where p.pronamespace = 'capi'::regnamespace and (p.oid, p.ctid)::text = any (before) limit 1
    loop
        raise exception 'function % is not of this set-up', stranger.name
            using errcode = 'invalid_object_definition',
                hint = format('Look at it, then drop function %s; and run capi.setup() again.', stranger.name);
    end loop;
    if fresh then
        execute 'insert into capi.installation
            (layout, instance, owner_role, sidecar_role, analyst_role, admin_role, emitter_role, tenant_role,
                owner_id, sidecar_id, analyst_id, admin_id, emitter_id, tenant_id, adopted_era, timeline)
            values ($1, coalesce($2, current_database()), $3, $4, $5, $6, $7, $8,
                quote_ident($3)::regrole, quote_ident($4)::regrole, quote_ident($5)::regrole,
                quote_ident($6)::regrole, quote_ident($7)::regrole, quote_ident($8)::regrole,
                capi._era(0), capi._timeline())'
        using capi.library_version(), instance, owner, sidecar, analyst, admin, emitter, tenant;
        execute 'insert into capi.era (era) values (capi._era(0))';
    else
        execute 'update capi.installation set layout = $1, instance = coalesce($2, instance), updated_at = now(),
            owner_role = $3, sidecar_role = $4, analyst_role = $5, admin_role = $6, emitter_role = $7, tenant_role = $8,
            owner_id = quote_ident($3)::regrole, sidecar_id = quote_ident($4)::regrole,
            analyst_id = quote_ident($5)::regrole, admin_id = quote_ident($6)::regrole,
            emitter_id = quote_ident($7)::regrole, tenant_id = quote_ident($8)::regrole'
        using capi.library_version(), instance, owner, sidecar, analyst, admin, emitter, tenant;
    end if;
    -- One table per call.
    for step in select from generate_series(1, 3) loop
        execute 'select capi.maintain()';
    end loop;
    execute format('set local role %I', caller);

    for step in select l.body from capi._layout() l where l.part = 'grants' order by l.step loop
        execute capi._with_roles(step.body, owner, sidecar, analyst, admin, emitter, tenant);
    end loop;
    execute format('grant execute on all functions in schema capi to %I', owner);
    -- So that capi.grant_tenant can let readers in.
    execute format('grant %I to %I with admin option', tenant, owner);
    for stranger in select x.* from capi._strangers(quote_ident(owner)::regrole) x order by x.problem limit 1 loop
        raise exception '%', stranger.problem using errcode = 'invalid_object_definition', hint = stranger.hint;
    end loop;
    return format('pg_capi %s is set up', capi.library_version());
end
$$;
