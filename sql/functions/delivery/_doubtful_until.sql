-- Events captured up to here may have been sent to a destination by another server; null when none was. That
-- server knew no destination that was made since.
create or replace function capi._doubtful_until(
    p_destination integer
) returns timestamptz
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select i.doubtful_until
    from capi.installation i
    join capi.destination d on d.destination = p_destination and d.created_at <= i.doubtful_until
$$;

comment on function capi._doubtful_until is 'Up to when another server may have sent events to a destination.';
