create or replace function capi.bell_arm() returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    k integer := capi._bell_key();
    alone boolean;
begin
    if not pg_try_advisory_lock(k, 1) then
        return false;       -- somebody is between capture and commit
    end if;
    -- Nobody may rely on another one's ringing from before: an instant alone at the gate proves it.
    if pg_try_advisory_lock(k, 2) then
        -- Nor may anybody come to rely on a ringer who is still giving its locks back, but whose
        -- ringing was heard already. While the gate is ours nobody else asks for this lock.
        alone := pg_try_advisory_lock(k, 3);
        if alone then
            perform pg_advisory_unlock(k, 3);
        end if;
        perform pg_advisory_unlock(k, 2);
        if alone then
            return true;
        end if;
    end if;
    perform pg_advisory_unlock(k, 1);
    return false;
end
$$;
