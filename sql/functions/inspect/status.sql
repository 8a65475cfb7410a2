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
    with may as materialized (
        select coalesce(capi._may_send(), false) as sends
    ), visible as materialized (
        select v.source from capi._visible_to(capi._caller()) v (source)
    ), shown as materialized (
        -- Where tenants share a destination, each is told of its own events only.
        select d.*, exists (
                select from capi.route r
                where r.destination = d.destination and r.source not in (select v.source from visible v)
            ) as shared
        from capi.destination d
        where d.state <> 'dropped'
            and (
                capi._sees_all(capi._caller())
                or exists (select from capi.route r join visible v using (source) where r.destination = d.destination)
            )
    )
    select d.name, d.platform, d.state, d.pause_reason,
        unread.n + past.n + coalesce(open.events, 0) + (
            select count(*) from capi.replay_log y
            join capi.replay_event p on p.replay = y.replay and p.event > y.last_event
            where y.destination = d.destination and y.finished_at is null
                and (not d.shared or exists (
                    select from capi.outbox o
                    where o.id = p.event and o.captured_at = p.captured_at
                        and o.source in (select v.source from visible v)
                ))),
        extract(epoch from clock_timestamp() - least(unread.oldest, past.oldest, open.oldest))::bigint,
        coalesce(open.batches, 0)::integer,
        receipts.delivered, receipts.refused,
        (select count(*) from capi.capture_error e
            where e.resolved_at is null and e.source in (select v.source from visible v)
                and exists (select from capi.route r where r.source = e.source and r.destination = d.destination)),
        (select max(a.finished_at) from capi.attempt a
            where a.destination = d.destination and a.outcome = 'each' and a.kind <> 'test'
                and a.started_at > now() - interval '7 days'
                and (not d.shared or exists (
                    select from capi.outbox o
                    where o.id = any (a.events) and o.captured_at <= a.started_at
                        and o.source in (select v.source from visible v)
                )))
    from shown d
    join capi.cursor c using (destination)
    cross join lateral (
        select count(*) as n, min(o.captured_at) as oldest
        from capi.outbox o
        join capi.route r on r.source = o.source and r.destination = d.destination
            and o.captured_at >= r.since and (r.until is null or o.captured_at < r.until)
            and (r.past is null or o.era <> c.era or not pg_visible_in_snapshot(o.xid, r.past))
        where o.captured_at >= c.unread_since
            and (not d.shared or o.source in (select v.source from visible v))
            and case
                -- In a copy the cursors' bounds are of another database; its own events are read once it
                -- is adopted.
                when not (select m.sends from may m) then not capi._is_settled_or_open(o.id, o.captured_at, d.destination)
                when o.era = c.era
                then not pg_visible_in_snapshot(o.xid, c.from_snapshot)
                    and (c.to_snapshot is null or (o.xid, o.id) > (c.last_xid, c.last_id)
                        or not pg_visible_in_snapshot(o.xid, c.to_snapshot))
                else o.id > c.older_id
                    and not capi._is_settled_or_open(o.id, o.captured_at, d.destination) end
    ) unread
    cross join lateral (
        select count(*) as n, min(o.captured_at) as oldest
        from capi.route r
        join capi.outbox o on o.source = r.source and o.id > r.past_id
            and o.captured_at >= r.since and o.captured_at < least(r.until, r.past_until)
            and (o.era <> c.era or pg_visible_in_snapshot(o.xid, r.past))
        where r.destination = d.destination and r.past_id is not null
            and (not d.shared or r.source in (select v.source from visible v))
            and not capi._is_settled_or_open(o.id, o.captured_at, d.destination)
    ) past
    left join lateral (
        select count(*) as batches, sum(y.events) as events, min(y.oldest) as oldest
        from (
            select cardinality(b.events)::bigint as events, b.captured_from as oldest
            from capi.batch b where b.destination = d.destination and not d.shared
            union all
            select count(*), min(o.captured_at)
            from capi.batch b
            join capi.outbox o on o.id = any (b.events) and o.captured_at between b.captured_from and b.captured_to
            where b.destination = d.destination and d.shared and o.source in (select v.source from visible v)
            group by b.batch
        ) y
    ) open on true
    cross join lateral (
        select count(*) filter (where r.status = 'delivered') as delivered,
            count(*) filter (where r.status = 'refused') as refused
        from capi.receipt r
        where r.destination = d.destination and r.settled_at > now() - interval '24 hours'
            and r.captured_at > now() - interval '63 days'
            and (not d.shared or exists (
                select from capi.outbox o
                where o.id = r.event and o.captured_at = r.captured_at and o.source in (select v.source from visible v)
            ))
    ) receipts
    order by d.name
$$;

comment on function capi.status is 'Per destination: state, backlog and its age, open batches, outcomes of the last 24 hours, open capture errors.';
grant execute on function capi.status to capi_tenant, capi_sidecar, capi_analyst, capi_admin;
