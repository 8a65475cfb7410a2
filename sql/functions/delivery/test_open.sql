create or replace function capi.test_open(
    p_destination integer,
    p_event bigint,
    p_worker text
) returns table (
    attempt bigint,
    packed bytea
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    d capi.destination;
    o capi.outbox;
    bar text;
    opened bigint;
begin
    if p_worker is null then
        raise exception 'the worker is missing' using errcode = 'invalid_parameter_value',
            hint = 'Say who tests.';
    end if;
    -- A test lost in a crash would be a send that nobody recorded.
    if current_setting('synchronous_commit') = 'off' then
        perform set_config('synchronous_commit', 'local', true);
    end if;
    if not capi._may_send() then
        raise exception 'this database is a copy and does not send'
            using errcode = 'object_not_in_prerequisite_state',
                hint = 'If it is to send from now on, and the original is not, run: select capi.adopt();';
    end if;
    select * into d from capi.destination x where x.destination = p_destination and x.state <> 'dropped';
    if not found then
        raise exception 'no destination %', p_destination
            using errcode = 'undefined_object', hint = 'Another session has dropped it: capi.destinations() has those there are.';
    end if;
    select * into o from capi.outbox x where x.id = p_event;
    if not found then
        raise exception 'no event % in the outbox', p_event
            using errcode = 'undefined_object', hint = 'capi.delivery has the numbers in its column event.';
    end if;
    bar := capi._replay_bar(o, d);
    if bar is not null then
        raise exception 'event % may not be sent to this destination: %', p_event, bar
            using errcode = 'object_not_in_prerequisite_state', hint = 'Choose another event.';
    end if;
    opened := nextval('capi.attempt_id');
    insert into capi.attempt (attempt, started_at, destination, batch, worker, tries, events, kind)
    values (opened, clock_timestamp(), p_destination, 0, p_worker, 0, array[p_event], 'test');
    return query select opened, capi._pack(o.id, o.event_time, o.event_name, o.event_id, o.action_source, o.value,
        o.currency, o.identity, o.facts);
end
$$;

comment on function capi.test_open is 'For capi send-test: a captured event that may be sent, and an attempt of kind test that says that it was. Touches neither receipt nor batch.';
grant execute on function capi.test_open to capi_sidecar;
