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
    person uuid not null,                -- hash of salt, audience, email address, phone and external id
    sync bigint not null,                -- the last one that found the person in the view
    content uuid not null,               -- hash of what the platform should know
    sent uuid,                           -- hash of what it has acknowledged
    offered boolean not null default false, -- perhaps there: in a request without an answer on record
    value numeric,
    digests text[] not null,             -- by place: email, phone, external_id and the others
    primary key (audience, person)
) with (fillfactor = 80);

comment on table capi.audience is 'Lists of people at platforms, each with the view that says who belongs to it. Read capi.audience_status instead.';
comment on table capi.audience_sync is 'Every sync of an audience. Read capi.audience_syncs instead.';
comment on table capi.audience_member is 'Who is on a list, or is to join or leave it: digests, as the platform gets them. Gone when the platform has acknowledged the removal.';
comment on column capi.audience_member.offered is 'Whether the person may be at the platform without an answer on record.';
