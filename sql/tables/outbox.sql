-- The arbiter: one row per (source name, event_name, event_id), for good. No personal data, so
-- that it may outlive the outbox.
create table capi.event_key (
    hash uuid primary key,             -- first 128 bits of a SHA-256
    key_hash bigint not null,          -- of the source's key: the same id from another key is an error
    event bigint not null,
    captured_at timestamptz not null
) with (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

-- The library draws from it; nextval would be what lastval() of the application answers from.
create sequence capi.event as bigint;

-- One row per conversion event, immutable once committed.
create table capi.outbox (
    id bigint not null,                -- from capi.event
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

-- Digests do not compress, so trying would only cost the order; and destinations read every value.
-- Two rows fit on a page before anything is compressed or moved out.
create table capi.outbox_default partition of capi.outbox default with (toast_tuple_target = 4080);

comment on table capi.event_key is 'The arbiter: one row per source name, event name and event id, for good; no personal data.';
comment on table capi.outbox is 'One row per conversion event, immutable once committed: digests and payload facts, never clear-text identifiers.';
comment on column capi.outbox.identity is 'Digests by field, or field/form where a platform wants another form: personal data, hidden from analysts.';
comment on column capi.outbox.facts is 'What platforms take in clear, among it IP address, user agent and click ids.';
comment on column capi.outbox.dropped is 'Fields that were given and not used, with the reason.';
comment on column capi.outbox.refused is 'Platforms or destinations that consent was refused for; * for all, then !name for exceptions.';
comment on sequence capi.event is 'Ids of outbox rows.';
