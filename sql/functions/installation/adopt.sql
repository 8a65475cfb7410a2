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
    perform capi._not_inside();
    select * into strict i from capi.installation for update;
    if capi._may_send() then
        return 'this database sends already';
    end if;
    here := capi._era(i.generation);
    if exists (select from capi.era e where e.era = here) then
        -- Been here before: transaction ids went backwards, or a copy came home. Captures that are
        -- under way still write the old era; wait for them.
        lock table capi.outbox in share row exclusive mode;
        while exists (select from capi.era e where e.era = here) loop
            i.generation := i.generation + 1;
            here := capi._era(i.generation);
        end loop;
    end if;
    insert into capi.era (era) values (here);
    -- What the original has sent since the copy was made is not known here.
    update capi.installation
    set generation = i.generation, adopted_era = here, timeline = capi._timeline(),
        doubtful_until = clock_timestamp(), updated_at = now();
    update capi.batch set unknown = unknown + 1 where ticket is null;
    -- The new era is read from its first transaction, older ones by id, without what is settled.
    update capi.cursor
    set era = here, from_snapshot = '3:3:', from_xid = '0', from_taken_at = '-infinity',
        to_snapshot = null, to_xid = null, to_taken_at = null, last_xid = '0', last_id = 0, unread_since = '-infinity', older_id = 0,
        first_batch = 0, first_as_of = 0;
    update capi.route set past = null, past_until = null, past_id = null where past is not null;
    perform capi._forget_plans();
    notify capi;
    return 'this database sends from now on';
end
$$;

comment on function capi.adopt is 'Says that this restored or cloned database is the one that sends from now on.';
grant execute on function capi.adopt to capi_admin;
