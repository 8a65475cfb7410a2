-- A member of the extension, unlike what it looks at. What of the schema is not its owner's: rights,
-- objects, and what would run with the owner's rights when his tables are used.
create function capi._strangers(
    p_owner oid
) returns table (
    problem text,
    hint text
)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with ours (schema, is_new) as (
        -- Until the first set-up the schema is a superuser's, whose own affairs are not looked into.
        select 'capi'::regnamespace::oid, (select r.rolsuper from pg_roles r where r.oid = p_owner)
    ),
    kept (classid, objid) as (
        select d.classid, d.objid from pg_depend d where d.refclassid = 'pg_extension'::regclass and d.deptype = 'e'
    )
    select case a.grantee when 0 then 'everybody' else format('role "%s"', a.grantee::regrole) end
            || ' may create objects in schema capi',
        format('Who could do so before the set-up may have left traps: look at the schema, drop extension pg_capi; '
            'drop schema capi cascade; create extension pg_capi. Later: revoke all on schema capi from %s;',
            case a.grantee when 0 then 'public' else a.grantee::regrole::text end)
    from ours join pg_namespace n on n.oid = ours.schema
    cross join aclexplode(n.nspacl) a
    where a.grantee <> n.nspowner and (a.privilege_type = 'CREATE' or a.is_grantable)
    union all
    select 'default privileges give away what the set-up makes',
        format(E'\\ddp shows them: alter default privileges for role %s%s revoke … from %s;', d.defaclrole::regrole,
            case when d.defaclnamespace <> 0 then ' in schema capi' end,
            case a.grantee when 0 then 'public' else a.grantee::regrole::text end)
    from ours join pg_default_acl d on d.defaclnamespace = ours.schema or d.defaclnamespace = 0 and d.defaclrole = p_owner and not ours.is_new
    cross join aclexplode(d.defaclacl) a
    -- What everybody may do with functions and types by default is taken back anyway.
    where a.grantee <> d.defaclrole and (a.grantee <> 0 or not d.defaclobjtype in ('f', 'T'))
    union all
    select format('role "%s" is a member of the owner of schema capi', m.member::regrole),
        format('The owner lends its rights to nobody: revoke %s from %s;', m.roleid::regrole, m.member::regrole)
    from ours join pg_auth_members m on m.roleid = p_owner and not ours.is_new
    join pg_roles r on r.oid = m.member and not r.rolsuper
    union all
    select pg_describe_object(o.classid, o.objid, 0) || ' is not of this set-up',
        'Look at it, drop it or move it to another schema, and run capi.setup() again.'
    from (
        select 'pg_proc'::regclass::oid as classid, p.oid as objid
        from ours join pg_proc p on p.pronamespace = ours.schema where p.proowner <> p_owner
        union all
        select 'pg_class'::regclass, c.oid
        from ours join pg_class c on c.relnamespace = ours.schema where c.relowner <> p_owner
        union all
        select 'pg_type'::regclass, t.oid
        from ours join pg_type t on t.typnamespace = ours.schema
        where t.typowner <> p_owner and t.typelem = 0 and t.typrelid = 0
        union all
        -- Operators, collations and the like: there are none.
        select d.classid, d.objid
        from ours join pg_depend d on d.refclassid = 'pg_namespace'::regclass and d.refobjid = ours.schema
        where not d.classid in ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_type'::regclass, 'pg_constraint'::regclass,
                'pg_extension'::regclass, 'pg_default_acl'::regclass)
            and d.classid is distinct from to_regclass('pg_publication_namespace')
        union all
        select 'pg_trigger'::regclass, g.oid
        from ours join pg_class c on c.relnamespace = ours.schema
        join pg_trigger g on g.tgrelid = c.oid and not g.tgisinternal and g.tgparentid = 0
        join pg_proc p on p.oid = g.tgfoid and p.pronamespace <> ours.schema
        union all
        select 'pg_rewrite'::regclass, w.oid
        from ours join pg_class c on c.relnamespace = ours.schema
        join pg_rewrite w on w.ev_class = c.oid and w.rulename <> '_RETURN'
        union all
        select 'pg_policy'::regclass, y.oid
        from ours join pg_class c on c.relnamespace = ours.schema
        join pg_policy y on y.polrelid = c.oid
        union all
        -- Defaults, checks, indexes and views that call a function from elsewhere.
        select d.classid, d.objid
        from ours join pg_depend d on d.refclassid = 'pg_proc'::regclass
            and d.classid in ('pg_attrdef'::regclass, 'pg_constraint'::regclass, 'pg_class'::regclass, 'pg_rewrite'::regclass)
        join pg_proc p on p.oid = d.refobjid and p.pronamespace <> ours.schema
        where exists (
            select from pg_class c
            where c.relnamespace = ours.schema and c.oid = case d.classid
                when 'pg_class'::regclass then d.objid
                when 'pg_attrdef'::regclass then (select x.adrelid from pg_attrdef x where x.oid = d.objid)
                when 'pg_constraint'::regclass then (select x.conrelid from pg_constraint x where x.oid = d.objid)
                else (select x.ev_class from pg_rewrite x where x.oid = d.objid) end
        )
    ) o
    where not exists (select from kept k where k.classid = o.classid and k.objid = o.objid)
$$;
