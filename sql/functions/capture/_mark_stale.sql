-- Notes that a source is to be looked at again; a changed view gets a version of its own, so that
-- later events are explained by it.
create or replace function capi._mark_stale(
    p_source integer,
    p_reason text
) returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    s capi.source;
    definition text;
    made integer;
begin
    select * into strict s from capi.source x where x.source = p_source for update;
    definition := pg_get_viewdef(s.conversions::oid, true);
    if definition is not null then
        insert into capi.source_version (source, view_definition, columns, options, rules)
        select s.source, definition, c.columns, s.options, capi.rules_version()
        from (select jsonb_object_agg(c.name, c.type) as columns from capi._view_columns(s.conversions) c) c
        where not exists (
            select from capi.source_version v
            where v.version = s.version and v.view_definition = definition and v.columns = c.columns
        )
        returning version into made;
    end if;
    update capi.source x
    set stale_since = coalesce(x.stale_since, clock_timestamp()), stale_reason = p_reason, version = coalesce(made, x.version),
        -- Not to be read until somebody has looked at it.
        unpinned = exists (select from capi._unpinned_functions(s.conversions)),
        lends_rights = exists (select from capi._lent_functions(s.conversions))
    where x.source = p_source;
    perform capi._forget_plans();
end
$$;

comment on function capi._mark_stale is 'Notes that a source is to be looked at again, and a changed view''s definition.';
