-- The digests, in every form that is stored, of a value that belongs to one person.
create or replace function capi._person_digests(
    p_field text,
    p_value text,
    p_country text
) returns text[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    digests text[];
begin
    if p_field is null or not p_field in ('email', 'phone', 'external_id') then
        raise exception 'field must be email, phone or external_id' using errcode = 'invalid_parameter_value',
            hint = 'The other identifiers are shared by many people.';
    end if;
    -- A value that is a digest already is its own digest, whatever the form.
    select array_agg(distinct x.digest) into digests
    from (
        -- One platform for each form in which the outbox holds the field.
        select capi.digest(p_field, p_value, p.platform, p_country)
        from unnest(case p_field
            when 'email' then array['meta', 'google_ads', 'ga4', 'reddit', 'microsoft']
            else array['meta', 'tiktok'] end) p (platform)
        union all
        select lower(btrim(p_value) collate "C") where lower(btrim(p_value) collate "C") ~ '^[0-9a-f]{64}$'
    ) x (digest)
    where x.digest is not null;
    if digests is null then
        raise exception 'the value is no %', p_field using errcode = 'invalid_parameter_value',
            hint = 'capi.explain says why. Its digest will do as well, and keeps the clear text out of logs.';
    end if;
    return digests;
end
$$;

comment on function capi._person_digests is 'The digests, in every form that is stored, of a value that belongs to one person.';
