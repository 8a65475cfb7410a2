-- Drops the oldest partition that retention has no more use for, of one table per call; null when there is
-- none. What is open in it is settled before, in chunks.
--
-- A plain detach: with a default partition Postgres knows no other, and that needs the table for
-- itself for an instant. It waits half as long for that as a capture waits for a lock, so that no capture
-- behind it fails; if it does not get it, the next call tries again.
create or replace function capi._drop_expired_partition() returns jsonb
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
    part record;
    settled bigint := 0;
    chunk constant integer := 100000;
begin
    select p.parent, p.partition, p.until, p.rows into part
    from (
        select x.parent, c.oid::regclass as partition, greatest(c.reltuples, 0)::bigint as rows, x.place,
            (to_date(right(c.relname, 8), 'YYYYMMDD') + 7)::timestamp at time zone 'UTC' as until, x.keep
        from capi.retention r
        cross join lateral (values ('outbox', r.events, 1), ('receipt', r.receipts, 2), ('attempt', r.attempts, 3))
            x (parent, keep, place)
        join pg_inherits i on i.inhparent = format('capi.%I', x.parent)::regclass
        join pg_class c on c.oid = i.inhrelid and c.relname ~ '_[0-9]{8}$'
    ) p
    where p.until < now() - p.keep
    order by p.place, p.until
    limit 1;
    if not found then
        return null;
    end if;
    if part.parent = 'outbox' then
        -- Nobody may be about to commit a row of it: a prepared transaction could be.
        execute format('lock table %s in share mode', part.partition);
        settled := capi._settle_week(part.until, chunk);
        if settled > 0 then
            return jsonb_build_object('table', part.partition::text, 'expired', settled);
        end if;
    end if;
    perform set_config('lock_timeout', '50ms', true);
    execute format('lock table capi.%I in access exclusive mode', part.parent);
    execute format('alter table capi.%I detach partition %s', part.parent, part.partition);
    execute format('drop table %s', part.partition);
    return jsonb_build_object('dropped', part.partition::text, 'rows', part.rows);
end
$$;

comment on function capi._drop_expired_partition is 'Drops the oldest partition that is kept long enough.';
