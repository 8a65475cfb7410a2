create or replace function capi.check_view(
    conversions regclass,
    platform text default null,
    source regclass default null
) returns table (
    severity text,
    field text,
    finding text,
    hint text
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
    if platform is not null and not platform = any (capi._platforms()) then
        raise exception 'unknown platform' using errcode = 'invalid_parameter_value',
            hint = 'Known are: ' || array_to_string(capi._platforms(), ', ') || '.';
    end if;
    return query
    select x.severity, x.field, x.finding, x.hint
    from capi._findings(conversions, source, case when platform is not null then array[platform] end, null) x
    order by array_position(array['error', 'warning', 'info'], x.severity), x.field;
end
$$;
