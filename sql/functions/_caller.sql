-- The role that a security definer function is called by: inside, current_user is its owner.
create or replace function capi._caller() returns name
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select case current_setting('role') when 'none' then session_user else current_setting('role')::name end
$$;
