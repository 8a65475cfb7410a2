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
    delete from capi.batch b where b.destination = id;
    delete from capi.cursor c where c.destination = id;
    return name;
end
$$;
