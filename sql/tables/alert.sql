-- What somebody should look at, and what the receiver of alerts knows of it. Codes, names and
-- counts; no person.
create table capi.alert (
    alert bigint generated always as identity primary key,
    kind text not null constraint kind_known check (kind in ('blocked', 'backlog', 'refusals',
        'credential_expiry', 'version_end', 'capture_errors', 'sweep', 'maintenance')),
    subject text not null,               -- a destination, a source, or empty
    step text not null,                  -- how bad: a change is told anew
    detail jsonb not null,
    raised_at timestamptz not null,
    changed_at timestamptz not null,     -- when step changed
    cleared_at timestamptz,
    told_step text,                      -- what the receiver knows
    told_at timestamptz,                 -- since when it knows of it
    recovery_told_at timestamptz,
    posts integer not null default 0,    -- in vain, since the last change
    post_at timestamptz not null         -- nobody posts it before
);
create unique index alert_open on capi.alert (kind, subject) where cleared_at is null;

comment on table capi.alert is 'What somebody should look at, and what the receiver of alerts knows of it. Read capi.alerts instead.';
