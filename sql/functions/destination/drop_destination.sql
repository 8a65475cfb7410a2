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
    gone capi.batch;
begin
    perform capi._not_inside();
    perform from capi.cursor c where c.destination = id for update;
    perform from capi.batch b where b.destination = id for update;
    if exists (select from capi.batch b where b.destination = id and b.state = 'leased'
        and b.lease_until > clock_timestamp()) then
        raise exception 'destination "%" is sending right now', name
            using errcode = 'object_in_use',
                hint = 'Pause it with capi.pause() and drop it when its requests have ended.';
    end if;
    perform capi._set_state(id, 'dropped', 'dropped');
    update capi.route r set until = clock_timestamp() where r.destination = id and r.until is null;
    -- What was accepted, and what may have arrived: nobody asks any more what became of it.
    for gone in select x.* from capi.batch x where x.destination = id order by x.batch loop
        gone := capi._lapsed(gone);
        perform capi._end_events(gone, gone.events,
            array[case when gone.ticket is not null or gone.unknown > 0 then 'undecided' else 'unrouted' end],
            null, 'destination_dropped', clock_timestamp());
    end loop;
    perform capi._end_unread(id, '-infinity', x.until + interval '1 microsecond', 'undecided', 'destination_dropped')
    from (select capi._doubtful_until(id) as until) x
    where x.until is not null;
    update capi.replay_log y set finished_at = clock_timestamp() where y.destination = id and y.finished_at is null;
    delete from capi.batch b where b.destination = id;
    delete from capi.cursor c where c.destination = id;
    return name;
end
$$;

comment on function capi.drop_destination is 'Drops a destination: what it has not sent stays unsent, its receipts stay, and what may have arrived gets one: undecided. Refused while a request is under way. Returns the name.';
grant execute on function capi.drop_destination to capi_admin;
