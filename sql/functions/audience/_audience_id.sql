-- The id of an audience by name; an error that lists the known ones otherwise.
create or replace function capi._audience_id(
    p_name text
) returns integer
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found_id integer;
begin
    select a.audience into found_id from capi.audience a where a.name = p_name and a.dropped_at is null;
    if found_id is null then
        raise exception 'no audience named "%"', p_name
            using errcode = 'undefined_object',
                hint = coalesce(
                    'Known audiences: ' || (select string_agg(a.name, ', ' order by a.name)
                        from capi.audience a where a.dropped_at is null),
                    'There is none yet: create one with capi.create_audience().');
    end if;
    return found_id;
end
$$;

comment on function capi._audience_id is 'The id of an audience by name; an error that lists the known ones otherwise.';
