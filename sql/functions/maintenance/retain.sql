create or replace function capi.retain(
    events interval,
    receipts interval default null,
    attempts interval default null,
    errors interval default interval '90 days'
) returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    r capi.retention;
    least_kept constant interval := interval '14 days';
begin
    perform capi._not_inside();
    receipts := coalesce(receipts, events);
    attempts := coalesce(attempts, events);
    if events < least_kept or receipts < least_kept or attempts < least_kept then
        raise exception 'events, receipts and attempts are kept for 14 days at least'
            using errcode = 'invalid_parameter_value',
                hint = 'Platforms take events for a week or longer, and the sweep looks eight days back.';
    end if;
    if receipts < events or events is null and receipts is not null then
        raise exception 'receipts are kept at least as long as their events'
            using errcode = 'invalid_parameter_value', hint = 'Without its receipt an event would count as not sent.';
    end if;
    if errors < interval '1 day' then
        raise exception 'resolved capture errors are kept for a day at least' using errcode = 'invalid_parameter_value';
    end if;
    update capi.retention x
    set events = retain.events, receipts = retain.receipts, attempts = retain.attempts, errors = retain.errors,
        changed_at = clock_timestamp(), changed_by = session_user
    returning * into r;
    return format('kept: events %s, receipts %s, attempts %s, resolved capture errors %s',
        coalesce(r.events::text, 'for good'), coalesce(r.receipts::text, 'for good'),
        coalesce(r.attempts::text, 'for good'), coalesce(r.errors::text, 'for good'));
end
$$;

comment on function capi.retain is 'Says how long events are kept, and their receipts and attempts (default: as long), and resolved capture errors; null: for good, which is so until this is called. Whole weeks are dropped; what is still open then is settled as expired. The keys of events stay. Returns what holds now.';
grant execute on function capi.retain to capi_admin;
