create or replace view capi.platform as
select platform, title, events_per_request, credential, has_tag, sample_settings, documentation
from capi._platforms();

comment on view capi.platform is 'Every platform that events can be sent to, with what this version knows of it.';
comment on column capi.platform.platform is 'Its name, as capi.create_destination takes it.';
comment on column capi.platform.title is 'Its name for people.';
comment on column capi.platform.events_per_request is 'Most events of one request.';
comment on column capi.platform.credential is 'What its credential is: token; token_or_oauth, a token or JSON that it is exchanged for; signing_key.';
comment on column capi.platform.has_tag is 'Whether capi.pixel_snippet makes its half of a page.';
comment on column capi.platform.sample_settings is 'Settings of an example: replace the ids by your own.';
comment on column capi.platform.documentation is 'The vendor''s page.';
grant select on capi.platform to capi_tenant, capi_analyst, capi_admin;
