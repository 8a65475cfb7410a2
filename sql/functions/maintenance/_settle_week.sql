-- Settles by receipt what is still open of the events captured in one week, before they are dropped;
-- returns how many those were. Raises lock_not_available while some of them are being sent.
--
-- A destination that has read past the week, which is the rule, costs one look at its cursor. The
-- cursors stay locked to the end of the transaction, so that nothing of the week is carved meanwhile.
create or replace function capi._settle_week(
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
            b := capi._lapsed(b);
            -- What was accepted goes by position, so the batch ends as a whole.
            total := total + capi._end_events(b,
                array(
                    select o.id from capi.outbox o
                    where o.id = any (b.events) and o.captured_at between b.captured_from and b.captured_to
                        and (b.ticket is not null or o.captured_at < p_until)
                ),
                array[case when b.ticket is null then 'expired' else 'undecided' end],
                null, 'retention', clock_timestamp());
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
                set events = rest, captured_from = p_until, state = b.state, token = b.token, lease_until = b.lease_until,
                    worker = b.worker, attempt = b.attempt, attempt_started_at = b.attempt_started_at,
                    unknown = b.unknown, tries = b.tries, lapses = b.lapses
                where x.batch = b.batch;
            end if;
        end loop;
        continue when c.unread_since >= p_until and c.older_id is null
            and not exists (select from capi.route t where t.destination = c.destination and t.past_id is not null);
        n := capi._end_unread(c.destination, p_until - interval '7 days', p_until, 'expired', 'retention', p_limit);
        total := total + n;
        exit when n = p_limit;
        update capi.cursor x set unread_since = greatest(x.unread_since, p_until) where x.destination = c.destination;
    end loop;
    return total;
end
$$;

comment on function capi._settle_week is 'Settles by receipt what is open of the events of one week.';
