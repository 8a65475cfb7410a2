create or replace function capi.bell_arm() returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    alone boolean;
begin
    if not capi._try_lock('bell', 0, true) then
        return false;       -- somebody is between capture and commit
    end if;
    -- Nobody may rely on another one's ringing from before: an instant alone at the gate proves it.
    if capi._try_lock('gate', 0, true) then
        -- Nor may anybody come to rely on a ringer who is still giving its locks back, but whose
        -- ringing was heard already. While the gate is ours nobody else asks for this lock.
        alone := capi._try_lock('ringer', 0, true);
        if alone then
            perform capi._unlock('ringer');
        end if;
        perform capi._unlock('gate');
        if alone then
            return true;
        end if;
    end if;
    perform capi._unlock('bell');
    return false;
end
$$;

comment on function capi.bell_arm is 'For the sidecar: arms the doorbell, so that the next capturing commit notifies; false while a writer is between capture and commit.';
grant execute on function capi.bell_arm to capi_sidecar;
