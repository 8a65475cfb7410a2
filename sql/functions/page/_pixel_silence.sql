-- Why the page of a row fires nothing, whatever the row says: null, or a word. A withdrawal after the
-- capture counts here as it does at delivery.
create or replace function capi._pixel_silence(
    p_destination integer,
    p_event jsonb,
    p_view oid
) returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when not capi._may_send() then 'copy_of_a_database'
        -- The server keeps its half until it is resumed, which may be later than duplicates are dropped.
        when d.state = 'paused' then 'destination_paused'
        else (
            -- One word, whether withdrawn or forgotten: that somebody was is nobody's business on a page.
            select case when count(capi._withdrawn(o.source, o.key, o.captured_at, d.platform, d.name)) > 0 then 'withdrawn' end
            from capi.source s
            cross join lateral (
                select case cardinality(s.key_columns)
                    when 1 then p_event -> 'key' ->> s.key_columns[1]
                    else (select jsonb_agg(p_event -> 'key' ->> c.name order by c.n)::text
                        from unnest(s.key_columns) with ordinality c (name, n))
                end
            ) k (key)
            join capi.outbox o on o.source = s.source and o.key = k.key
                and o.event_name = p_event ->> 'event_name' and o.event_id = p_event ->> 'event_id'
            where s.conversions = p_view
        )
    end
    from capi.destination d
    where d.destination = p_destination
$$;

comment on function capi._pixel_silence is 'Why the page of a row fires nothing, whatever the row says.';
