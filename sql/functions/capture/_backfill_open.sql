-- Finds the backfill that was begun with the same bound and not finished, or begins one. Who tracks
-- a table decides about its past, too.
create or replace function capi._backfill_open(
    p_source regclass,
    p_since timestamptz,
    p_until timestamptz,
    p_only_sendable boolean,
    p_caller text default capi._who()
) returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    s capi.source;
    id bigint;
    oldest timestamptz;
    since timestamptz := p_since;
begin
    perform capi._not_inside();
    if p_since is null or p_until is null or p_until <= p_since then
        raise exception 'since must be before until' using errcode = 'invalid_parameter_value',
            hint = 'call capi.backfill(''shop.orders'', since => now() - interval ''30 days'');';
    end if;
    if not pg_has_role(capi._whose(p_caller), (select c.relowner from pg_class c where c.oid = p_source), 'member') then
        raise exception 'must be owner of table %', p_source using errcode = 'insufficient_privilege',
            hint = 'Whose orders they are decides what becomes of them.';
    end if;
    if (select count(*) from capi.source x where x.relation = p_source and x.tracked) > 1 then
        raise exception '% is tracked through several views', p_source using errcode = 'feature_not_supported',
            hint = 'Untrack the others meanwhile, or touch the rows: update … set id = id.';
    end if;
    select * into s from capi.source x where x.relation = p_source and x.tracked;
    if not found then
        raise exception '% is not tracked', p_source using errcode = 'undefined_object',
            hint = 'capi.sources lists what is.';
    end if;
    select b.backfill into id from capi.backfill b
    where b.source = s.source and b.since = p_since and b.finished_at is null;
    if found then
        return id;
    end if;
    if p_only_sendable then
        select now() - max(capi._longest_age(d.platform)) * interval '1 second' into oldest
        from capi.route r join capi.destination d using (destination)
        where r.source = s.source and r.until is null and d.state <> 'dropped';
        if oldest is null then
            raise exception '% has no destination', p_source using errcode = 'object_not_in_prerequisite_state',
                hint = 'Nothing of it would be sent. only_sendable => false captures it for the record.';
        end if;
        if oldest > since then
            raise notice 'conversions before % are too old for every destination and are left out', oldest
                using hint = 'only_sendable => false captures them for the record.';
            since := least(oldest, p_until - interval '1 second');
        end if;
    end if;
    insert into capi.backfill (source, since, until, after_time, after_key)
    values (s.source, p_since, p_until, nullif(since, p_since), case when since <> p_since then '' end)
    returning backfill into id;
    return id;
end
$$;

comment on function capi._backfill_open is 'Finds or begins a backfill.';
grant execute on function capi._backfill_open to capi_admin;
