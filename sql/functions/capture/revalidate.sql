create or replace function capi.revalidate(
    source regclass default null
) returns table (
    source_name text,
    conversions text,
    problem text,
    hint text
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    s capi.source;
    lends boolean;
begin
    for s in
        select x.* from capi.source x
        where x.tracked and x.relation is not null and (source is null or x.relation = source)
        order by x.source
    loop
        source_name := s.name;
        conversions := s.conversions_name;
        problem := null;
        hint := null;
        -- One that cannot be looked at does not keep the others from it.
        begin
            if not exists (select from pg_class c where c.oid = s.conversions) then
                problem := 'the conversion view is gone';
                hint := 'Make it again and call capi.track, or call capi.untrack.';
            else
                select format('%s%s', f.field || ': ', f.finding), f.hint into problem, hint
                from capi._findings(s.conversions, s.relation, null::text[], s.options) f
                where f.severity = 'error' order by f.field nulls first limit 1;
                if problem is null then
                    -- Nothing of a stranger's is left: it may be read.
                    update capi.source x set lends_rights = false where x.source = s.source and x.lends_rights;
                    if found then
                        perform capi._forget_plans();
                    end if;
                    problem := 'a trial capture failed: ' || capi._trial(s.source);
                    hint := case when problem is not null then 'Query the view as its owner with search_path pg_catalog and row_security off.' end;
                end if;
            end if;
        exception
            when others then
                problem := 'it cannot be looked at: SQLSTATE ' || sqlstate;
                hint := 'Call capi.track again, or capi.untrack.';
        end;
        if problem is null then
            update capi.source x set stale_since = null, stale_reason = null
            where x.source = s.source and x.stale_since is not null;
        else
            update capi.source x
            set stale_since = coalesce(x.stale_since, clock_timestamp()), stale_reason = problem,
                lends_rights = exists (select from capi._lent_functions(s.conversions))
            where x.source = s.source and x.stale_reason is distinct from problem
            returning x.lends_rights into lends;
            if found and lends <> s.lends_rights then
                perform capi._forget_plans();
            end if;
        end if;
        return next;
    end loop;
end
$$;

comment on function capi.revalidate is 'Looks at every tracked source, or one, as capi.track does: the validator and a trial capture. Clears the mark of those that are well (problem is null) and says what is wrong with the others. Maintenance does it after a change.';
grant execute on function capi.revalidate to capi_admin;
