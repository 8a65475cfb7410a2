-- Whether this database is the one that sends: false in a restored or cloned copy until
-- capi.adopt().
create or replace function capi._may_send() returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select i.adopted_era is not distinct from capi._era(i.generation) from capi.installation i
$$;
