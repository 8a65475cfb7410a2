-- Who holds the locks of this installation. Nobody takes them but its own functions, so a holder that
-- does not let go is a session that hangs.
create or replace function capi.locks() returns table (
    lock text,
    id integer,
    pid integer,
    role name,
    since timestamptz
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select n.lock, l.objid::bigint::integer, l.pid, a.usename, coalesce(a.xact_start, a.backend_start)
    from pg_locks l
    join capi._lock_names() n on n.number = l.classid::bigint and n.mark = l.objsubid
    left join pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'userlock' and l.granted
        and l.database = (select d.oid from pg_database d where d.datname = current_database())
    order by 1, 2, 3
$$;

comment on function capi.locks is 'Who holds the locks of this installation: bell, keeper, gate, ringer, maintenance, alerts, audience, replay. Only its own functions can take them.';
grant execute on function capi.locks to capi_sidecar, capi_analyst, capi_admin;
