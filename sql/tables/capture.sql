-- Never has a row: its trigger fires at the end of a transaction that has captured something, for an
-- event that the library queues.
create table capi.second_look ();
create constraint trigger second_look after insert on capi.second_look deferrable initially deferred
    for each row execute function capi._look_again();

-- Captures that failed while their order committed. Key and SQLSTATE, never a message: it would
-- quote values.
create sequence capi.capture_error_number as bigint;
create table capi.capture_error (
    error bigint primary key default nextval('capi.capture_error_number'), -- the library draws by itself
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

-- How many of a source's errors of an hour are on record: see capi.unrecorded_error.
create index capture_error_first on capi.capture_error (source, first_at);

-- Failed captures that are counted only: an hour of a source has 10,000 on record. Several rows of an hour add up: whoever
-- cannot lock one takes another, so that nobody waits.
create table capi.unrecorded_error (
    source integer not null,
    hour timestamptz not null,
    more bigint not null
);
create index unrecorded_error_hour on capi.unrecorded_error (source, hour);

-- Counts failed captures whether or not the table above could be written: a sequence outlives rollback.
create sequence capi.capture_failures as bigint;

-- How far the daily sweep of a source has come, and how the last one ended.
create table capi.sweep (
    source integer primary key references capi.source,
    since timestamptz not null,
    until timestamptz not null,
    after_time timestamptz,              -- rows up to this one are compared; null before the first page, -infinity key by key
    after_key text,
    scanned bigint not null default 0,
    missing bigint not null default 0,   -- rows whose event was not in the outbox
    captured bigint not null default 0,
    failed bigint not null default 0,
    started_at timestamptz not null default now(),
    finished_at timestamptz,
    trouble text                         -- why not every row of it was compared, or of a look since
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

comment on table capi.second_look is 'Never has a row. Its trigger looks again, at the end of a transaction, at what that has captured early.';
comment on table capi.capture_error is 'Captures that failed while their order committed: key, SQLSTATE and rule, never a value.';
comment on column capi.capture_error.resolution is 'captured; vanished: the view did not show the row any more; given_up: of an emitter, whose events cannot be read again.';
comment on table capi.unrecorded_error is 'How many captures of a source failed within an hour beyond those on record; rows of an hour add up.';
comment on table capi.sweep is 'How far the daily sweep of each source has come. Read capi.sweeps instead.';
comment on table capi.backfill is 'Captures of rows from before the tracking. Read capi.backfills instead.';
comment on sequence capi.capture_error_number is 'Ids of capture errors.';
comment on sequence capi.capture_failures is 'Counts failed captures, written down or not: a sequence outlives rollback.';
