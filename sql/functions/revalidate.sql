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
        if not exists (select from pg_class c where c.oid = s.conversions) then
            problem := 'the conversion view is gone';
            hint := 'Make it again and call capi.track, or call capi.untrack.';
        else
            select format('%s%s', f.field || ': ', f.finding), f.hint into problem, hint
            from capi._findings(s.conversions, s.relation, null, s.options) f
            where f.severity = 'error' order by f.field nulls first limit 1;
            if problem is null then
                problem := 'a trial capture failed: ' || capi._trial(s.source);
                hint := case when problem is not null then 'Query the view as its owner with search_path pg_catalog and row_security off.' end;
            end if;
        end if;
        if problem is null then
            update capi.source x set stale_since = null, stale_reason = null
            where x.source = s.source and x.stale_since is not null;
        else
            update capi.source x set stale_since = coalesce(x.stale_since, clock_timestamp()), stale_reason = problem
            where x.source = s.source and x.stale_reason is distinct from problem;
        end if;
        return next;
    end loop;
end
$$;
