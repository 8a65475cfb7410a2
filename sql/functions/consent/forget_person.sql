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
declare
    audiences text[];
begin
    perform capi._check_note('note', note);
    audiences := capi._block_person(field, value, country);
    return query
    select f.source, f.key, capi.forget(f.source, f.key, note)
    from capi.find_person(field, value, country) f;
    -- Whoever has never bought is in no outbox, and may be on a list.
    return query
    select 'audience ' || a.name, null::text,
        jsonb_build_object('remains', 'The next capi audience sync removes the person at the platform and here.')
    from unnest(audiences) a (name);
end
$$;

comment on function capi.forget_person is 'capi.forget for every row that capi.find_person finds.';
grant execute on function capi.forget_person to capi_admin;
