create or replace function capi.create_destination(
    name text,
    platform text,
    settings jsonb,
    credential text
) returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    made integer;
begin
    perform capi._not_inside();
    if name is null or name !~ '^[a-z][a-z0-9_.-]{0,62}$' then
        raise exception 'name of a destination must be 1 to 63 lower-case letters, digits, dots, dashes or underscores, a letter first'
            using errcode = 'invalid_parameter_value', hint = 'For example meta-eu.';
    end if;
    perform capi._check_credential_name(credential);
    perform capi._check_settings(platform, settings);
    if exists (select from capi.destination d where d.name = create_destination.name and d.state <> 'dropped') then
        raise exception 'there is a destination named "%" already', name
            using errcode = 'duplicate_object', hint = 'Change it with capi.alter_destination().';
    end if;
    insert into capi.destination (name, platform, settings, credential, pause_reason)
    values (name, platform, settings, credential, 'new')
    returning destination into made;
    insert into capi.destination_version (destination, version, settings, credential, state, reason)
    values (made, 1, settings, credential, 'paused', 'new');
    -- It reads from now on. A later statement may take the snapshot: nothing is routed to it yet.
    insert into capi.cursor (destination, era, from_xid, from_snapshot, from_taken_at, unread_since)
    select made, capi._era(i.generation), pg_current_xact_id(), pg_current_snapshot(), now(),
        now() - interval '1 day'
    from capi.installation i;
    return name;
end
$$;

comment on function capi.create_destination is 'Creates a destination, paused: events are captured and not sent until capi.resume(). Settings are the platform''s; credential is a name such as META_TOKEN, never a token. Returns the name.';
grant execute on function capi.create_destination to capi_admin;
