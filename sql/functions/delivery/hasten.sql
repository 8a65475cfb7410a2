create or replace function capi.hasten(
    p_destination integer
) returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    hastened integer;
begin
    -- Whoever is being claimed or recorded just now has news of his own.
    with waiting as (
        select x.batch from capi.batch x
        where x.destination = p_destination and x.state = 'ready' and x.backoff and x.ticket is null
            and x.due_at > clock_timestamp()
        for update skip locked
    )
    update capi.batch x
    -- By chance, so that a platform that has just come back is not met by all at once.
    set due_at = least(x.due_at, clock_timestamp() + random() * interval '5 seconds')
    from waiting w
    where x.batch = w.batch;
    get diagnostics hastened = row_count;
    return hastened;
end
$$;

comment on function capi.hasten is 'For the sidecar, when a platform that was down is back: batches that still wait for it are due within seconds. Those that the platform itself has put off wait on.';
grant execute on function capi.hasten to capi_sidecar;
