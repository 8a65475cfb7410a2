-- Run by capi.setup with its caller's rights, after everything is there. Nothing is public but what a trigger
-- needs from an application that has no right on this schema.
revoke all on schema capi from public;
revoke all on all tables in schema capi from public;
revoke all on all sequences in schema capi from public;
revoke execute on all routines in schema capi from public;

grant usage on schema capi to capi_sidecar, capi_analyst, capi_admin, capi_emitter, capi_tenant;

-- All that an application which emits needs.
grant execute on function capi.emit(jsonb, text) to capi_emitter;

-- The views tell tenants apart; what does not is not for them.
grant select on capi.delivery, capi.attempts, capi.sources, capi.sweeps, capi.backfills, capi.capture_errors,
    capi.field, capi.rule, capi.pixel_coverage
to capi_tenant;
grant execute on function capi.status(), capi._fields(), capi._rules(), capi._refuses(text[], text, text)
to capi_tenant;

grant execute on function
    capi.handshake(),
    capi.destinations(),
    capi.poll(),
    capi.claim(integer, text, interval, integer),
    capi.claimed_events(bigint, uuid, integer),
    capi.record(bigint, uuid, bigint, integer, text, text, jsonb, text, bigint[], text[], text[], bigint[], interval, text, bigint[], boolean),
    capi.hasten(integer),
    capi.release(bigint, uuid),
    capi.bell_keep(),
    capi.bell_arm(),
    capi.bell_disarm(),
    capi.maintain(),
    capi.maintenance(),
    capi.status(),
    capi.health(),
    capi.unblock(integer, integer, text),
    capi.alert_note(jsonb),
    capi.alert_claim(),
    capi.alert_told(bigint, text, boolean),
    capi.audience_open(text, text),
    capi.audience_batch(bigint, text, uuid, integer),
    capi.audience_record(bigint, text, uuid[], bigint, integer, text),
    capi.audience_close(bigint, text, integer, text)
to capi_sidecar;

grant select on capi.delivery, capi.attempts, capi.sources, capi.field, capi.rule, capi.capture_error, capi.capture_errors,
    capi.era, capi.source_version, capi.sweeps, capi.backfills, capi.alerts, capi.pixel_coverage, capi.replays,
    capi.replayed, capi.retention, capi.audience_status, capi.audience_syncs
to capi_analyst, capi_admin;
grant select on capi.destination_version, capi.withdrawal, capi.tenant_reader to capi_admin;
grant select on sequence capi.capture_failures to capi_analyst, capi_admin;
grant execute on function
    capi.status(),
    capi.maintenance(),
    capi.explain_match(anyelement, text, text),
    capi._source_options(oid, text),
    capi._refuses(text[], text, text)
to capi_analyst, capi_admin;

grant execute on function
    capi.handshake(),
    capi.destinations(),
    capi.create_destination(text, text, jsonb, text),
    capi.alter_destination(text, jsonb, text),
    capi.drop_destination(text),
    capi.create_audience(text, text, regclass, jsonb),
    capi.alter_audience(text, regclass, jsonb),
    capi.drop_audience(text, boolean),
    capi.pause(text, text),
    capi.resume(text),
    capi.replay(text, bigint[], text, boolean),
    capi.retain(interval, interval, interval, interval),
    capi.test_open(integer, bigint, text),
    capi.test_close(bigint, text, integer, text, text, jsonb),
    capi.replay_candidates(text, text, text, timestamptz, timestamptz),
    capi.adopt(),
    capi.check_view(regclass, text, regclass, integer, text),
    capi.check_contents(regclass, regclass, name, integer),
    capi._survey(oid, text, jsonb, bigint),
    capi._unknown_contents(oid, oid, text, bigint),
    capi.track(regclass, regclass, text[], jsonb, text, text[], text, text, text, text, text),
    capi.create_emitter(text, text[], text[], text, text, text, text, text),
    capi.add_route(text, text, interval),
    capi.set_tenant(text, text),
    capi.grant_tenant(text, text),
    capi.revoke_tenant(text, text),
    capi._row_options(text, text, text, text, text),
    capi.untrack(text, regclass),
    capi.recapture(text, text[]),
    capi.revalidate(regclass),
    capi.withdraw(text, text, text[], text),
    capi.forget(text, text, text),
    capi.find_person(text, text, text),
    capi.forget_person(text, text, text, text),
    capi._block_person(text, text, text),
    capi.sweep(regclass, interval),
    capi._backfill_open(regclass, timestamptz, timestamptz, boolean),
    capi._backfill_page(bigint, integer),
    capi.preview(text, anyelement, text),
    capi.maintain(),
    capi._findings(regclass, regclass, text[], jsonb),
    capi._key_columns(regclass),
    capi._view_columns(regclass),
    capi._is_a_key(regclass, text),
    capi._type_fits(text, oid),
    capi._filtered_tables(regclass, oid),
    capi._unpinned_functions(regclass),
    capi._source_save(regclass, regclass, text[], jsonb),
    capi._make_triggers(regclass, integer, text[], text, text[]),
    capi._preview_at(text, jsonb, oid, text),
    capi.allow_page(name),
    capi.event_id(anyelement),
    capi.event_id(text, text[]),
    capi.pixel_snippet(text, anyelement, boolean, text, text, text, interval, text),
    capi._pixel_at(text, jsonb, oid, jsonb, text),
    capi.browser(text, text, text, text, timestamptz),
    capi.browser(jsonb, text, text, text, timestamptz),
    capi.beacon(text)
to capi_admin;

-- Functions of the library.
grant execute on function
    capi.normalize(text, text, text, text, text, text),
    capi.digest(text, text, text, text, text, text),
    capi.explain(text, text, text, text, text, text),
    capi._advice(text, text, text),
    capi._explain_match(text, jsonb, jsonb),
    capi.library_version(),
    capi.rules_version(),
    capi._fields(),
    capi._rules(),
    capi._platforms(),
    capi._nearest_field(text)
to capi_analyst, capi_admin, capi_sidecar;
grant execute on procedure capi.backfill(regclass, timestamptz, timestamptz, boolean, integer, interval)
to capi_admin;
grant execute on function capi._trial(integer), capi._capture() to capi_admin;

-- The WHEN clause of the triggers runs with the rights of whoever writes the order. Applications
-- have no usage of the schema, so only a trigger can reach these; all they do is note a key.
grant execute on function capi._note(integer, bigint), capi._note(integer, text[]) to public;
