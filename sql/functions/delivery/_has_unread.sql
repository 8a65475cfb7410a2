-- Whether the outbox holds committed rows beyond a destination's cursor.
create or replace function capi._has_unread(
    p_destination integer
) returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
    c capi.cursor;
begin
    select * into c from capi.cursor x where x.destination = p_destination order by x.step desc limit 1;
    if not found then
        return false;       -- dropped
    end if;
    return c.to_snapshot is not null
        or c.older_id is not null
        or exists (select from capi.route r where r.destination = p_destination and r.past_id is not null)
        -- In index order: an estimate of many rows must not make it read the whole tail.
        or (
            select o.id from capi.outbox o
            where o.era = c.era and o.xid >= pg_snapshot_xmax(c.from_snapshot)
                and o.captured_at >= c.unread_since
            order by o.era, o.xid, o.id
            limit 1
        ) is not null
        or exists (
            select from pg_snapshot_xip(c.from_snapshot) x
            cross join lateral (
                select o.id from capi.outbox o
                where o.era = c.era and o.xid = x and o.captured_at >= c.unread_since
                order by o.era, o.xid, o.id
                limit 1
            ) y
        );
end
$$;

comment on function capi._has_unread is 'Whether the outbox holds rows beyond a destination''s cursor.';
