-- Reads the next events from before a route was made; no row when there is nothing to send. What can
-- never be sent is settled here, by receipt. Everything in the past is committed, so that ids are a
-- safe order.
create or replace function capi._carve_past(
    p_destination integer,
    p_limit integer
) returns table (
    events bigint[],
    captured_from timestamptz,
    captured_to timestamptz
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
as $$
#variable_conflict use_column
declare
    d capi.destination;
    r capi.route;
    here bigint;
    seen bigint;
    read_to bigint;
    taken bigint;
    taken_to bigint;
    ids bigint[];
    oldest timestamptz;
    newest timestamptz;
    doubtful_until timestamptz := capi._doubtful_until(p_destination);
begin
    select c.era into here from capi.cursor c where c.destination = p_destination
    order by c.step desc limit 1
    for update skip locked;
    if not found then
        return;             -- another worker is carving
    end if;
    select * into strict d from capi.destination x where x.destination = p_destination;

    -- Bounded: a page may hold nothing but events of other sources.
    for round in 1..20 loop
        select * into r from capi.route x
        where x.destination = p_destination and x.past_id is not null
        order by x.since, x.source limit 1;
        exit when not found;
        with
        page as materialized (
            select o.id, o.captured_at, o.xid, o.era, o.source, o.key, o.refused, o.event_name, o.action_source,
                o.event_time
            from capi.outbox o
            where o.id > r.past_id and o.captured_at >= r.since and o.captured_at < least(r.until, r.past_until)
            order by o.id
            limit 10000
        ),
        next as (
            select p.* from page p
            where p.source = r.source and (p.era <> here or pg_visible_in_snapshot(p.xid, r.past))
            order by p.id
            limit p_limit
        ),
        judged as materialized (
            select n.id, n.captured_at,
                coalesce(
                    case when capi._is_settled_or_open(n.id, n.captured_at, p_destination) then 'elsewhere' end,
                    capi._withdrawn(n.source, n.key, n.captured_at, d.platform, d.name),
                    case when capi._refuses(n.refused, d.platform, d.name) then 'suppressed' end,
                    capi._fate(d.platform, n.event_name, n.action_source, n.event_time, clock_timestamp()),
                    'send'
                ) as fate
            from next n
        ),
        settled as (
            insert into capi.receipt (event, captured_at, destination, possible_duplicate, status, reason)
            select j.id, j.captured_at, p_destination, coalesce(j.captured_at <= doubtful_until, false),
                case when j.fate in ('withdrawn', 'forgotten') then 'suppressed' else j.fate end::capi.receipt_status,
                case j.fate when 'suppressed' then 'consent_refused' when 'expired' then 'too_old'
                    when 'withdrawn' then 'withdrawn' when 'forgotten' then 'forgotten' else 'unknown_event' end
            from judged j
            where j.fate not in ('send', 'elsewhere')
            on conflict do nothing
        )
        select (select count(*) from page), (select max(p.id) from page p),
            count(*), max(j.id),
            array_agg(j.id order by j.id) filter (where j.fate = 'send'),
            min(j.captured_at) filter (where j.fate = 'send'),
            max(j.captured_at) filter (where j.fate = 'send')
        into seen, read_to, taken, taken_to, ids, oldest, newest
        from judged j;

        update capi.route x
        set past_id = case when taken = p_limit then taken_to when seen = 10000 then read_to end
        where x.source = r.source and x.destination = r.destination and x.since = r.since;

        if ids is not null then
            return query select ids, oldest, newest;
            return;
        end if;
    end loop;
end
$$;

comment on function capi._carve_past is 'Reads the next events from before a route was made, by id.';
