-- Cuts the next batch of a destination out of the outbox and returns its id; null when there is
-- nothing to send. What can never be sent is settled here, by receipt.
--
-- Locking the cursor and taking the snapshot are two statements: in one, a waiter would take a
-- snapshot older than the cursor it then reads.
create or replace function capi._carve(
    p_destination integer,
    p_limit integer
) returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    c capi.cursor;
    d capi.destination;
    snap pg_snapshot;
    stragglers xid8[];
    older boolean;
    taken bigint;
    top_xid xid8;
    top_id bigint;
    ids bigint[];
    oldest timestamptz;
    newest timestamptz;
    made bigint;
begin
    select * into c from capi.cursor where destination = p_destination for update skip locked;
    if not found then
        return null;        -- another worker is carving
    end if;
    select * into strict d from capi.destination where destination = p_destination;

    -- Bounded: a call may find nothing but events of other destinations.
    for round in 1..20 loop
        older := c.older_id is not null;
        -- READ COMMITTED: this statement's snapshot is younger than the lock above.
        snap := coalesce(c.to_snapshot, pg_current_snapshot());
        stragglers := array(
            select x from pg_snapshot_xip(c.from_snapshot) x
            where pg_visible_in_snapshot(x, snap)
        );

        with
        straggling as (
            select o.id, o.captured_at, o.xid as place, o.source, o.refused, o.event_name,
                o.action_source, o.event_time
            from capi.outbox o
            where not older
                and o.era = c.era and o.xid = any (stragglers)
                and (o.xid, o.id) > (c.last_xid, c.last_id)
                and o.captured_at >= c.unread_since
            order by o.xid, o.id
            limit p_limit
        ),
        later as (
            select o.id, o.captured_at, o.xid as place, o.source, o.refused, o.event_name,
                o.action_source, o.event_time
            from capi.outbox o
            where not older
                and o.era = c.era
                and o.xid >= pg_snapshot_xmax(c.from_snapshot)
                and o.xid < pg_snapshot_xmax(snap)
                and (o.xid, o.id) > (c.last_xid, c.last_id)
                and pg_visible_in_snapshot(o.xid, snap)
                and o.captured_at >= c.unread_since
            order by o.xid, o.id
            limit p_limit
        ),
        -- Nobody writes rows of older eras any more, so their ids are a safe order.
        earlier as (
            select o.id, o.captured_at, '0'::xid8 as place, o.source, o.refused, o.event_name,
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
        judged as materialized (
            select n.id, n.captured_at, n.place,
                case
                    when r.source is null then 'elsewhere'
                    when older and capi._is_settled_or_open(n.id, n.captured_at, p_destination)
                        then 'elsewhere'
                    when n.refused && array['*', d.platform, d.name] then 'suppressed'
                    else coalesce(
                        capi._fate(d.platform, n.event_name, n.action_source, n.event_time,
                            clock_timestamp()),
                        'send')
                end as fate
            from next n
            left join capi.route r on r.source = n.source and r.destination = p_destination
                and n.captured_at >= r.since and (r.until is null or n.captured_at < r.until)
        ),
        settled as (
            insert into capi.receipt (event, captured_at, destination, status, reason)
            select j.id, j.captured_at, p_destination, j.fate::capi.receipt_status,
                case j.fate when 'suppressed' then 'consent_refused' when 'expired' then 'too_old'
                    else 'unknown_event' end
            from judged j
            where j.fate in ('suppressed', 'expired', 'unrouted')
        )
        select count(*),
            (array_agg(j.place order by j.place desc, j.id desc))[1],
            (array_agg(j.id order by j.place desc, j.id desc))[1],
            array_agg(j.id order by j.place, j.id) filter (where j.fate = 'send'),
            min(j.captured_at) filter (where j.fate = 'send'),
            max(j.captured_at) filter (where j.fate = 'send')
        into taken, top_xid, top_id, ids, oldest, newest
        from judged j;

        if older then
            c.older_id := case when taken < p_limit then null else top_id end;
        elsif taken = 0 and c.to_snapshot is null then
            exit;           -- nothing came: write nothing
        elsif taken < p_limit then
            -- Read to its end: the range's end is the next one's beginning. What is still running
            -- and was running at the beginning may be as old as the last bound; all else was
            -- captured after the beginning. The day is for clocks that are set back.
            if not exists (
                select from pg_snapshot_xip(snap) x
                join pg_snapshot_xip(c.from_snapshot) y on x = y
            ) then
                c.unread_since := greatest(c.unread_since, c.from_taken_at - interval '1 day');
            end if;
            c.from_snapshot := snap;
            c.from_taken_at := coalesce(c.to_taken_at, clock_timestamp());
            c.to_snapshot := null;
            c.to_taken_at := null;
            c.last_xid := '0';
            c.last_id := 0;
        else
            c.to_taken_at := coalesce(c.to_taken_at, clock_timestamp());
            c.to_snapshot := snap;
            c.last_xid := top_xid;
            c.last_id := top_id;
        end if;

        update capi.cursor u
        set from_snapshot = c.from_snapshot, from_taken_at = c.from_taken_at,
            to_snapshot = c.to_snapshot, to_taken_at = c.to_taken_at,
            last_xid = c.last_xid, last_id = c.last_id,
            unread_since = c.unread_since, older_id = c.older_id
        where u.destination = p_destination;

        if ids is not null then
            insert into capi.batch (destination, events, captured_from, captured_to)
            values (p_destination, ids, oldest, newest)
            returning batch into made;
            return made;
        end if;
        exit when taken < p_limit and not older;
    end loop;
    return null;
end
$$;
