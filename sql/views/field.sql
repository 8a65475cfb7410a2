create or replace view capi.field as
select name, kind, class, required, recommended, platforms, meaning
from capi._fields();
