-- Empties what is stored of a row's events and blocks them from being sent; returns how many.
create or replace function capi._forget(
    p_source integer,
    p_key text,
    p_note text
) returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    personal text[] := array(select f.name from capi.field f where f.class = 'clear')
        || '{event_source_url,referrer_url,custom}'::text[];
    n bigint;
begin
    insert into capi.withdrawal as w (source, key, refused, reason, note)
    values (p_source, p_key, '{*}', 'forgotten', p_note)
    on conflict on constraint withdrawal_pkey do update
    set refused = '{*}', reason = 'forgotten', at = clock_timestamp(), xid = pg_current_xact_id(), by_role = session_user, note = excluded.note;
    insert into capi.forgotten as f (salted)
    select distinct sha256(i.salt || convert_to(digest, 'UTF8'))
    from capi.outbox o
    cross join capi.installation i
    cross join jsonb_each(o.identity) e (form, digests)
    cross join jsonb_array_elements_text(e.digests) digest
    where o.source = p_source and o.key = p_key and split_part(e.form, '/', 1) in ('email', 'phone', 'external_id')
    on conflict on constraint forgotten_pkey do update set at = clock_timestamp();
    update capi.outbox o
    set identity = '{}', facts = o.facts - personal, refused = '{*}'
    where o.source = p_source and o.key = p_key;
    get diagnostics n = row_count;
    perform capi._forget_plans();
    return n;
end
$$;

comment on function capi._forget is 'Empties what is stored of a row''s events.';
