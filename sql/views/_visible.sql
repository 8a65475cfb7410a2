-- Inline and no function: what a view calls runs with the reader's rights, what it reads with its
-- owner's. capi._visible_to is the same for functions that run as the owner.
create or replace view capi._visible as
select s.source
from capi.source s
where (
        select pg_has_role(current_user, i.owner_role::name, 'usage') or pg_has_role(current_user, i.analyst_role::name, 'usage')
            or pg_has_role(current_user, i.admin_role::name, 'usage')
        from capi.installation i
    )
    or s.tenant in (
        select t.tenant from capi.tenant_reader t join pg_roles r on r.rolname = t.role
        where pg_has_role(current_user, r.oid, 'usage')
    );
