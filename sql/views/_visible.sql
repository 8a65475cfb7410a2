-- Inline and no function: what a view calls runs with the reader's rights, what it reads with its
-- owner's. capi._visible_to is the same for functions that run as the owner.
create or replace view capi._visible as
select s.source
from capi.source s
where exists (
        select from capi.installation i
        cross join lateral (values (i.owner_role, i.owner_id), (i.analyst_role, i.analyst_id), (i.admin_role, i.admin_id)) x (name, id)
        join pg_roles r on r.oid = x.id and r.rolname = x.name
        where pg_has_role(current_user, r.oid, 'usage')
    )
    or s.tenant in (
        select t.tenant from capi.tenant_reader t join pg_roles r on r.rolname = t.role and r.oid = t.role_id
        where pg_has_role(current_user, r.oid, 'usage')
    );

comment on view capi._visible is 'Sources that the current user may look at.';
