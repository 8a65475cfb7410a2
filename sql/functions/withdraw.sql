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
    -- google stands for its platforms, as it does where a row says its consent.
    refused text[] := case when destinations is null then '{*}'
        else array(select distinct x from unnest(capi._consent_names(destinations)) x order by x) end;
    n bigint := 0;
    tracked record;
begin
    if cardinality(destinations) = 0 or exists (
        select from unnest(destinations) x
        where x is null or not exists (
            select from capi.destination d where array[d.name, d.platform] && capi._consent_names(array[x])
        )
    ) then
        raise exception 'destinations must name destinations or platforms' using errcode = 'invalid_parameter_value',
            hint = coalesce(
                (select 'Known are ' || string_agg(word, ', ' order by word) || '.'
                from (
                    select d.name from capi.destination d
                    union
                    select d.platform from capi.destination d
                    union
                    select 'google' from capi.destination d where d.platform = any (capi._consent_names('{google}'))
                ) known (word)) || ' ', '') || 'Leave destinations out to withdraw from all.';
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
