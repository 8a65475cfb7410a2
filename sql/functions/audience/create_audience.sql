create or replace function capi.create_audience(
    name text,
    destination text,
    people regclass,
    settings jsonb,
    caller text default capi._who()
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
    if name is null or name !~ '^[a-z][a-z0-9_.-]{0,62}$' then
        raise exception 'name of an audience must be 1 to 63 lower-case letters, digits, dots, dashes or underscores, a letter first'
            using errcode = 'invalid_parameter_value', hint = 'For example newsletter.';
    end if;
    select * into strict d from capi.destination x where x.destination = capi._destination_id(destination);
    perform capi._check_audience(d.platform, d.settings, settings);
    if exists (select from capi.audience a where a.name = create_audience.name and a.dropped_at is null) then
        raise exception 'there is an audience named "%" already', name
            using errcode = 'duplicate_object', hint = 'Change it with capi.alter_audience().';
    end if;
    if exists (
        select from capi.audience a join capi.destination x on x.destination = a.destination
        where a.dropped_at is null and a.settings ->> 'audience_id' = create_audience.settings ->> 'audience_id'
            and x.platform = d.platform
    ) then
        raise exception 'another audience fills the same list of the platform already'
            using errcode = 'duplicate_object', hint = 'Two views would remove each other''s people: unite them in one view.';
    end if;
    insert into capi.audience (name, destination, people, people_name, settings)
    values (name, d.destination, people, capi._check_people(people, capi._whose(caller)), settings);
    return name;
end
$$;

comment on function capi.create_audience is 'Creates a list of people at the platform of a destination (Meta): the view''s rows are its members, by the identifier columns of conversion views, consent, and value where members have one. settings: {"audience_id": "…"}, default_country, date_order, hashed_phone. Sent by capi audience sync. Returns the name.';
grant execute on function capi.create_audience to capi_admin;
