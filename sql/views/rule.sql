create or replace view capi.rule as
select field, rule, forms, sources, version
from capi._rules();
