create or replace function capi.alter_destination(
    name text,
    settings jsonb default null,
    credential text default null
) returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    d capi.destination;
begin
    perform capi._not_inside();
    select * into strict d from capi.destination x
    where x.destination = capi._destination_id(name) for update;
    if credential is not null then
        perform capi._check_credential_name(credential);
        d.credential := credential;
    end if;
    if settings is not null then
        -- Given keys replace, null removes, the rest stays.
        d.settings := jsonb_strip_nulls(d.settings || settings);
        perform capi._check_settings(d.platform, d.settings);
    end if;
    update capi.destination x set settings = d.settings, credential = d.credential
    where x.destination = d.destination;
    perform capi._set_state(d.destination, d.state, d.pause_reason);
    return name;
end
$$;

comment on function capi.alter_destination is 'Changes settings (given keys replace, null removes) or the credential''s name. The sidecar notices by itself. Returns the name.';
grant execute on function capi.alter_destination to capi_admin;
