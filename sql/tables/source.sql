-- A tracked table with one of its conversion views; or an emitter, which has neither.
create table capi.source (
    source integer generated always as identity primary key,
    name text not null,                -- of the table when first tracked; part of the event key for good
    relation regclass,
    conversions regclass,
    conversions_name text not null,
    also_tables regclass[] not null default '{}', -- what options name as also: their triggers note keys, too
    key_columns text[] not null,
    options jsonb not null,
    tenant text,                       -- whose it is, where several share the database
    version integer not null,          -- current capi.source_version
    tracked boolean not null default true,
    tracked_since timestamptz not null default now(), -- the sweep leaves older conversions to capi.backfill
    stale_since timestamptz,           -- something that it is made of has changed and was not looked at
    stale_reason text,
    unpinned boolean not null default false, -- the view's functions can find a session's temporary objects
    lends_rights boolean not null default false, -- the view would run a stranger's function: it is not read
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

-- Who may look at the sources of a tenant, and at no others.
create table capi.tenant_reader (
    role text not null,
    role_id regrole not null,          -- both must match: another role may have got the name since
    tenant text not null,
    granted_at timestamptz not null default now(),
    granted_by text not null default session_user,
    primary key (role, tenant)
);

-- Who may emit at an emitter that names its callers. Both must match, as above.
create table capi.emitter_caller (
    source integer not null references capi.source,
    role text not null,
    role_id regrole not null,
    primary key (source, role)
);

comment on table capi.source is 'Tracked tables with their conversion views, and emitters. Read capi.sources instead.';
comment on table capi.source_version is 'What a source was when an event was captured: view definition, columns, options, version of the rules.';
comment on column capi.source.stale_since is 'Since when something that the source is made of has changed without having been looked at.';
comment on table capi.emitter_caller is 'Which role may emit at an emitter that names its callers.';
comment on table capi.tenant_reader is 'Which role may look at which tenant''s sources.';
