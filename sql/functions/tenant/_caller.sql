-- The role that a security definer function is called by: inside, current_user is its owner.
create or replace function capi._caller() returns name
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    -- Nobody, where code of somebody else's runs in the session: in an index, say, that is being built.
    select case
        when capi._is_inside() then null
        when current_setting('role') = 'none' then session_user
        else current_setting('role')::name end
$$;

comment on function capi._caller is 'The role that a security definer function is called by.';
