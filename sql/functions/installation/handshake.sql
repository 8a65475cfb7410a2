create or replace function capi.handshake() returns jsonb
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_build_object(
        'extension', (select e.extversion from pg_extension e where e.extname = 'pg_capi'),
        'library', capi.library_version(),
        'layout', i.layout,
        'instance', i.instance,
        -- The same for every generation.
        'database', capi._era(0),
        'adopted', capi._may_send(),
        'server_version_num', current_setting('server_version_num')::integer,
        'may', jsonb_build_object(
            'claim', has_function_privilege(session_user, 'capi.claim(integer, text, interval, integer, integer, bigint)', 'execute'),
            'adopt', has_function_privilege(session_user, 'capi.adopt()', 'execute'),
            'superuser', (select r.rolsuper from pg_roles r where r.rolname = session_user)
        )
    )
    from capi.installation i
$$;

comment on function capi.handshake is 'For the sidecar: versions, instance name, whether this database may send, and the session''s rights.';
grant execute on function capi.handshake to capi_sidecar, capi_admin;
