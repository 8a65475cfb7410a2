-- Why an event may not be sent to a destination again, judged by today's consent and age; null when it may.
create or replace function capi._replay_bar(
    p_event capi.outbox,
    p_destination capi.destination
) returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(
        capi._withdrawn(p_event.source, p_event.key, p_event.captured_at, p_destination.platform, p_destination.name),
        case when capi._refuses(p_event.refused, p_destination.platform, p_destination.name) then 'consent_refused' end,
        case capi._fate(p_destination.platform, p_event.event_name, p_event.action_source, p_event.event_time, clock_timestamp())
            when 'expired' then 'too_old' end
    )
$$;

comment on function capi._replay_bar is 'Why an event may not be sent to a destination again.';
