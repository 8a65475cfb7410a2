create or replace function capi.pause(
    name text,
    reason text default 'paused by hand'
) returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
    perform capi._not_inside();
    perform capi._check_note('reason', reason);
    perform capi._set_state(capi._destination_id(name), 'paused', reason);
    return name;
end
$$;

comment on function capi.pause is 'Stops sending to a destination after the requests under way; capture goes on. Returns the name.';
grant execute on function capi.pause to capi_admin;
