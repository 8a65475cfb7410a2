-- Run by capi.setup with its caller's rights, after everything is there. Nothing is public but what a trigger
-- needs from an application that has no right on this schema, and from the owner of a tracked table.
revoke all on schema capi from public;
revoke all on all tables in schema capi from public;
revoke all on all sequences in schema capi from public;
revoke execute on all routines in schema capi from public;

grant usage on schema capi to capi_sidecar, capi_analyst, capi_admin, capi_emitter, capi_tenant;

-- All that an application which emits needs.
grant execute on function capi.emit(jsonb, text) to capi_emitter;
grant execute on function capi._fields(), capi._platform_facts(), capi._rules() to capi_tenant;

grant select on capi.capture_error, capi.era, capi.source_version, capi.retention to capi_analyst, capi_admin;
grant select on capi.destination_version, capi.withdrawal, capi.tenant_reader to capi_admin;
grant select on sequence capi.capture_failures to capi_analyst, capi_admin;
grant execute on function capi._read(anyelement) to capi_analyst, capi_admin;

grant execute on function
    capi._survey(oid, text, jsonb, bigint),
    capi._unknown_contents(oid, oid, text, bigint),
    capi._type_fits(text, oid),
    capi._spelling(oid, oid),
    capi._superuser_views(),
    capi._who(),
    capi._not_inside(),
    capi._event_of(anyelement)
to capi_admin;

-- Functions of the library. Of those that read a row with the caller's rights capi.allow_page hands the
-- right on.
grant execute on function capi._read(anyelement), capi._event_of(anyelement) to capi_owner with grant option;
grant execute on function
    capi.normalize(text, text, text, text, text, text),
    capi.digest(text, text, text, text, text, text),
    capi.explain(text, text, text, text, text, text),
    capi._advice(text, text, text),
    capi._explain_match(text, json, jsonb),
    capi.library_version(),
    capi.rules_version(),
    capi._fields(),
    capi._platform_facts(),
    capi._rules(),
    capi._platforms(),
    capi._nearest_field(text)
to capi_analyst, capi_admin, capi_sidecar;
-- A member of the extension; capi.allow_page passes it on.
grant execute on function capi._who() to capi_owner with grant option;
grant execute on function capi._trial(integer), capi._capture() to capi_admin;

-- The WHEN clause of the triggers runs with the rights of whoever writes the order. Applications
-- have no usage of the schema, so only a trigger can reach these; all they do is note a key.
grant execute on function capi._note(integer, bigint), capi._note(integer, text[]) to public;
-- Whoever makes a partition clones its triggers, and needs their function. Nobody can call it otherwise.
grant execute on function capi._capture() to public;
