-- The sources of this name: an emitter, or every view of a table, by the name in capi.sources or by
-- the table's name with its schema.
create or replace function capi._sources_named(
    p_source text
) returns setof capi.source
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return query select s.* from capi.source s where s.name = p_source order by s.source;
    if not found then
        -- Not to_regclass: the owner of capi may not look into everybody's schema.
        return query
        select s.* from capi.source s
        join pg_class c on c.oid = s.relation
        join pg_namespace n on n.oid = c.relnamespace
        where p_source in (format('%I.%I', n.nspname, c.relname), format('%s.%s', n.nspname, c.relname))
        order by s.source;
    end if;
    if not found then
        raise exception 'there is no source of this name' using errcode = 'undefined_object',
            hint = 'capi.sources lists the tables and emitters that are tracked; a table is named with its schema.';
    end if;
end
$$;

comment on function capi._sources_named is 'The sources of a name: an emitter, or every view of a table.';
