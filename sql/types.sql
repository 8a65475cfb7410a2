-- Final outcomes of one event at one destination. An enum: 4 bytes in the most numerous table.
create type capi.receipt_status as enum (
    'delivered',   -- the platform took it
    'refused',     -- the platform, or a rule of the platform known beforehand, refused it for good
    'expired',     -- older than the platform takes
    'suppressed',  -- consent refused or withdrawn
    'unrouted',    -- the platform has no such event
    'undecided'    -- the platform accepted it and never said what became of it
);
