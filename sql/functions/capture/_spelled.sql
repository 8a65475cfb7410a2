-- A key as the outbox spells the keys of a source: numeric 1 and 1.00 are one row. Of an emitter, whose
-- keys are texts, and of a table that is gone, a key stays as it is.
create or replace function capi._spelled(
    p_source integer,
    p_key text
) returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(
        case when cardinality(k.types) = cardinality(s.key_columns) then capi._spell(k.types, p_key) end,
        p_key)
    from capi.source s
    cross join lateral (
        select array_agg(a.atttypid order by n.at) as types
        from unnest(s.key_columns) with ordinality n (name, at)
        join pg_attribute a on a.attrelid = s.relation and a.attname = n.name
    ) k
    where s.source = p_source
$$;

comment on function capi._spelled is 'A key as the outbox spells the keys of a source.';
