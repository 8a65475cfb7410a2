-- Keeps a person from being captured again, from the past, and from every audience for good; returns
-- the audiences that the person is to be removed from.
create or replace function capi._block_person(
    p_field text,
    p_value text,
    p_country text
) returns text[]
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    digests text[] := capi._person_digests(p_field, p_value, p_country);
begin
    insert into capi.forgotten as f (salted)
    select sha256(i.salt || convert_to(d.digest, 'UTF8'))
    from unnest(digests) d (digest) cross join capi.installation i
    on conflict on constraint forgotten_pkey do update set at = clock_timestamp();
    perform capi._forget_plans();
    return array(
        select a.name from capi.audience a
        where a.dropped_at is null and exists (
            select from capi.audience_member m where m.audience = a.audience and m.digests[1:3] && digests
        )
        order by a.name
    );
end
$$;

comment on function capi._block_person is 'Keeps a person from being captured again and from every audience; returns the audiences to be left.';
grant execute on function capi._block_person to capi_admin;
