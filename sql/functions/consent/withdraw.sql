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
    spelled text;
    ids integer[] := array[]::integer[];
    spellings text[] := array[]::text[];
    delivered text;
    perhaps text;
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
    perform capi._check_key(key);
    perform capi._check_note('note', note);
    for tracked in
        select s.source as id, array(select distinct r.destination from capi.route r where r.source = s.source) as routes
        from capi._sources_named(source) s order by s.source
    loop
        spelled := capi._spelled(tracked.id, key);
        ids := ids || tracked.id;
        spellings := spellings || spelled;
        insert into capi.withdrawal as w (source, key, refused, reason, note)
        values (tracked.id, spelled, refused, 'withdrawn', note)
        on conflict on constraint withdrawal_pkey do update
        -- Exceptions to everything end when everything is withdrawn.
        set refused = array(select distinct x from unnest(w.refused || excluded.refused) x
                where not ('*' = any (excluded.refused) and x like '!%') order by x),
            at = clock_timestamp(), xid = pg_current_xact_id(), by_role = session_user, note = excluded.note;
        n := n + (
            select count(*)
            from capi._delivery d
            where d.source_id = tracked.id and d.key = spelled
                and d.status in ('pending', 'retrying')
                and capi._refuses(refused, d.platform, d.destination));
    end loop;
    -- For the answer to the customer: what cannot be called back.
    select string_agg(distinct d.destination, ', ') filter (where d.has = 'yes'),
        string_agg(distinct d.destination, ', ') filter (where d.has = 'perhaps')
    into delivered, perhaps
    from capi._delivery d
    where (d.source_id, d.key) in (select * from unnest(ids, spellings))
        and capi._refuses(refused, d.platform, d.destination);
    if delivered is not null then
        raise notice 'events of this row were delivered to %', delivered;
    end if;
    if perhaps is not null then
        raise notice 'events of this row may have arrived at %', perhaps;
    end if;
    return n;
end
$$;

comment on function capi.withdraw is 'Withdraws consent for the events of a row (key as in capi.delivery) that are captured already: to all or to the named destinations or platforms; google stands for google_ads and ga4. What waits is suppressed; what is under way or delivered cannot be called back. Returns the number of deliveries that it stops; a notice names the destinations that have events of the row, or may have.';
grant execute on function capi.withdraw to capi_admin;
