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
    sending bigint;
    ids integer[] := array[]::integer[];
    digests text[];
    audiences text[];
begin
    for tracked in select s.source as id from capi._named(source) s order by s.source loop
        ids := ids || tracked.id;
        digests := digests || array(
            select distinct d.digest
            from capi.outbox o
            cross join jsonb_each(o.identity) e (form, digests)
            cross join jsonb_array_elements_text(e.digests) d (digest)
            where o.source = tracked.id and o.key = forget.key
                and split_part(e.form, '/', 1) in ('email', 'phone', 'external_id'));
        emptied := emptied + capi._forget(tracked.id, key, note);
    end loop;
    select coalesce(jsonb_object_agg(x.destination, x.n), '{}') into sent
    from (
        select d.destination, count(*) as n
        from capi._delivery d
        where d.source_id = any (ids)
            and d.key = forget.key and d.status = 'delivered'
        group by d.destination
    ) x;
    select count(*) into sending
    from capi._delivery d
    where d.source_id = any (ids)
        and d.key = forget.key and d.status = 'sending';
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
        'remains', 'What was delivered is with the platform: ask it to delete. Old row versions go with the next vacuum of '
            'capi.outbox; write-ahead log, replicas and backups age out by their own retention. A salted digest stays as '
            'the block against capturing the past again.');
end
$$;
