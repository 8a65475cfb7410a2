create or replace function capi.audience_close(
    p_sync bigint,
    p_reason text,
    p_http_status integer,
    p_request_id text
) returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    id integer;
begin
    update capi.audience_sync s
    set outcome = case when p_reason is null then 'done' else 'failed' end, reason = p_reason,
        http_status = coalesce(p_http_status, s.http_status), request_id = coalesce(p_request_id, s.request_id),
        requests = s.requests + case when p_http_status is null then 0 else 1 end,
        finished_at = clock_timestamp()
    where s.sync = p_sync and s.outcome = 'running'
    returning s.audience into id;
    if id is null then
        return false;
    end if;
    perform capi._unlock('audience', id);
    return true;
end
$$;

comment on function capi.audience_close is 'For capi audience sync: ends a sync, as failed where there is a reason, and lets go of the lock.';
grant execute on function capi.audience_close to capi_sidecar;
