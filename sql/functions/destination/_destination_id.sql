-- The id of a destination by name; an error that lists the known ones otherwise.
create or replace function capi._destination_id(
    p_name text
) returns integer
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found_id integer;
begin
    select d.destination into found_id from capi.destination d
    where d.name = p_name and d.state <> 'dropped';
    if found_id is null then
        raise exception 'no destination named "%"', p_name
            using errcode = 'undefined_object',
                hint = coalesce(
                    'Known destinations: ' || (select string_agg(d.name, ', ' order by d.name)
                        from capi.destination d where d.state <> 'dropped'),
                    'There is none yet: create one with capi.create_destination().');
    end if;
    return found_id;
end
$$;

comment on function capi._destination_id is 'The id of a destination by name.';
