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

comment on table capi.destination is 'One account on one platform; the credential is only named here.';
comment on table capi.destination_version is 'Every setting and state that a destination had, when, and by whom.';
comment on table capi.route is 'Which source goes to which destination, from when to when.';
