-- Scans the outbox: there is no index of persons, on purpose.
create or replace function capi.find_person(
    field text,
    value text,
    country text default null
) returns table (
    source text,
    key text,
    events bigint
)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    digests text[] := capi._person_digests(field, value, country);
begin
    return query
    select s.name, o.key, count(*)
    from capi.outbox o join capi.source s on s.source = o.source
    where exists (
        select from jsonb_each(o.identity) e (form, list)
        where split_part(e.form, '/', 1) = field and e.list ?| digests
    )
    group by s.name, o.key
    order by s.name, o.key;
end
$$;

comment on function capi.find_person is 'Rows whose events hold an email address, phone or external id, given in clear or as a digest. Scans the whole outbox.';
grant execute on function capi.find_person to capi_admin;
