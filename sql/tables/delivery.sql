-- Final outcomes of one event at one destination. An enum: 4 bytes in the most numerous table.
create type capi.receipt_status as enum (
    'delivered',   -- the platform took it
    'refused',     -- the platform, or a rule of the platform known beforehand, refused it for good
    'expired',     -- older than the platform takes
    'suppressed',  -- consent refused or withdrawn
    'unrouted',    -- the platform has no such event, or the destination was dropped before it was sent
    'undecided'    -- it was accepted or may have arrived, and nobody will say what became of it
);

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
    -- Never with a cache: a half has a higher number than what it is a half of, see capi._advance_first_batch.
    batch bigint generated always as identity primary key,
    destination integer not null,
    events bigint[] not null constraint not_empty check (cardinality(events) > 0),
    captured_from timestamptz not null,
    captured_to timestamptz not null,
    state text not null default 'ready' constraint state_known check (state in ('ready', 'leased')),
    due_at timestamptz not null default now(),
    tries integer not null default 0,    -- attempts that count
    unknown integer not null default 0,  -- attempts after which it may have arrived: possible duplicates
    lapses integer not null default 0,   -- leases that ended without a record, one after the other
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
    possible_duplicate boolean not null default false, -- delivered: perhaps twice; anything else: perhaps there
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

comment on table capi.cursor is 'How far a destination has read the outbox: a snapshot, and a position inside the open range.';
comment on table capi.batch is 'The events of one send, as long as it is open.';
comment on table capi.attempt is 'One send of a batch: who, when, HTTP status, the platform''s request id, codes of the answer.';
comment on table capi.receipt is 'The final outcome of one event at one destination.';
comment on column capi.receipt.possible_duplicate is 'A request with the event brought no answer that proves anything. What is delivered may be there twice; what has another status may be there all the same.';
comment on table capi.replay_log is 'What was sent again by hand: who, when, why, how many. Read capi.replays instead.';
comment on table capi.replay_event is 'The events of each replay with the outcome before it. Read capi.replayed instead.';
comment on sequence capi.attempt_id is 'Ids of attempts.';
comment on type capi.receipt_status is 'Final outcomes: delivered, refused, expired, suppressed, unrouted, undecided.';
