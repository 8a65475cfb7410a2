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
    digests text[];
begin
    if field is null or not field in ('email', 'phone', 'external_id') then
        raise exception 'field must be email, phone or external_id' using errcode = 'invalid_parameter_value',
            hint = 'The other identifiers are shared by many people.';
    end if;
    -- A value that is a digest already is its own digest, whatever the form.
    select array_agg(distinct x.digest) into digests
    from (
        -- One platform for each form in which the outbox holds the field.
        select capi.digest(field, value, p.platform, country)
        from unnest(case field
            when 'email' then array['meta', 'google_ads', 'ga4', 'reddit', 'microsoft']
            else array['meta', 'tiktok'] end) p (platform)
        union all
        select lower(btrim(value)) where lower(btrim(value)) ~ '^[0-9a-f]{64}$'
    ) x (digest)
    where x.digest is not null;
    if digests is null then
        raise exception 'the value is no %', field using errcode = 'invalid_parameter_value',
            hint = 'capi.explain says why. Its digest will do as well, and keeps the clear text out of logs.';
    end if;
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
