create or replace function capi.replay(
    destination text,
    events bigint[],
    note text default null,
    dry_run boolean default false
) returns table (
    fate text,
    number bigint
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    d capi.destination;
    id bigint;
    fates jsonb;
begin
    perform capi._not_inside();
    perform capi._check_note('note', replay.note);
    select * into strict d from capi.destination x where x.destination = capi._destination_id(replay.destination);
    -- One at a time: no event may be in two replays.
    perform capi._lock('replay', d.destination);
    if not dry_run then
        insert into capi.replay_log as y (destination, asked, taken, left_out, note)
        values (d.destination, 0, 0, '{}', note)
        returning y.replay into id;
    end if;
    with named as (
        select distinct e as event from unnest(replay.events) e where e is not null
    ),
    busy as (
        select e.event from capi.batch b cross join unnest(b.events) e (event) where b.destination = d.destination
        union
        select p.event
        from capi.replay_log y
        join capi.replay_event p on p.replay = y.replay and p.event > y.last_event
        where y.destination = d.destination and y.finished_at is null
    ),
    judged as materialized (
        select n.event,
            case
                when o.id is null then 'not_in_the_outbox'
                when b.event is not null then 'open'
                -- As capi._replay_bar, written out: a call per event costs more than all the rest.
                when r.event is not null then coalesce(
                    (
                        select w.reason
                        from capi.withdrawal w
                        where w.source = o.source and w.key = o.key and w.at >= o.captured_at
                            and capi._refuses(w.refused, d.platform, d.name)
                    ),
                    case when o.refused <> '{}' and capi._refuses(o.refused, d.platform, d.name) then 'consent_refused' end,
                    case capi._fate(d.platform, o.event_name, o.action_source, o.event_time, clock_timestamp())
                        when 'expired' then 'too_old' end,
                    'replayed')
                -- Routed and without an outcome: the cursor comes to it by itself.
                when exists (
                    select from capi.route t
                    where t.source = o.source and t.destination = d.destination
                        and o.captured_at >= t.since and (t.until is null or o.captured_at < t.until)
                ) then 'open'
                else 'not_routed'
            end as fate,
            r.captured_at, r.status, r.reason, r.attempts, r.attempt, r.possible_duplicate, r.settled_at
        from named n
        left join capi.outbox o on o.id = n.event
        left join capi.receipt r on r.event = o.id and r.captured_at = o.captured_at and r.destination = d.destination
        left join busy b on b.event = n.event
    ),
    taken as (
        insert into capi.replay_event
            (replay, event, captured_at, status, reason, attempts, attempt, possible_duplicate, settled_at)
        select id, j.event, j.captured_at, j.status, j.reason, j.attempts, j.attempt, j.possible_duplicate, j.settled_at
        from judged j
        where j.fate = 'replayed' and not dry_run
    )
    select coalesce(jsonb_object_agg(f.fate, f.n), '{}') into fates
    from (select j.fate, count(*) as n from judged j group by j.fate) f;
    if not dry_run then
        update capi.replay_log y
        set asked = (select coalesce(sum(f.value::bigint), 0) from jsonb_each_text(fates) f),
            taken = coalesce((fates ->> 'replayed')::bigint, 0),
            left_out = fates - 'replayed',
            finished_at = case when not fates ? 'replayed' then clock_timestamp() end
        where y.replay = id;
        -- The sidecar may be asleep; this is rare enough for a plain NOTIFY.
        notify capi;
    end if;
    return query select f.key, f.value::bigint from jsonb_each_text(fates) f order by 1;
end
$$;

comment on function capi.replay is 'Sends events (capi.delivery.event) to a destination again that have an outcome there. Left out and counted: what is open, too old, withdrawn, forgotten or refused by the customer, not routed there, or no longer in the outbox. dry_run => true only counts. Returns numbers by fate.';
grant execute on function capi.replay to capi_admin;
