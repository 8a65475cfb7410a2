create or replace function capi.adopt() returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    i capi.installation;
    here bigint;
begin
    select * into strict i from capi.installation for update;
    if capi._may_send() then
        return 'this database sends already';
    end if;
    here := capi._era(i.generation);
    if i.adopted_era = here then
        -- Same cluster and database, but transaction ids went backwards.
        i.generation := i.generation + 1;
        here := capi._era(i.generation);
    end if;
    insert into capi.era (era) values (here) on conflict do nothing;
    update capi.installation set generation = i.generation, adopted_era = here, updated_at = now();
    -- The new era is read from its first transaction, older ones by id, without what is settled.
    update capi.cursor
    set era = here, from_snapshot = '3:3:', from_taken_at = '-infinity', to_snapshot = null,
        to_taken_at = null, last_xid = '0', last_id = 0, unread_since = '-infinity', older_id = 0;
    perform capi._forget_plans();
    notify capi;
    return 'this database sends from now on';
end
$$;
