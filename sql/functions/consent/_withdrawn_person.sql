-- Trigger function of capi.withdrawal: keeps capi.withdrawn_person as the withdrawals are.
create or replace function capi._withdrawn_person() returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if new.reason = 'forgotten' or new.refused = '{}' then
        delete from capi.withdrawn_person p where p.source = new.source and p.key = new.key;
        return null;
    end if;
    insert into capi.withdrawn_person (source, key, salted)
    select distinct new.source, new.key, sha256(i.salt || convert_to(d.digest, 'UTF8'))
    from capi.outbox o
    cross join capi.installation i
    cross join jsonb_each(o.identity) e (form, digests)
    cross join jsonb_array_elements_text(e.digests) d (digest)
    where o.source = new.source and o.key = new.key
        and split_part(e.form, '/', 1) in ('email', 'phone', 'external_id')
    on conflict do nothing;
    return null;
end
$$;
create or replace trigger withdrawn_person after insert or update on capi.withdrawal
for each row execute function capi._withdrawn_person();

comment on function capi._withdrawn_person is 'Keeps capi.withdrawn_person as the withdrawals are.';
