-- Run by capi.setup with its caller's rights: only a superuser may make event triggers.
drop event trigger if exists capi_ddl;
drop event trigger if exists capi_drop;
create event trigger capi_ddl on ddl_command_end
    when tag in ('ALTER TABLE', 'ALTER VIEW', 'CREATE VIEW', 'ALTER FUNCTION', 'CREATE FUNCTION', 'ALTER MATERIALIZED VIEW', 'ALTER SCHEMA', 'ALTER TYPE', 'ALTER DOMAIN',
        'CREATE CAST', 'CREATE TRIGGER', 'CREATE AGGREGATE', 'ALTER AGGREGATE', 'ALTER OPERATOR', 'ALTER ROUTINE')
    execute function capi._ddl();
create event trigger capi_drop on sql_drop execute function capi._ddl();
comment on event trigger capi_ddl is 'Notes when something changes that a tracked source of pg_capi is made of.';
comment on event trigger capi_drop is 'Notes when a tracked table or its conversion view is dropped.';
