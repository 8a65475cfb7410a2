-- Puts the names of this installation's roles into a text of the layout, which is written with the
-- default names.
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
    select replace(replace(replace(replace(replace(replace(body,
        'capi_owner', quote_ident(owner)),
        'capi_sidecar', quote_ident(sidecar)),
        'capi_analyst', quote_ident(analyst)),
        'capi_admin', quote_ident(admin)),
        'capi_emitter', quote_ident(emitter)),
        'capi_tenant', quote_ident(tenant))
$$;
