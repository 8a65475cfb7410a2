-- The next events of a destination. Where a route reaches back, old and new events take turns by
-- chance: neither waits for the end of the other.
create or replace function capi._next_events(
    p_destination integer,
    p_limit integer
) returns table (
    events bigint[],
    captured_from timestamptz,
    captured_to timestamptz
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    has_past boolean := exists (select from capi.route r where r.destination = p_destination and r.past_id is not null);
begin
    if has_past and random() < 0.5 then
        return query select * from capi._carve_past(p_destination, p_limit);
        if found then
            return;
        end if;
        has_past := false;
    end if;
    return query select * from capi._carve(p_destination, p_limit);
    if not found and has_past then
        return query select * from capi._carve_past(p_destination, p_limit);
    end if;
end
$$;

comment on function capi._next_events is 'The next events of a destination, new ones or from before a route was made.';
