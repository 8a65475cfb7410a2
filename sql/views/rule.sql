create or replace view capi.rule as
select field, rule, forms, sources, version
from capi._rules();

comment on view capi.rule is 'The rule of each field whose values are normalised: for Meta, what other forms do differently, where it comes from, since which version.';
grant select on capi.rule to capi_tenant, capi_analyst, capi_admin;
