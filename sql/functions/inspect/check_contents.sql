create or replace function capi.check_contents(
    conversions regclass,
    catalogue regclass,
    id_column name,
    sample integer default 1000
) returns table (
    content_id text,
    conversions_affected bigint
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
    if sample is null or sample < 1 then
        raise exception 'sample must be 1 or more' using errcode = 'invalid_parameter_value',
            hint = 'It is the number of the latest rows of the view that are looked at.';
    end if;
    if not exists (select from capi._view_columns(catalogue) c where c.name = id_column) then
        raise exception '% has no column %', catalogue, quote_ident(id_column) using errcode = 'undefined_column',
            hint = 'Name the column that holds the ids under which products stand in the platform''s catalogue.';
    end if;
    return query
    select u.content_id, u.conversions
    from capi._unknown_contents(conversions::oid, catalogue::oid, id_column::text, sample::bigint) u
    order by u.conversions desc, u.content_id;
end
$$;

comment on function capi.check_contents is 'Lists product ids of a conversion view''s latest rows (sample) that the catalogue''s column does not hold, with the number of conversions affected. Locks and stores nothing. Both are read as their owners, for members of those roles only.';
grant execute on function capi.check_contents to capi_admin;
