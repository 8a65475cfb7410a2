-- Puts the names of this installation's roles into a text of the layout, which is written with the
-- default names. In one pass: a role may be named like a part of another, or like another's default.
create function capi._with_roles(
    body text,
    owner text,
    sidecar text,
    analyst text,
    admin text,
    emitter text,
    tenant text
) returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(
        between.text || coalesce(quote_ident(case written.name
            when 'owner' then owner
            when 'sidecar' then sidecar
            when 'analyst' then analyst
            when 'admin' then admin
            when 'emitter' then emitter
            when 'tenant' then tenant end), ''),
        '' order by n)
    from regexp_split_to_table(body, E'\\mcapi_(?:owner|sidecar|analyst|admin|emitter|tenant)\\M') with ordinality between (text, n)
    left join (
        select m[1] as name, n
        from regexp_matches(body, E'\\mcapi_(owner|sidecar|analyst|admin|emitter|tenant)\\M', 'g') with ordinality x (m, n)
    ) written using (n)
$$;
