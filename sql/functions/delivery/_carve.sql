-- Reads the next events of a destination from the outbox and moves its cursor; no row when there is
-- nothing to send. What can never be sent is settled here, by receipt.
--
-- Locking the cursor and taking the snapshot are two statements: in one, a waiter would take a
-- snapshot older than the cursor it then reads. Generic plans: a custom one may sort the backlog.
create or replace function capi._carve(
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
    c capi.cursor;
    d capi.destination;
    snap pg_snapshot;
    stragglers xid8[];
    older boolean;
    fresh boolean;
    low_xid xid8;
    low_id bigint;
    me xid8;
    taken bigint;
    top_xid xid8;
    top_id bigint;
    ids bigint[];
    oldest timestamptz;
    newest timestamptz;
    ended bigint[];
    ended_captured timestamptz[];
    ended_fates text[];
    doubtful_until timestamptz := capi._doubtful_until(p_destination);
    yesterday timestamptz := clock_timestamp() - interval '1 day';
begin
    select * into c from capi.cursor x where x.destination = p_destination
    order by x.step desc limit 1
    for update skip locked;
    if not found then
        return;             -- another worker is carving
    end if;
    select * into strict d from capi.destination where destination = p_destination;

    -- Bounded: a call may find nothing but events of other destinations.
    for round in 1..20 loop
        older := c.older_id is not null;
        fresh := c.to_snapshot is null;
        me := pg_current_xact_id();
        -- READ COMMITTED: this statement's snapshot is younger than the lock above.
        snap := coalesce(c.to_snapshot, pg_current_snapshot());
        stragglers := array(
            select x from pg_snapshot_xip(c.from_snapshot) x
            where pg_visible_in_snapshot(x, snap)
        );

        -- One lower bound: two of them make btree start at the weaker one.
        if c.last_xid >= pg_snapshot_xmax(c.from_snapshot) then
            low_xid := c.last_xid;
            low_id := c.last_id;
        else
            low_xid := pg_snapshot_xmax(c.from_snapshot);
            low_id := 0;
        end if;

        with
        straggling as (
            -- One index range per straggler, each bounded: (era, xid) fixed, ordered by id.
            select o.*
            from unnest(stragglers) x
            cross join lateral (
                select i.id, i.captured_at, i.xid as place, i.source, i.key, i.refused, i.event_name,
                    i.action_source, i.event_time
                from capi.outbox i
                where i.era = c.era
                    -- Not xid = x: then the primary key would seem to give the order, too.
                    and (i.xid, i.id) > (x, case when x = c.last_xid then c.last_id else 0 end)
                    and i.xid <= x
                    and i.captured_at >= c.unread_since
                order by i.xid, i.id
                limit p_limit
            ) o
            where not older and x >= c.last_xid
            order by o.place, o.id
            limit p_limit
        ),
        later as (
            select o.id, o.captured_at, o.xid as place, o.source, o.key, o.refused, o.event_name,
                o.action_source, o.event_time
            from capi.outbox o
            where not older
                and o.era = c.era
                and (o.xid, o.id) > (low_xid, low_id)
                and o.xid < pg_snapshot_xmax(snap)
                and pg_visible_in_snapshot(o.xid, snap)
                and o.captured_at >= c.unread_since
            order by o.xid, o.id
            limit p_limit
        ),
        -- Nobody writes rows of older eras any more, so their ids are a safe order.
        earlier as (
            select o.id, o.captured_at, '0'::xid8 as place, o.source, o.key, o.refused, o.event_name,
                o.action_source, o.event_time
            from capi.outbox o
            where older and o.era <> c.era and o.id > c.older_id
            order by o.id
            limit p_limit
        ),
        next as (
            (table straggling union all table later union all table earlier)
            order by place, id
            limit p_limit
        ),
        usual as materialized (
            select array_agg(r.source) as sources, max(r.since) as since
            from capi.route r
            where r.destination = p_destination and r.until is null and r.past is null
        )
        -- In the order of the rows, which are sorted: one pass, and nothing is kept. No fate is to be sent.
        select count(*), (array_agg(j.place))[count(*)::integer], (array_agg(j.id))[count(*)::integer],
            array_agg(j.id) filter (where j.fate is null),
            min(j.captured_at) filter (where j.fate is null),
            max(j.captured_at) filter (where j.fate is null),
            array_agg(j.id) filter (where j.fate <> 'elsewhere'),
            array_agg(j.captured_at) filter (where j.fate <> 'elsewhere'),
            array_agg(j.fate) filter (where j.fate <> 'elsewhere')
        into taken, top_xid, top_id, ids, oldest, newest, ended, ended_captured, ended_fates
        from (
            select n.id, n.captured_at, n.place,
                coalesce(
                    case
                        -- By a route of the usual kind, which is known without looking.
                        when not older and n.source = any ((select u.sources from usual u)::integer[])
                            and n.captured_at >= (select u.since from usual u) then null
                        when not exists (
                            select from capi.route r
                            where r.source = n.source and r.destination = p_destination
                                and n.captured_at >= r.since and (r.until is null or n.captured_at < r.until)
                                -- What was there when a route was made is read by capi._carve_past.
                                and (r.past is null or older or not pg_visible_in_snapshot(n.place, r.past))
                        ) then 'elsewhere'
                        when older and capi._is_settled_or_open(n.id, n.captured_at, p_destination)
                            then 'elsewhere'
                    end,
                    -- As capi._withdrawn, written out: a call per event costs more than all the rest.
                    case when older or (select exists (select from capi.withdrawal w where w.at >= c.unread_since)) then (
                        select w.reason
                        from capi.withdrawal w
                        where w.source = n.source and w.key = n.key and w.at >= n.captured_at
                            and capi._refuses(w.refused, d.platform, d.name)
                    ) end,
                    case when cardinality(n.refused) > 0 and capi._refuses(n.refused, d.platform, d.name)
                        then 'suppressed' end,
                    -- No platform takes only events of less than a day.
                    case when n.event_time < yesterday
                        then capi._fate(d.platform, n.event_name, n.action_source, n.event_time, clock_timestamp())
                    end
                ) as fate
            from next n
            -- A fence: each fate is found once, however often it is asked for.
            offset 0
        ) j;

        if ended is not null then
            insert into capi.receipt (event, captured_at, destination, possible_duplicate, status, reason)
            select e.id, e.captured_at, p_destination, coalesce(e.captured_at <= doubtful_until, false),
                case when e.fate in ('withdrawn', 'forgotten') then 'suppressed' else e.fate end::capi.receipt_status,
                case e.fate when 'suppressed' then 'consent_refused' when 'expired' then 'too_old'
                    when 'withdrawn' then 'withdrawn' when 'forgotten' then 'forgotten' else 'unknown_event' end
            from unnest(ended, ended_captured, ended_fates) e (id, captured_at, fate)
            on conflict do nothing;
        end if;

        if older then
            c.older_id := case when taken < p_limit then null else top_id end;
        elsif taken = 0 and c.to_snapshot is null then
            exit;           -- nothing came: write nothing
        elsif taken < p_limit then
            -- Read to its end: the range's end is the next one's beginning. As long as a transaction
            -- runs that ran at the beginning, its events may be as old as the last bound; a
            -- snapshot does not name all of them, so ids are compared. Otherwise all unread events
            -- were captured after the beginning. The day is for clocks that are set back.
            if pg_snapshot_xmin(snap) > c.from_xid then
                c.unread_since := greatest(c.unread_since, c.from_taken_at - interval '1 day');
            end if;
            c.from_snapshot := snap;
            c.from_xid := coalesce(c.to_xid, me);
            c.to_xid := null;
            c.from_taken_at := coalesce(c.to_taken_at, now());
            c.to_snapshot := null;
            c.to_taken_at := null;
            c.last_xid := '0';
            c.last_id := 0;
        else
            c.to_taken_at := coalesce(c.to_taken_at, now());
            c.to_snapshot := snap;
            c.to_xid := coalesce(c.to_xid, me);
            c.last_xid := top_xid;
            c.last_id := top_id;
        end if;

        update capi.cursor u
        set step = u.step + 1, from_snapshot = c.from_snapshot, from_xid = c.from_xid, from_taken_at = c.from_taken_at,
            to_snapshot = c.to_snapshot, to_xid = c.to_xid, to_taken_at = c.to_taken_at,
            last_xid = c.last_xid, last_id = c.last_id,
            unread_since = c.unread_since, older_id = c.older_id
        where u.destination = p_destination and u.step = c.step;
        if not found then
            raise exception 'the cursor of destination % was changed under its lock', p_destination
                using errcode = 'object_in_use', hint = 'Each destination has one row in capi.cursor.';
        end if;
        c.step := c.step + 1;

        if ids is not null then
            return query select ids, oldest, newest;
            return;
        end if;
        -- A range that was open before may have younger events behind it.
        exit when taken < p_limit and not older and fresh;
    end loop;
end
$$;

comment on function capi._carve is 'Reads the next events of a destination from the outbox and moves its cursor.';
