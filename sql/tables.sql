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
    generation integer not null default 0, -- raised when transaction ids went backwards
    adopted_era bigint,                -- the era that may send; another one is a copy
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

-- A tracked table with one of its conversion views.
create table capi.source (
    source integer generated always as identity primary key,
    name text not null,                -- of the table when first tracked; part of the event key for good
    relation regclass not null,
    conversions regclass not null,
    conversions_name text not null,
    key_columns text[] not null constraint key_is_named check (cardinality(key_columns) > 0),
    options jsonb not null,
    version integer not null,          -- current capi.source_version
    tracked boolean not null default true,
    tracked_since timestamptz not null default now(), -- the sweep leaves older conversions to capi.backfill
    stale_since timestamptz,           -- something that it is made of has changed and was not looked at
    stale_reason text,
    created_at timestamptz not null default now(),
    constraint source_once unique (name, conversions_name),
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
    primary key (source, destination, since),
    constraint ends_after_it_began check (until >= since)
);
create unique index route_open on capi.route (source, destination) where until is null;

-- The arbiter: one row per (source name, event_name, event_id), for good. No personal data, so
-- that it may outlive the outbox.
create table capi.event_key (
    hash uuid primary key,             -- first 128 bits of a SHA-256
    key_hash bigint not null,          -- of the source's key: the same id from another key is an error
    event bigint not null,
    captured_at timestamptz not null
);

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
    destination integer primary key references capi.destination,
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
    constraint position_only_inside_a_range check (
        (to_snapshot is null) = (to_taken_at is null)
        and (to_snapshot is null) = (to_xid is null)
        and (to_snapshot is not null or (last_xid = '0' and last_id = 0))
    )
);

-- The events of one send, as long as it is open. Finished batches live on in capi.attempt.
create table capi.batch (
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
    )
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
create index batch_due on capi.batch (destination, due_at);

create sequence capi.attempt_id as bigint;

-- One send of a batch.
create table capi.attempt (
    attempt bigint not null default nextval('capi.attempt_id'),
    started_at timestamptz not null,
    destination integer not null,
    batch bigint not null,
    parent bigint,
    worker text not null,
    tries integer not null,
    events bigint[] not null,
    finished_at timestamptz,
    outcome text not null default 'sending' constraint outcome_known check (
        outcome in ('sending', 'each', 'retry', 'wait', 'split', 'blocked', 'released', 'unknown')
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
    resolution text constraint resolution_known check (resolution in ('captured', 'vanished')),
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
    by_role text not null default session_user,
    note text,
    primary key (source, key)
);
create index withdrawal_at on capi.withdrawal (at);

-- Digests of forgotten persons, salted: what happened before must not come back by a backfill.
create table capi.forgotten (
    salted bytea primary key,
    at timestamptz not null default clock_timestamp()
);

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

create table capi.outbox_default partition of capi.outbox default;
create table capi.attempt_default partition of capi.attempt default;
create table capi.receipt_default partition of capi.receipt default;
