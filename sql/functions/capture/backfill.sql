-- A procedure that commits can have no settings of its own, so every name in it is qualified.
create or replace procedure capi.backfill(
    source regclass,
    since timestamptz,
    until timestamptz default pg_catalog.now(),
    only_sendable boolean default true,
    page integer default 1000,
    pause interval default '0'
)
language plpgsql
as $$
#variable_conflict use_variable
declare
    id bigint := capi._backfill_open(source, since, until, only_sendable);
    result pg_catalog.record;
begin
    if page operator(pg_catalog.<) 1 or page operator(pg_catalog.>) 100000 then
        raise exception 'page must be 1 to 100000' using errcode = 'invalid_parameter_value';
    end if;
    commit;
    while capi._backfill_page(id, page) loop
        commit;
        perform pg_catalog.pg_sleep_for(pause);
    end loop;
    select b.scanned, b.captured, b.waiting, b.failed into result
    from capi.backfills b where b.backfill operator(pg_catalog.=) id;
    raise notice 'backfill %: % rows looked at, % captured, % wait for consent, % failed',
        id, result.scanned, result.captured, result.waiting, result.failed;
end
$$;

comment on procedure capi.backfill is 'Captures conversions from before the tracking, by event time, in committed chunks (page rows, then a pause); only what is not in the outbox. Called again with the same since it goes on where it stopped. only_sendable leaves out what is too old for every destination of the source.';
grant execute on procedure capi.backfill to capi_admin;
