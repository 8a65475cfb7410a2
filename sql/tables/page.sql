-- Pages that reported that the browser's half ran. Empty unless pages are given a beacon.
create table capi.pixel_hit (
    destination integer not null references capi.destination,
    event_name text not null,
    event_id text not null,
    fired_at timestamptz not null default clock_timestamp(),
    known boolean not null default true, -- whether the event was captured when the page reported
    primary key (destination, event_name, event_id)
);
create index pixel_hit_unknown on capi.pixel_hit (destination, fired_at) where not known;
create index pixel_hit_fired_at on capi.pixel_hit (fired_at);

comment on table capi.pixel_hit is 'Pages that reported that the browser''s half of an event ran. Kept for 30 days. Read capi.pixel_coverage instead.';
