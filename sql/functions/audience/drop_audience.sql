create or replace function capi.drop_audience(
    name text,
    leave_members boolean default false
) returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
<<mine>>
declare
    id integer := capi._audience_id(name);
begin
    perform capi._not_inside();
    if not capi._try_lock('audience', id) then
        raise exception 'audience "%" is being synced right now', name using errcode = 'object_in_use',
            hint = format('Wait for the end of capi audience sync (%s).', (
                select format('pid %s, role %s', h.pid, h.role) from capi.locks() h
                where h.lock = 'audience' and h.id = mine.id limit 1));
    end if;
    if not coalesce(leave_members, false) and exists (
        select from capi.audience_member m where m.audience = id and (m.sent is not null or m.offered)
    ) then
        raise exception 'audience "%" has members at the platform, and nobody would remove them any more', name
            using errcode = 'object_not_in_prerequisite_state',
                hint = 'Let the view show nobody and sync; or delete the list at the platform and say leave_members => true.';
    end if;
    delete from capi.audience_member m where m.audience = id;
    update capi.audience_sync s set outcome = 'abandoned', finished_at = clock_timestamp()
    where s.audience = id and s.outcome = 'running';
    update capi.audience a set dropped_at = clock_timestamp() where a.audience = id;
    return name;
end
$$;

comment on function capi.drop_audience is 'Drops an audience and what is known of its members. Refused while members are at the platform, unless leave_members. Returns the name.';
grant execute on function capi.drop_audience to capi_admin;
