create or replace function capi.resume(
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
    perform capi._not_inside();
    if not capi._may_send() then
        raise exception 'this database is a copy and does not send'
            using errcode = 'object_not_in_prerequisite_state',
                hint = 'If it is to send from now on, and the original is not, run: select capi.adopt();';
    end if;
    -- One that sends already goes on, with its worker.
    if not exists (select from capi.destination d where d.destination = id and d.state = 'active') then
        perform capi._set_state(id, 'active'::text, null::text);
    end if;
    update capi.batch b set due_at = clock_timestamp()
    where b.destination = id and b.state = 'ready' and b.due_at > clock_timestamp();
    -- The sidecar may be asleep; this is rare enough for a plain NOTIFY.
    notify capi;
    return name;
end
$$;

comment on function capi.resume is 'Sends to a destination from now on, the backlog first. Returns the name.';
grant execute on function capi.resume to capi_admin;
