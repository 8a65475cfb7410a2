-- Whether this database is the one that sends: false in a restored or cloned copy until
-- capi.adopt(), and where transaction ids went backwards.
create or replace function capi._may_send() returns boolean
-- Not in SQL: such a function is planned again at every call, and this one is called all the time.
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
begin
    return (select i.adopted_era is not distinct from capi._era(i.generation)
        and not exists (
            select from capi.destination d
            cross join lateral (
                select x.from_snapshot, x.to_snapshot from capi.cursor x where x.destination = d.destination
                order by x.step desc limit 1
            ) c
            where greatest(pg_snapshot_xmax(c.from_snapshot), pg_snapshot_xmax(c.to_snapshot))
                > pg_snapshot_xmax(pg_current_snapshot())
        )
    from capi.installation i where i.only_row);
end
$$;

comment on function capi._may_send is 'Whether this database is the one that sends.';
