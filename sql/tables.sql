-- Everything here is an ordinary object of capi_owner, not a member of the extension: pg_dump
-- carries the rows, and a restore finds them again. Only built-in types and defaults.

-- One row: what this installation is.
create table capi.installation (
    only_row boolean primary key default true constraint one_row check (only_row),
    layout text not null,              -- version of tables, views and functions
    instance text not null,            -- name compared with the sidecar's configuration
    owner_role text not null,
    sidecar_role text not null,
    analyst_role text not null,
    admin_role text not null,
    emitter_role text not null,
    tenant_role text not null,
    generation integer not null default 0, -- raised when transaction ids went backwards
    adopted_era bigint,                -- the era that may send; another one is a copy
    timeline integer not null,         -- of the write-ahead log: another one after a promotion
    doubtful_until timestamptz,        -- events captured up to here may have been sent by another server
    salt bytea not null default uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()), -- of capi.forgotten
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

-- Stretches of history on one cluster: snapshots do not travel between eras.
create table capi.era (
    era bigint primary key,            -- capi._era(): hash of cluster, database and generation
    opened_at timestamptz not null default now(),
    opened_by text not null default session_user
);

-- A tracked table with one of its conversion views; or an emitter, which has neither.
create table capi.source (
    source integer generated always as identity primary key,
    name text not null,                -- of the table when first tracked; part of the event key for good
    relation regclass,
    conversions regclass,
    conversions_name text not null,
    key_columns text[] not null,
    options jsonb not null,
    tenant text,                       -- whose it is, where several share the database
    version integer not null,          -- current capi.source_version
    tracked boolean not null default true,
    tracked_since timestamptz not null default now(), -- the sweep leaves older conversions to capi.backfill
    stale_since timestamptz,           -- something that it is made of has changed and was not looked at
    stale_reason text,
    created_at timestamptz not null default now(),
    constraint source_once unique (name, conversions_name),
    constraint table_with_view_and_key check (
        (relation is null) = (conversions is null) and (relation is null) = (key_columns = '{}')
    ),
    constraint stale_for_a_reason check ((stale_since is null) = (stale_reason is null))
);

-- What a source was when an event was captured: an old event can be explained.
create table capi.source_version (
    version integer generated always as identity primary key,
    source integer not null,
    view_definition text not null,
    columns jsonb not null,            -- name to type
    options jsonb not null,
    rules smallint not null,           -- version of the normalisation rules
    created_at timestamptz not null default now(),
    created_by text not null default session_user
);
create index source_version_source on capi.source_version (source);

-- One account on one platform. The credential is only named here.
create table capi.destination (
    destination integer generated always as identity primary key,
    name text not null,
    platform text not null,
    settings jsonb not null,
    credential text not null,
    state text not null default 'paused'
        constraint state_known check (state in ('active', 'paused', 'blocked', 'dropped')),
    pause_reason text,
    version integer not null default 1,
    created_at timestamptz not null default now(),
    changed_at timestamptz not null default now(),
    constraint blocked_has_reason check (state <> 'blocked' or pause_reason is not null)
);
create unique index destination_name on capi.destination (name) where state <> 'dropped';

-- Every setting a destination ever had, and who changed what when.
create table capi.destination_version (
    destination integer not null,
    version integer not null,
    settings jsonb not null,
    credential text not null,
    state text not null,
    reason text,
    changed_at timestamptz not null default now(),
    changed_by text not null default session_user,
    primary key (destination, version)
);

-- Which source goes to which destination, and since when.
create table capi.route (
    source integer not null references capi.source,
    destination integer not null references capi.destination,
    since timestamptz not null,
    until timestamptz,
    -- Of a route that reaches back: events that were there when it was made. They are read by id, next
    -- to the cursor, which leaves them out.
    past pg_snapshot,
    past_until timestamptz,            -- they were captured before this
    past_id bigint,                    -- read up to here; null when done
    primary key (source, destination, since),
    constraint ends_after_it_began check (until >= since),
    constraint past_with_its_end check ((past is null) = (past_until is null) and (past_id is null or past is not null))
);
create index route_past on capi.route (destination) where past_id is not null;
create unique index route_open on capi.route (source, destination) where until is null;

-- The arbiter: one row per (source name, event_name, event_id), for good. No personal data, so
-- that it may outlive the outbox.
create table capi.event_key (
    hash uuid primary key,             -- first 128 bits of a SHA-256
    key_hash bigint not null,          -- of the source's key: the same id from another key is an error
    event bigint not null,
    captured_at timestamptz not null
) with (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

create sequence capi.event as bigint;

-- One row per conversion event, immutable once committed.
create table capi.outbox (
    id bigint not null default nextval('capi.event'),
    captured_at timestamptz not null,
    xid xid8 not null default pg_current_xact_id(),
    era bigint not null,
    source integer not null,
    version integer not null,          -- capi.source_version
    rules smallint not null,           -- version of the normalisation rules
    key text not null,                 -- the source's key as text; several columns as a JSON array
    event_name text not null,
    event_id text not null,
    event_time timestamptz not null,
    action_source text not null,
    value numeric,
    currency text,
    refused text[] not null default '{}', -- platforms, destinations, * for all, then !name for exceptions
    identity jsonb not null,           -- digests by field and form
    facts jsonb not null,              -- what platforms take in clear
    dropped jsonb not null,            -- field to reason
    primary key (id, captured_at)
) partition by range (captured_at);
create index outbox_era_xid on capi.outbox (era, xid, id);
create index outbox_source_key on capi.outbox (source, key);

-- How far a destination has read the outbox.
create table capi.cursor (
    destination integer not null references capi.destination,
    -- Rises with every change. As long as a snapshot is held anywhere, each change leaves a dead row: by
    -- this the living one is found first and not behind all of them.
    step bigint not null default 0,
    era bigint not null,
    from_snapshot pg_snapshot not null,  -- everything visible here is read
    from_xid xid8 not null,              -- above every id that was assigned when it was taken
    to_snapshot pg_snapshot,             -- the open range ends here; null when none is open
    to_xid xid8,
    last_xid xid8 not null default '0',  -- inside the open range: read up to this pair
    last_id bigint not null default 0,
    from_taken_at timestamptz not null,
    to_taken_at timestamptz,
    unread_since timestamptz not null,   -- no unread row of this era was captured before this
    older_id bigint,                     -- reading older eras by id: read up to here; null when done
    -- No open batch has a lower number, for the same reason; and which was the youngest when that was found.
    first_batch bigint not null default 0,
    first_as_of bigint not null default 0,
    primary key (destination, step),
    constraint position_only_inside_a_range check (
        (to_snapshot is null) = (to_taken_at is null)
        and (to_snapshot is null) = (to_xid is null)
        and (to_snapshot is not null or (last_xid = '0' and last_id = 0))
    )
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);

-- The events of one send, as long as it is open. Finished batches live on in capi.attempt.
create table capi.batch (
    -- Never with a cache: a half has a higher number than what it is a half of, see capi._leave_behind.
    batch bigint generated always as identity primary key,
    destination integer not null,
    events bigint[] not null constraint not_empty check (cardinality(events) > 0),
    captured_from timestamptz not null,
    captured_to timestamptz not null,
    state text not null default 'ready' constraint state_known check (state in ('ready', 'leased')),
    due_at timestamptz not null default now(),
    tries integer not null default 0,    -- attempts that count
    unknown integer not null default 0,  -- attempts that ended without a record: possible doubles
    reason text,                         -- why it waits
    backoff boolean not null default false, -- until then by a pause of our own, not by the platform's word
    ticket text,                         -- the platform has accepted the events and decides later; never a credential
    accepted_at timestamptz,             -- when it did
    accepted_attempt bigint,             -- by which attempt
    polls integer not null default 0,    -- how often it was asked since
    replay bigint,                       -- capi.replay_log, if these events go again by hand
    token uuid,
    worker text,
    attempt bigint,
    attempt_started_at timestamptz,
    lease_until timestamptz,
    parent bigint,
    created_at timestamptz not null default now(),
    constraint leased_by_somebody check (
        (state = 'leased') = (token is not null)
        and (state = 'leased') = (lease_until is not null)
        and (state = 'leased') = (attempt is not null)
    ),
    constraint accepted_with_a_ticket check (
        (ticket is null) = (accepted_at is null) and (ticket is null) = (accepted_attempt is null)
    )
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
create index batch_open on capi.batch (destination, batch);

create sequence capi.attempt_id as bigint;

-- One send of a batch, or one question after it.
create table capi.attempt (
    attempt bigint not null default nextval('capi.attempt_id'),
    started_at timestamptz not null,
    destination integer not null,
    batch bigint not null,               -- 0: a test by hand
    kind text not null default 'send' constraint kind_known check (kind in ('send', 'poll', 'test')),
    parent bigint,
    worker text not null,
    tries integer not null,
    events bigint[] not null,
    finished_at timestamptz,
    outcome text not null default 'sending' constraint outcome_known check (
        outcome in ('sending', 'each', 'accepted', 'retry', 'wait', 'split', 'blocked', 'released', 'unknown')
    ),
    http_status integer,
    request_id text,                     -- the platform's
    reason text,
    answer jsonb,                        -- codes and counts, never text that could quote input
    primary key (attempt, started_at),
    constraint finished_at_set_when_final check ((outcome = 'sending') = (finished_at is null))
) partition by range (started_at);

-- The final outcome of one event at one destination.
create table capi.receipt (
    event bigint not null,               -- wide columns first: no padding in a million rows a day
    captured_at timestamptz not null,
    attempt bigint,
    settled_at timestamptz not null default now(),
    destination integer not null,
    status capi.receipt_status not null,
    attempts smallint not null default 0,
    possible_duplicate boolean not null default false,
    reason text,
    primary key (event, destination, captured_at),
    constraint refused_has_reason check (status = 'delivered' or reason is not null)
) partition by range (captured_at);

-- What was settled lately, at next to no cost per receipt: they come in the order of their time.
create index receipt_settled on capi.receipt using brin (settled_at)
    with (pages_per_range = 32, autosummarize = on);

-- Events that somebody has sent again: who, when and why.
create table capi.replay_log (
    replay bigint generated always as identity primary key,
    destination integer not null references capi.destination,
    asked bigint not null,               -- different events that were named
    taken bigint not null,               -- of which these go again
    left_out jsonb not null,             -- and these do not: reason to number
    note text,
    by_role text not null default session_user,
    at timestamptz not null default clock_timestamp(),
    last_event bigint not null default 0, -- events up to this one have been given to batches
    dropped bigint not null default 0,   -- taken, and impossible by the time they were due
    finished_at timestamptz              -- all of them have been given to batches
);
create index replay_open on capi.replay_log (destination, replay) where finished_at is null;

-- The events of a replay, with the outcome that they had before.
create table capi.replay_event (
    replay bigint not null,
    event bigint not null,
    captured_at timestamptz not null,
    status capi.receipt_status not null,
    reason text,
    attempts smallint not null,
    attempt bigint,
    possible_duplicate boolean not null,
    settled_at timestamptz not null,
    primary key (replay, event)
);
create index replay_event_event on capi.replay_event (event);

-- Captures that failed while their order committed. Key and SQLSTATE, never a message: it would
-- quote values.
create table capi.capture_error (
    error bigint generated always as identity primary key,
    source integer not null,
    key text not null,
    event_name text,
    sqlstate text not null,
    reason text not null,                -- a word of the rules, or the condition's name
    field text,                          -- the view column, where known
    times integer not null default 1,
    first_at timestamptz not null default clock_timestamp(),
    last_at timestamptz not null default clock_timestamp(),
    resolved_at timestamptz,
    resolution text constraint resolution_known check (resolution in ('captured', 'vanished', 'given_up')),
    constraint resolved_by_something check ((resolved_at is null) = (resolution is null))
);
create unique index capture_error_open on capi.capture_error (source, key) where resolved_at is null;

-- Counts failed captures whether or not the table above could be written: a sequence outlives rollback.
create sequence capi.capture_failures as bigint;

-- Consent that changed after the capture, the latest state per key of a source. Carve and claim
-- obey it for events captured before; later events have their own consent.
create table capi.withdrawal (
    source integer not null references capi.source,
    key text not null,
    refused text[] not null,             -- as in capi.outbox; empty: given again
    reason text not null constraint reason_known check (reason in ('withdrawn', 'forgotten')),
    at timestamptz not null default clock_timestamp(),
    xid xid8 not null default pg_current_xact_id(),
    by_role text not null default session_user,
    note text,
    primary key (source, key)
);
create index withdrawal_at on capi.withdrawal (at);

-- Who may look at the sources of a tenant, and at no others.
create table capi.tenant_reader (
    role text not null,
    tenant text not null,
    granted_at timestamptz not null default now(),
    granted_by text not null default session_user,
    primary key (role, tenant)
);

-- Digests of forgotten persons, salted: what happened before must not come back by a backfill.
create table capi.forgotten (
    salted bytea primary key,
    at timestamptz not null default clock_timestamp()
);

-- Whom a withdrawal is of, as salted digests: lists of people have no key of an order. Written by a
-- trigger of capi.withdrawal, gone when consent is given again or the person forgotten.
create table capi.withdrawn_person (
    salted bytea not null,
    source integer not null,
    key text not null,
    primary key (source, key, salted)
);
create index withdrawn_person_salted on capi.withdrawn_person (salted);

-- A list of people at a platform, and the view whose rows are the people.
create table capi.audience (
    audience integer generated always as identity primary key,
    name text not null,
    destination integer not null references capi.destination,
    people regclass not null,
    people_name text not null,
    settings jsonb not null,
    created_at timestamptz not null default now(),
    created_by text not null default session_user,
    dropped_at timestamptz
);
create unique index audience_name on capi.audience (name) where dropped_at is null;

-- Every sync of an audience. Codes and counts; no person.
create table capi.audience_sync (
    sync bigint generated always as identity primary key,
    audience integer not null references capi.audience,
    worker text not null,
    by_role text not null default session_user,
    started_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz,
    outcome text not null default 'running'
        constraint outcome_known check (outcome in ('running', 'done', 'failed', 'abandoned')),
    reason text,                         -- a word or a code of the platform's
    http_status integer,
    request_id text,                     -- the platform's, of the last request
    rows bigint not null default 0,      -- of the view
    people bigint not null default 0,    -- of these, different ones who belong to the list
    withheld jsonb not null default '{}', -- the others: reason to number
    to_add bigint not null default 0,
    to_remove bigint not null default 0,
    added bigint not null default 0,     -- acknowledged by the platform
    removed bigint not null default 0,
    invalid bigint not null default 0,   -- entries that the platform called wrong, at least
    requests bigint not null default 0,
    constraint finished_at_set_when_final check ((outcome = 'running') = (finished_at is null)),
    constraint failed_for_a_reason check (outcome <> 'failed' or reason is not null)
);
create index audience_sync_audience on capi.audience_sync (audience, sync);
create unique index audience_sync_running on capi.audience_sync (audience) where outcome = 'running';

-- Who is on the list, or is to be, or is to leave it: digests alone.
create table capi.audience_member (
    audience integer not null references capi.audience,
    person uuid not null,                -- hash of salt, audience, mail address, phone and external id
    sync bigint not null,                -- the last one that found the person in the view
    content uuid not null,               -- hash of what the platform should know
    sent uuid,                           -- hash of what it has acknowledged
    offered boolean not null default false, -- perhaps there: in a request without an answer on record
    value numeric,
    digests text[] not null,             -- by place: email, phone, external_id and the others
    primary key (audience, person)
) with (fillfactor = 80);

-- How far the daily sweep of a source has come, and how the last one ended.
create table capi.sweep (
    source integer primary key references capi.source,
    since timestamptz not null,
    until timestamptz not null,
    after_time timestamptz,              -- rows up to this one are compared; null before the first page
    after_key text,
    scanned bigint not null default 0,
    missing bigint not null default 0,   -- rows whose event was not in the outbox
    captured bigint not null default 0,
    failed bigint not null default 0,
    started_at timestamptz not null default now(),
    finished_at timestamptz,
    trouble text                         -- why it could not be finished
);

-- Captures of rows from before the tracking.
create table capi.backfill (
    backfill bigint generated always as identity primary key,
    source integer not null references capi.source,
    since timestamptz not null,
    until timestamptz not null,
    after_time timestamptz,              -- rows up to this one are done; null before the first page
    after_key text,
    scanned bigint not null default 0,
    captured bigint not null default 0,
    waiting bigint not null default 0,   -- for consent
    failed bigint not null default 0,
    started_at timestamptz not null default now(),
    started_by text not null default session_user,
    updated_at timestamptz not null default now(),
    finished_at timestamptz,
    constraint ends_after_it_begins check (until > since)
);
create unique index backfill_open on capi.backfill (source, since) where finished_at is null;

-- Pages that reported that the browser's half ran. Empty unless pages are given a beacon.
create table capi.pixel_hit (
    destination integer not null references capi.destination,
    event_name text not null,
    event_id text not null,
    fired_at timestamptz not null default clock_timestamp(),
    primary key (destination, event_name, event_id)
);
create index pixel_hit_fired_at on capi.pixel_hit (fired_at);

-- What somebody should look at, and what the receiver of alerts knows of it. Codes, names and
-- counts; no person.
create table capi.alert (
    alert bigint generated always as identity primary key,
    kind text not null constraint kind_known check (kind in ('blocked', 'backlog', 'refusals',
        'credential_expiry', 'version_end', 'capture_errors', 'maintenance')),
    subject text not null,               -- a destination, a source, or empty
    step text not null,                  -- how bad: a change is told anew
    detail jsonb not null,
    raised_at timestamptz not null,
    changed_at timestamptz not null,     -- when step changed
    cleared_at timestamptz,
    told_step text,                      -- what the receiver knows
    told_at timestamptz,                 -- since when it knows of it
    recovery_told_at timestamptz,
    posts integer not null default 0,    -- in vain, since the last change
    post_at timestamptz not null         -- nobody posts it before
);
create unique index alert_open on capi.alert (kind, subject) where cleared_at is null;

-- How long what is kept; null: for good. capi.event_key stays whatever is said here.
create table capi.retention (
    only_row boolean primary key default true constraint one_row check (only_row),
    events interval,
    receipts interval,
    attempts interval,
    errors interval default interval '90 days', -- of resolved ones, since then
    changed_at timestamptz not null default now(),
    changed_by text not null default session_user,
    constraint receipts_outlive_events check (receipts >= events)
);
insert into capi.retention default values;

-- How each task of maintenance went when it last did something, failed, or an hour had passed.
create table capi.maintenance_task (
    task text primary key,
    last_run timestamptz not null,
    took interval not null,
    result jsonb,                        -- of the last run that did something
    problem text,
    failing_since timestamptz,
    constraint failing_with_a_problem check ((problem is null) = (failing_since is null))
);

-- Digests do not compress, so trying would only cost the order; and destinations read every value.
-- Two rows fit on a page before anything is compressed or moved out.
create table capi.outbox_default partition of capi.outbox default with (toast_tuple_target = 4080);
-- Ids of a batch are written twice and read once: the quick method, where the server has it.
do $$
begin
    alter table capi.batch alter column events set compression lz4;
    alter table capi.attempt alter column events set compression lz4;
exception when feature_not_supported then
    null;
end
$$;

create table capi.attempt_default partition of capi.attempt default;
create table capi.receipt_default partition of capi.receipt default;
