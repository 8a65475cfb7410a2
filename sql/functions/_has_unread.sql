-- Whether the outbox holds committed rows beyond a destination's cursor.
create or replace function capi._has_unread(
    p_destination integer
) returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    c capi.cursor;
begin
    select * into strict c from capi.cursor where destination = p_destination;
    return c.to_snapshot is not null
        or c.older_id is not null
        or exists (
            select from capi.outbox o
            where o.era = c.era and o.xid >= pg_snapshot_xmax(c.from_snapshot)
                and o.captured_at >= c.unread_since
        )
        or exists (
            select from capi.outbox o
            where o.era = c.era
                and o.xid = any (array(select x from pg_snapshot_xip(c.from_snapshot) x))
                and o.captured_at >= c.unread_since
        );
end
$$;
