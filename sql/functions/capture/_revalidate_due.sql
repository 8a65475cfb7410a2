-- Looks at sources that are made of something that has changed: at once, and what is broken then waits
-- for somebody. Null when there are none.
create or replace function capi._revalidate_due() returns jsonb
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- A copy leaves it to the original.
    if capi._may_send()
        and exists (select from capi.source s where s.tracked and s.stale_since > now() - interval '1 hour') then
        perform from capi.revalidate();
    end if;
    return null;
end
$$;

comment on function capi._revalidate_due is 'Looks at sources whose view or table has changed; a task of maintenance.';
