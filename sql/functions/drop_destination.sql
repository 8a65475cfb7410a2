create or replace function capi.drop_destination(
    name text
) returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    id integer := capi._destination_id(name);
begin
    perform from capi.cursor c where c.destination = id for update;
    perform from capi.batch b where b.destination = id for update;
    if exists (select from capi.batch b where b.destination = id and b.state = 'leased') then
        raise exception 'destination "%" is sending right now', name
            using errcode = 'object_in_use',
                hint = 'Pause it with capi.pause() and drop it when its requests have ended.';
    end if;
    perform capi._set_state(id, 'dropped', 'dropped');
    update capi.route r set until = clock_timestamp() where r.destination = id and r.until is null;
    -- Accepted by the platform, and nobody asks any more what became of it.
    insert into capi.receipt (event, captured_at, destination, status, reason, attempts, possible_duplicate, attempt)
    select o.id, o.captured_at, id, 'undecided', 'destination_dropped', b.tries + 1, b.unknown > 0, b.accepted_attempt
    from capi.batch b
    join capi.outbox o on o.id = any (b.events) and o.captured_at between b.captured_from and b.captured_to
    where b.destination = id and b.ticket is not null
    on conflict do nothing;
    update capi.replay_log y set finished_at = clock_timestamp() where y.destination = id and y.finished_at is null;
    delete from capi.batch b where b.destination = id;
    delete from capi.cursor c where c.destination = id;
    return name;
end
$$;
