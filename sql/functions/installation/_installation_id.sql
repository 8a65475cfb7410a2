-- What tells one installation from another, of the same name or not. A copy has the same.
create or replace function capi._installation_id() returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
begin
    -- The salt itself stays inside.
    return (select encode(sha256('installation'::bytea || i.salt), 'hex') from capi.installation i);
end
$$;

comment on function capi._installation_id is 'What tells one installation from another.';
