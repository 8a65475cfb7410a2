create or replace function capi.release(
    p_batch bigint,
    p_token uuid
) returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    b capi.batch;
begin
    select * into b from capi.batch x where x.batch = p_batch and x.token = p_token for update;
    if not found then
        return false;
    end if;
    update capi.attempt a set outcome = 'released', finished_at = clock_timestamp()
    where a.attempt = b.attempt and a.started_at = b.attempt_started_at;
    update capi.batch x
    set state = 'ready', due_at = clock_timestamp(), token = null, lease_until = null,
        worker = null, attempt = null, attempt_started_at = null
    where x.batch = b.batch;
    return true;
end
$$;

comment on function capi.release is 'For the sidecar: gives back a batch that was claimed and not sent.';
grant execute on function capi.release to capi_sidecar;
