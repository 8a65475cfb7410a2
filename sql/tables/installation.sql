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
    -- The same roles: one that is renamed keeps its number, and one that is made again under the name of
    -- another has another. Both must match. In a dump they are names.
    owner_id regrole not null,
    sidecar_id regrole not null,
    analyst_id regrole not null,
    admin_id regrole not null,
    emitter_id regrole not null,
    tenant_id regrole not null,
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

comment on schema capi is 'pg_capi: conversion events, from committed rows to advertising platforms.';
comment on table capi.installation is 'What this installation is: one row.';
comment on column capi.installation.doubtful_until is 'Events captured up to here may have been sent by another server: a promotion or an adoption came after them.';
comment on table capi.era is 'Stretches of history on one cluster; a restore or a clone opens a new one when it is adopted.';
