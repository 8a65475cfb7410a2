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
    if found_id is null or (report ->> 3) is distinct from capi._pixel_mac(found_id, report ->> 1, report ->> 2) then
        return false;
    end if;
    insert into capi.pixel_hit (destination, event_name, event_id)
    values (found_id, report ->> 1, report ->> 2)
    on conflict do nothing;
    return true;
end
$$;
