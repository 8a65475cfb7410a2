create or replace function capi.check_view(
    conversions regclass,
    platform text default null,
    source regclass default null,
    sample integer default 1000,
    default_country text default null
) returns table (
    severity text,
    field text,
    finding text,
    hint text,
    present numeric,
    used numeric,
    dropped jsonb
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    platforms text[] := case when platform is not null then array[platform] end;
    order_of constant text[] := array['error', 'warning', 'info'];
begin
    if platform is not null and not platform = any (capi._platforms()) then
        raise exception 'unknown platform' using errcode = 'invalid_parameter_value',
            hint = 'Known are: ' || array_to_string(capi._platforms(), ', ') || '.';
    end if;
    if default_country is not null and capi.normalize('country', default_country) is null then
        raise exception 'default_country is no country' using errcode = 'invalid_parameter_value',
            hint = 'Give an ISO 3166-1 code such as DE.';
    end if;
    -- Without a view, a readable one, or a time to order by there is nothing to sample.
    if coalesce(sample, 0) < 1 or exists (
        select from capi._findings(conversions, source, platforms, null::jsonb) f
        where f.severity = 'error' and coalesce(f.field, 'event_time') = 'event_time'
    ) then
        return query
        select f.severity, f.field, f.finding, f.hint, null::numeric, null::numeric, null::jsonb
        from capi._findings(conversions, source, platforms, null::jsonb) f
        order by array_position(order_of, f.severity), f.field;
        return;
    end if;
    return query
    with survey as materialized (
        select s.*, round(s.present::numeric / nullif(s.sampled, 0), 4) as share_present,
            round(s.used::numeric / nullif(s.sampled, 0), 4) as share_used
        from capi._survey(conversions::oid, platform, capi._source_options(conversions::oid, default_country), sample::bigint) s
    ), drops as (
        -- By field, the reasons as shares of all rows, the most common one first.
        select s.field, sum(r.value::numeric) / max(s.sampled) as share,
            jsonb_object_agg(r.key, round(r.value::numeric / s.sampled, 4)) as reasons,
            string_agg(format('%s %s %%', r.key, round(100 * r.value::numeric / s.sampled, 1)), ', '
                order by r.value::numeric desc, r.key) as listed,
            capi._advice(s.field, platform, (array_agg(r.key order by r.value::numeric desc, r.key))[1]) as advice
        from survey s, jsonb_each_text(s.reasons) r
        where s.kind = 'field'
        group by s.field
    ), all_findings as (
        select case when f.severity = 'info' and d.share >= 0.05 then 'warning' else f.severity end as severity,
            f.field,
            f.finding || coalesce('; dropped: ' || d.listed, '') as finding,
            coalesce(f.hint, d.advice) as hint,
            coalesce(s.share_present, case when k.class in ('digest', 'clear') and n.sampled > 0 then 0.0000 end),
            coalesce(s.share_used, case when k.class in ('digest', 'clear') and n.sampled > 0 then 0.0000 end),
            d.reasons
        from capi._findings(conversions, source, platforms, null::jsonb) f
        left join survey s on s.kind = 'field' and s.field = f.field
        left join drops d on d.field = f.field
        left join capi.field k on k.name = f.field and f.finding like 'used%'
        cross join (select max(x.sampled) as sampled from survey x) n
        union all
        -- Fields that have no column of their own.
        select case when d.share >= 0.05 then 'warning' else 'info' end, s.field,
            'from browser' || coalesce('; dropped: ' || d.listed, ''), d.advice, s.share_present, s.share_used, d.reasons
        from survey s
        left join drops d on d.field = s.field
        where s.kind = 'field'
            and not exists (select from capi._view_columns(conversions) v where v.name = s.field)
        union all
        select case s.reasons ->> 'status' when 'capture_error' then 'error' when 'refused' then 'warning'
                when 'unrouted' then 'warning' else 'info' end,
            s.field,
            format('%s of %s rows ', s.used, s.sampled)
                || case s.reasons ->> 'status'
                    when 'sent' then case when platform is null then 'would be captured' else 'would be sent' end
                    when 'capture_error' then 'would be capture errors: ' || (s.reasons ->> 'reason')
                    when 'waiting' then 'wait for consent'
                    when 'suppressed' then 'are without consent and would not be sent'
                    when 'expired' then format('are too old for %s', platform)
                    else format('would be refused by %s: %s', platform, s.reasons ->> 'reason') end,
            capi._advice(s.field, platform, s.reasons ->> 'reason'), null, s.share_used, null
        from survey s
        where s.kind = 'outcome'
        union all
        select 'error', s.field, format('%s of %s rows share their event name and event_id with another', s.used, s.sampled),
            'An event_id names one conversion; build it from the source''s key.', null, s.share_used, null
        from survey s
        where s.kind = 'repeated_id'
        union all
        select 'error', null, 'the view cannot be read as its owner: ' || (select k from jsonb_object_keys(s.reasons) k),
            'Capture reads with search_path pg_catalog and row_security off. Query the view as its owner with these settings to see the error.',
            null, null, null
        from survey s
        where s.kind = 'failed'
        union all
        select 'info', null, 'its rows were not sampled: only the view''s owner and members of that role may look at them',
            'The view is read as its owner, past any policy.', null, null, null
        from survey s
        where s.kind = 'denied'
        union all
        select 'info', null, 'the view shows no row; nothing could be sampled', null, null, null, null
        where not exists (select from survey)
    )
    select * from all_findings a
    order by array_position(order_of, a.severity), a.field;
end
$$;

comment on function capi.check_view is 'Says what of a conversion view is used, missing or wrong, with the way out, and in which share of its latest rows (sample) each identifier is present, used by the platform, or dropped and why. Locks and stores nothing. The rows are read as the view''s owner, for members of that role only; sample => 0 reads the catalog only.';
grant execute on function capi.check_view to capi_admin;
