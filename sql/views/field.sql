create or replace view capi.field as
select name, kind, class, required, recommended, platforms, meaning
from capi._fields();

comment on view capi.field is 'Every standard field: the column names of conversion views, their kind, what becomes of them, who takes them.';
grant select on capi.field to capi_tenant, capi_analyst, capi_admin;
