create or replace function capi.withdraw(
    source text,
    key text,
    destinations text[] default null,
    note text default null
) returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    refused text[] := coalesce(destinations, '{*}');
    unknown text;
    n bigint := 0;
    tracked record;
begin
    select x into unknown from unnest(destinations) x
    where not exists (select from capi.destination d where x in (d.name, d.platform)) limit 1;
    if unknown is not null or destinations = '{}' then
        raise exception 'destinations must name destinations or platforms' using errcode = 'invalid_parameter_value',
            hint = 'Leave them out to withdraw from all. capi.status() lists the names.';
    end if;
    for tracked in
        select s.source as id, array(select distinct r.destination from capi.route r where r.source = s.source) as routes
        from capi._named(source) s order by s.source
    loop
        insert into capi.withdrawal as w (source, key, refused, reason, note)
        values (tracked.id, key, refused, 'withdrawn', note)
        on conflict on constraint withdrawal_pkey do update
        -- Exceptions to everything end when everything is withdrawn.
        set refused = array(select distinct x from unnest(w.refused || excluded.refused) x
                where not ('*' = any (excluded.refused) and x like '!%') order by x),
            at = clock_timestamp(), xid = pg_current_xact_id(), by_role = session_user, note = excluded.note;
        n := n + (
            select count(*)
            from capi._delivery d
            where d.source_id = tracked.id and d.key = withdraw.key
                and d.status in ('pending', 'retrying')
                and capi._refuses(refused, d.platform, d.destination));
    end loop;
    return n;
end
$$;
