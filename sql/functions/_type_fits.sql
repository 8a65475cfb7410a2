-- Whether a column of this type can hold a field of this kind.
create or replace function capi._type_fits(
    p_kind text,
    p_type oid
) returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select case p_kind
        when 'timestamp' then base = 'timestamptz'::regtype
        when 'number' then category = 'N' and base <> 'money'::regtype
        when 'integer' then category = 'N' and base <> 'money'::regtype
        when 'boolean' then base = 'boolean'::regtype
        when 'json' then base in ('jsonb'::regtype, 'json'::regtype) or category = 'A'
        when 'consent' then base in ('boolean'::regtype, 'jsonb'::regtype, 'json'::regtype)
            or category = 'S'
        when 'date' then base = 'date'::regtype or category = 'S'
        when 'identifier' then category in ('S', 'A', 'E') or base = 'uuid'::regtype
            or category = 'N' and base <> 'money'::regtype
        when 'text' then category in ('S', 'E', 'I') or base = 'uuid'::regtype
            or category = 'N' and base <> 'money'::regtype
        else false
    end
    from (
        select coalesce(nullif(t.typbasetype, 0), t.oid) as base,
            (select b.typcategory from pg_type b where b.oid = coalesce(nullif(t.typbasetype, 0), t.oid)) as category
        from pg_type t where t.oid = p_type
    ) x
$$;
