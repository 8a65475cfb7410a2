create or replace function capi.health() returns jsonb
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    select jsonb_build_object(
        'instance', i.instance,
        'adopted', capi._may_send(),
        'destinations', coalesce((
            select jsonb_agg(jsonb_build_object(
                'name', d.name,
                'platform', d.platform,
                'settings', d.settings,
                'credential', d.credential,
                'state', d.state,
                'reason', d.pause_reason,
                -- Whether an active one has shown that it is: just resumed, it may be blocked again by the
                -- first answer.
                'proven', case when d.state <> 'active' then false
                    when d.changed_at < now() - interval '1 minute' then true
                    else exists (
                        select from capi.attempt a
                        where a.destination = d.destination and a.started_at >= d.changed_at and a.outcome = 'each')
                    end,
                'open_batches', open.batches,
                'backlog_seconds', greatest(0, extract(epoch from
                    clock_timestamp() - least(open.oldest, unread.oldest)))::bigint,
                'settled_1h', settled.all_of_them,
                'refused_1h', settled.refused
            ) order by d.name)
            from capi.destination d
            join capi.cursor c using (destination)
            cross join lateral (
                select count(*) as batches, min(b.captured_from) as oldest
                from capi.batch b where b.destination = d.destination
            ) open
            cross join lateral (
                -- Of the next unread rows those that are routed here. Rows come in the order of their
                -- transactions, so this is the oldest within the length of one of them; and where thousands
                -- are not routed here, the cursor passes them quickly, or nothing of it is late.
                select min(o.captured_at) as oldest
                from (
                    select x.source, x.captured_at
                    from capi.outbox x
                    where x.era = c.era
                        and x.xid >= pg_snapshot_xmin(c.from_snapshot)
                        and x.captured_at >= c.unread_since
                        and not pg_visible_in_snapshot(x.xid, c.from_snapshot)
                        and (c.to_snapshot is null or (x.xid, x.id) > (c.last_xid, c.last_id)
                            or not pg_visible_in_snapshot(x.xid, c.to_snapshot))
                    order by x.xid, x.id
                    limit 10000
                ) o
                join capi.route r on r.source = o.source and r.destination = d.destination
                    and o.captured_at >= r.since and (r.until is null or o.captured_at < r.until)
            ) unread
            cross join lateral (
                -- At most so many: under a heavy load a part of the hour tells as much.
                select count(*) as all_of_them, count(*) filter (where x.status = 'refused') as refused
                from (
                    select r.status
                    from capi.receipt r
                    where r.destination = d.destination
                        and r.status in ('delivered', 'refused')
                        and r.settled_at > now() - interval '1 hour'
                        and r.captured_at > now() - interval '63 days'
                    limit 100000
                ) x
            ) settled
            where d.state <> 'dropped'
        ), '[]'),
        'capture_errors', coalesce((
            select jsonb_object_agg(s.name, e.n)
            from (
                select x.source, count(*) as n from capi.capture_error x
                where x.resolved_at is null group by x.source
            ) e
            join (select distinct on (y.source) y.source, y.name from capi.source y) s using (source)
        ), '{}'),
        -- Sources whose rows cannot all be compared with the outbox.
        'troubles', coalesce((
            select jsonb_object_agg(s.name, w.trouble)
            from capi.sweep w join capi.source s using (source)
            where s.tracked and w.trouble is not null
        ), '{}'),
        -- Tasks of maintenance that fail. A table that is in use is waited for, up to an hour.
        'failing', coalesce((
            select jsonb_object_agg(t.task, t.problem) from capi.maintenance_task t
            where t.problem is not null
                and (t.problem <> 'a table is in use' or t.failing_since < now() - interval '1 hour')
        ), '{}'),
        -- Rows in a default partition: nobody has made the partitions ahead.
        'overflow', array(
            select t.name from (values
                ('outbox', exists (select from capi.outbox_default)),
                ('attempt', exists (select from capi.attempt_default)),
                ('receipt', exists (select from capi.receipt_default))
            ) t (name, holds_rows)
            where t.holds_rows
        ),
        'alerts', coalesce((
            select jsonb_agg(jsonb_build_object('kind', a.kind, 'subject', a.subject, 'step', a.step))
            from capi.alert a where a.cleared_at is null
        ), '[]'),
        'untold', exists (select from capi.alert a where capi._is_untold(a))
    )
    from capi.installation i
$$;

comment on function capi.health is 'For the sidecar: what metrics and alerts are made of. Per destination state, age of the backlog and the share of refusals in the last hour; open capture errors, open alerts. Read only.';
grant execute on function capi.health to capi_sidecar;
