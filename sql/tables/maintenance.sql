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

comment on table capi.retention is 'How long events, receipts, attempts and resolved capture errors are kept; null: for good. Change it with capi.retain().';
comment on table capi.maintenance_task is 'How each task of maintenance went. Read capi.maintenance() instead.';
