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
begin
    for tracked in select s.source as id from capi._named(source) s order by s.source loop
        ids := ids || tracked.id;
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
    return jsonb_build_object(
        'events_emptied', emptied,
        'being_sent_now', sending,
        'delivered_before', sent,
        'remains', 'What was delivered is with the platform: ask it to delete. Old row versions go with the next vacuum of '
            'capi.outbox; write-ahead log, replicas and backups age out by their own retention. A salted digest stays as '
            'the block against capturing the past again.');
end
$$;
