-- Settles by receipt what is still open of the events captured in one week, before they are dropped;
-- returns how many those were. Raises lock_not_available while some of them are being sent.
--
-- A destination that has read past the week, which is the rule, costs one look at its cursor. The
-- cursors stay locked to the end of the transaction, so that nothing of the week is carved meanwhile.
create or replace function capi._settle_week(
    p_partition regclass,
    p_until timestamptz,
    p_limit integer
) returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    c capi.cursor;
    b capi.batch;
    rest bigint[];
    n bigint;
    total bigint := 0;
begin
    for c in select x.* from capi.cursor x order by x.destination for update loop
        for b in
            select x.* from capi.batch x
            where x.destination = c.destination and x.captured_from < p_until
            order by x.batch
            for update
        loop
            if b.state = 'leased' and b.lease_until > clock_timestamp() then
                raise exception 'a batch is being sent' using errcode = 'lock_not_available';
            end if;
            -- What was accepted goes by position, so the batch ends as a whole.
            insert into capi.receipt (event, captured_at, destination, status, reason, attempts, possible_duplicate, attempt)
            select o.id, o.captured_at, b.destination,
                case when b.ticket is null then 'expired' else 'undecided' end::capi.receipt_status, 'retention',
                b.tries, b.unknown > 0, b.accepted_attempt
            from capi.outbox o
            where o.id = any (b.events) and o.captured_at between b.captured_from and b.captured_to
                and (b.ticket is not null or o.captured_at < p_until)
            -- A replay: it keeps the outcome that it has.
            on conflict do nothing;
            get diagnostics n = row_count;
            total := total + n;
            rest := array(
                select o.id
                from capi.outbox o
                join unnest(b.events) with ordinality e (id, place) using (id)
                where o.captured_at between p_until and b.captured_to and b.ticket is null
                order by e.place
            );
            if cardinality(rest) = 0 then
                delete from capi.batch x where x.batch = b.batch;
            else
                update capi.batch x
                set events = rest, captured_from = p_until, state = 'ready', token = null, lease_until = null,
                    worker = null, attempt = null, attempt_started_at = null
                where x.batch = b.batch;
            end if;
        end loop;
        continue when c.unread_since >= p_until and c.older_id is null
            and not exists (select from capi.route t where t.destination = c.destination and t.past_id is not null);
        execute format(
            'insert into capi.receipt (event, captured_at, destination, status, reason) '
            'select o.id, o.captured_at, $1, ''expired'', ''retention'' from %s o '
            'where exists (select from capi.route t where t.source = o.source and t.destination = $1 '
            '    and o.captured_at >= t.since and (t.until is null or o.captured_at < t.until)) '
            'and not exists (select from capi.receipt r where r.event = o.id and r.destination = $1 '
            '    and r.captured_at = o.captured_at) limit $2', p_partition)
        using c.destination, p_limit;
        get diagnostics n = row_count;
        total := total + n;
        exit when n = p_limit;
        update capi.cursor x set unread_since = greatest(x.unread_since, p_until) where x.destination = c.destination;
    end loop;
    return total;
end
$$;
