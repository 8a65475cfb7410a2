create or replace function capi.forget_person(
    field text,
    value text,
    country text default null,
    note text default null
) returns table (
    source text,
    key text,
    report jsonb
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
    return query
    select f.source, f.key, capi.forget(f.source, f.key, note)
    from capi.find_person(field, value, country) f;
end
$$;
