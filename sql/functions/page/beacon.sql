create or replace function capi.beacon(
    body text
) returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    report jsonb;
    found_id integer;
    is_known boolean;
begin
    -- Whatever the internet has posted: junk is answered, not raised.
    if body is null or octet_length(body) > 2048 then
        return false;
    end if;
    begin
        report := body::jsonb;
    exception when data_exception then
        return false;
    end;
    if jsonb_typeof(report) <> 'array' then
        return false;
    end if;
    select d.destination into found_id from capi.destination d
    where d.name = report ->> 0 and d.state <> 'dropped';
    if found_id is null or report ->> 1 is null or report ->> 2 is null or (report ->> 3) is distinct from capi._pixel_mac(found_id, report ->> 1, report ->> 2) then
        return false;
    end if;
    is_known := exists (
        select from capi.route r
        join capi.source s on s.source = r.source
        join capi.event_key k on k.hash = capi._event_hash(s.name, report ->> 1, report ->> 2)
        where r.destination = found_id
    );
    -- Whoever makes pages can make one of a row that never was: of such reports some are enough to
    -- show that something is missing.
    if not is_known and (
        select count(*) from (
            select from capi.pixel_hit h
            where h.destination = found_id and not h.known and h.fired_at > clock_timestamp() - interval '1 hour'
            limit 100
        ) x
    ) = 100 then
        return false;
    end if;
    insert into capi.pixel_hit (destination, event_name, event_id, known)
    values (found_id, report ->> 1, report ->> 2, is_known)
    on conflict do nothing;
    return true;
end
$$;

comment on function capi.beacon is 'Takes what a page with a beacon has posted, as it came, and notes that the browser''s half ran. False for anything that no page of this database has said.';
grant execute on function capi.beacon to capi_admin;
