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

comment on table capi.withdrawal is 'Consent that changed after the capture, the latest state per key: who withdrew what, when. Carving and claiming obey it.';
comment on table capi.forgotten is 'Salted digests of forgotten persons: the block against capturing the past again.';
comment on table capi.withdrawn_person is 'Salted digests of those who have withdrawn: whom audiences leave out. Gone when consent is given again or the person forgotten.';
