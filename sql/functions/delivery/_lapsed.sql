-- A batch after its lease has ended, as far as it was leased; it is not written. Its worker died or froze
-- between send and record: nobody knows whether it was sent. A question sends nothing.
create or replace function capi._lapsed(
    p_batch capi.batch
) returns capi.batch
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_batch.state <> 'leased' then
        return p_batch;
    end if;
    update capi.attempt a set outcome = 'unknown', finished_at = clock_timestamp(), reason = 'lease_expired'
    where a.attempt = p_batch.attempt and a.started_at = p_batch.attempt_started_at and a.outcome = 'sending';
    if p_batch.ticket is null then
        p_batch.unknown := p_batch.unknown + 1;
        p_batch.tries := p_batch.tries + 1;
        p_batch.lapses := p_batch.lapses + 1;
    end if;
    p_batch.state := 'ready';
    p_batch.token := null;
    p_batch.lease_until := null;
    p_batch.worker := null;
    p_batch.attempt := null;
    p_batch.attempt_started_at := null;
    return p_batch;
end
$$;

comment on function capi._lapsed is 'A batch after its lease has ended without a record.';
