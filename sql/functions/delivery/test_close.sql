create or replace function capi.test_close(
    p_attempt bigint,
    p_outcome text,
    p_http_status integer,
    p_request_id text,
    p_reason text,
    p_answer jsonb
) returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_outcome is null or p_outcome not in ('each', 'accepted', 'retry', 'wait', 'split', 'blocked', 'unknown') then
        raise exception 'unknown outcome' using errcode = 'invalid_parameter_value',
            hint = 'One of each, accepted, retry, wait, split, blocked, unknown.';
    end if;
    update capi.attempt a
    set outcome = p_outcome, finished_at = clock_timestamp(), http_status = p_http_status,
        request_id = p_request_id, reason = p_reason, answer = p_answer
    where a.attempt = p_attempt and a.kind = 'test' and a.outcome = 'sending'
        and a.started_at > now() - interval '1 hour';
    return found;
end
$$;

comment on function capi.test_close is 'For capi send-test: writes what came of the attempt.';
grant execute on function capi.test_close to capi_sidecar;
