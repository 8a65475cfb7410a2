create or replace function capi.forget(
    source text,
    key text,
    note text default null
) returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    tracked record;
    emptied bigint := 0;
    sent jsonb;
    perhaps jsonb;
    sending bigint;
    ids integer[] := array[]::integer[];
    digests text[];
    audiences text[];
    spelled text;
    spellings text[] := array[]::text[];
begin
    perform capi._check_key(key);
    perform capi._check_note('note', note);
    for tracked in select s.source as id from capi._sources_named(source) s order by s.source loop
        ids := ids || tracked.id;
        spelled := capi._spelled(tracked.id, key);
        spellings := spellings || spelled;
        digests := digests || array(
            select distinct d.digest
            from capi.outbox o
            cross join jsonb_each(o.identity) e (form, digests)
            cross join jsonb_array_elements_text(e.digests) d (digest)
            where o.source = tracked.id and o.key = spelled
                and split_part(e.form, '/', 1) in ('email', 'phone', 'external_id'));
        emptied := emptied + capi._forget(tracked.id, spelled, note);
    end loop;
    -- By the receipt, whatever has become of the event since: it may be on its way again.
    select coalesce(jsonb_object_agg(x.destination, x.delivered) filter (where x.delivered > 0), '{}'),
        coalesce(jsonb_object_agg(x.destination, x.perhaps) filter (where x.perhaps > 0), '{}')
    into sent, perhaps
    from (
        select d.destination, count(*) filter (where d.has = 'yes') as delivered,
            count(*) filter (where d.has = 'perhaps') as perhaps
        from capi._delivery d
        where (d.source_id, d.key) in (select * from unnest(ids, spellings))
        group by d.destination
    ) x;
    select count(*) into sending
    from capi._delivery d
    where (d.source_id, d.key) in (select * from unnest(ids, spellings))
        and d.status = 'sending';
    audiences := array(
        select a.name from capi.audience a
        where a.dropped_at is null and exists (
            select from capi.audience_member m where m.audience = a.audience and m.digests[1:3] && digests
        )
        order by a.name
    );
    return jsonb_build_object(
        'events_emptied', emptied,
        'audiences', audiences,
        'being_sent_now', sending,
        'delivered_before', sent,
        'perhaps_delivered', perhaps,
        'remains', 'What was delivered, or perhaps was, is with the platform: ask it to delete. Old row versions go with the next vacuum of '
            'capi.outbox; write-ahead log, replicas and backups age out by their own retention. A salted digest stays as '
            'the block against capturing the past again.');
end
$$;

comment on function capi.forget is 'Erases a person from the events of a row: identifiers, click ids, addresses and URLs, in one transaction, and blocks what is not sent yet. Says what was delivered before and what ages out later.';
grant execute on function capi.forget to capi_admin;
