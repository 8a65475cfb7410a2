-- Ends events of a batch by receipt, whatever ends them: an answer, or something else while they wait. The only
-- place where that is done, so that no way out leaves attempts or doubt behind. How many receipts were written.
--
-- An event with a receipt was sent before. An answer is the platform's last word, but what was delivered once and
-- is sent again by hand stays delivered; without an answer the outcome stays what it was. Attempts add up, and so
-- does doubt: of what is delivered, that it may be there twice, of anything else, that it may be there.
create or replace function capi._end_events(
    p_batch capi.batch,
    p_events bigint[],
    p_statuses text[],
    p_reasons text[],
    p_reason text,
    p_at timestamptz,
    p_answered boolean default false,
    p_doubtful bigint[] default '{}'
) returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
as $$
declare
    ended integer;
begin
    -- In a replay receipts are there already; otherwise hardly ever, and a conflict clause would make
    -- each insert a tentative one, confirmed by a record of its own in the WAL.
    if p_batch.replay is null then
        begin
            if p_answered and p_statuses = '{delivered}' and coalesce(p_reasons, '{}') in ('{}', '{null}') then
                -- Nearly every batch: one outcome. Written a page at a time, and without rows that are built twice.
                return coalesce(capi._write_receipts('capi.receipt'::regclass, p_batch.events, p_events,
                    p_batch.captured_from, p_batch.captured_to, coalesce(p_batch.accepted_attempt, p_batch.attempt),
                    p_at, p_batch.destination, 'delivered', (p_batch.tries + 1)::smallint, p_batch.unknown > 0), 0);
            end if;
            insert into capi.receipt
            select * from capi._receipts(p_batch, p_events, p_statuses, p_reasons, p_reason, p_at, p_answered, p_doubtful);
            get diagnostics ended = row_count;
            return ended;
        exception when unique_violation then
            null;
        end;
    end if;
    insert into capi.receipt as r
    select * from capi._receipts(p_batch, p_events, p_statuses, p_reasons, p_reason, p_at, p_answered, p_doubtful)
    on conflict (event, destination, captured_at) do update
    set status = case when p_answered and (p_batch.replay is null or r.status <> 'delivered')
            then excluded.status else r.status end,
        reason = case when p_answered and (p_batch.replay is null or r.status <> 'delivered')
            then excluded.reason else r.reason end,
        attempt = case when p_answered then excluded.attempt else coalesce(excluded.attempt, r.attempt) end,
        attempts = least(r.attempts + excluded.attempts, 32767),
        possible_duplicate = r.possible_duplicate or excluded.possible_duplicate
            -- Settled before and not by hand again: it went twice.
            or p_answered and p_batch.replay is null
            -- Twice, or once under an outcome that does not say so.
            or r.status in ('delivered', 'undecided') and excluded.status in ('delivered', 'refused', 'undecided')
            or r.status = 'undecided' and p_answered
            or r.status not in ('delivered', 'undecided') and excluded.status = 'undecided' and not p_answered,
        settled_at = case when p_answered then excluded.settled_at else r.settled_at end
    -- What was not sent again has nothing to add.
    where p_answered or excluded.attempts > 0 or excluded.possible_duplicate;
    get diagnostics ended = row_count;
    return ended;
end
$$;

comment on function capi._end_events is 'Ends events of a batch by receipt, whatever ends them; attempts and doubt add up.';
