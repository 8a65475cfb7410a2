create or replace function capi.alter_audience(
    name text,
    people regclass default null,
    settings jsonb default null,
    caller text default capi._who()
) returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    a capi.audience;
    d capi.destination;
    wanted jsonb;
begin
    perform capi._not_inside();
    select * into strict a from capi.audience x where x.audience = capi._audience_id(name) for update;
    select * into strict d from capi.destination x where x.destination = a.destination;
    -- Given keys replace, null removes, the rest stays.
    wanted := jsonb_strip_nulls(a.settings || coalesce(settings, '{}'));
    perform capi._check_audience(d.platform, d.settings, wanted);
    if wanted ->> 'audience_id' <> a.settings ->> 'audience_id' then
        raise exception 'audience_id of an audience cannot be changed' using errcode = 'feature_not_supported',
            hint = 'Its people would stay on the old list: empty the view, sync, drop the audience and create another.';
    end if;
    update capi.audience x
    set settings = wanted,
        people = coalesce(alter_audience.people, x.people),
        people_name = case when alter_audience.people is null then x.people_name
            else capi._check_people(alter_audience.people, capi._whose(caller)) end
    where x.audience = a.audience;
    return name;
end
$$;

comment on function capi.alter_audience is 'Changes the view or settings (given keys replace, null removes) of an audience; not its audience_id. Returns the name.';
grant execute on function capi.alter_audience to capi_admin;
