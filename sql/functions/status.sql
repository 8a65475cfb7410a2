create or replace function capi.status() returns table (
    destination text,
    platform text,
    state text,
    pause_reason text,
    pending bigint,
    oldest_pending_seconds bigint,
    open_batches integer,
    delivered_24h bigint,
    refused_24h bigint,
    capture_errors bigint,
    last_success timestamptz
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    select d.name, d.platform, d.state, d.pause_reason,
        unread.n + coalesce(open.events, 0) + (
            select count(*) from capi.replay_log y
            join capi.replay_event p on p.replay = y.replay and p.event > y.last_event
            where y.destination = d.destination and y.finished_at is null),
        extract(epoch from clock_timestamp() - least(unread.oldest, open.oldest))::bigint,
        coalesce(open.batches, 0)::integer,
        receipts.delivered, receipts.refused,
        (select count(*) from capi.capture_error e
            where e.resolved_at is null
                and exists (select from capi.route r where r.source = e.source and r.destination = d.destination)),
        (select max(a.finished_at) from capi.attempt a
            where a.destination = d.destination and a.outcome = 'each' and a.kind <> 'test'
                and a.started_at > now() - interval '7 days')
    from capi.destination d
    join capi.cursor c using (destination)
    cross join lateral (
        select count(*) as n, min(o.captured_at) as oldest
        from capi.outbox o
        join capi.route r on r.source = o.source and r.destination = d.destination
            and o.captured_at >= r.since and (r.until is null or o.captured_at < r.until)
        where o.captured_at >= c.unread_since
            and case when o.era = c.era
                then not pg_visible_in_snapshot(o.xid, c.from_snapshot)
                    and (c.to_snapshot is null or (o.xid, o.id) > (c.last_xid, c.last_id)
                        or not pg_visible_in_snapshot(o.xid, c.to_snapshot))
                else o.id > c.older_id
                    and not capi._is_settled_or_open(o.id, o.captured_at, d.destination) end
    ) unread
    left join lateral (
        select count(*) as batches, sum(cardinality(b.events)) as events, min(b.captured_from) as oldest
        from capi.batch b where b.destination = d.destination
    ) open on true
    cross join lateral (
        select count(*) filter (where r.status = 'delivered') as delivered,
            count(*) filter (where r.status = 'refused') as refused
        from capi.receipt r
        where r.destination = d.destination and r.settled_at > now() - interval '24 hours'
            and r.captured_at > now() - interval '63 days'
    ) receipts
    where d.state <> 'dropped'
    order by d.name
$$;
