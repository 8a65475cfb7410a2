-- Ends by receipt what a destination has not read of the events that were captured in a time; how many.
create or replace function capi._end_unread(
    p_destination integer,
    p_from timestamptz,
    p_until timestamptz,
    p_status text,
    p_reason text,
    p_limit integer default null
) returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    doubtful_until timestamptz := capi._doubtful_until(p_destination);
    n integer;
begin
    insert into capi.receipt (event, captured_at, destination, status, reason, possible_duplicate)
    select o.id, o.captured_at, p_destination, p_status::capi.receipt_status, p_reason,
        coalesce(o.captured_at <= doubtful_until, false)
    from capi.outbox o
    where o.captured_at >= p_from and o.captured_at < p_until
        and exists (
            select from capi.route t
            where t.source = o.source and t.destination = p_destination
                and o.captured_at >= t.since and (t.until is null or o.captured_at < t.until)
        )
        and not exists (
            select from capi.receipt r
            where r.event = o.id and r.destination = p_destination and r.captured_at = o.captured_at
        )
    limit p_limit;
    get diagnostics n = row_count;
    return n;
end
$$;

comment on function capi._end_unread is 'Ends by receipt what a destination has not read of the events of a time.';
