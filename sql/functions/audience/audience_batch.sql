create or replace function capi.audience_batch(
    p_sync bigint,
    p_change text,
    p_after uuid,
    p_limit integer
) returns table (
    person uuid,
    digests text[],
    value text,
    barred boolean
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    s capi.audience_sync;
    d capi.destination;
    salt bytea := (select i.salt from capi.installation i);
    bars bytea[];
begin
    if p_change is null or p_change not in ('add', 'remove') then
        raise exception 'unknown change' using errcode = 'invalid_parameter_value', hint = 'One of add, remove.';
    end if;
    if p_limit is null or p_limit < 1 then
        raise exception 'the limit is missing' using errcode = 'invalid_parameter_value', hint = 'It is at least 1.';
    end if;
    select * into s from capi.audience_sync x where x.sync = p_sync and x.outcome = 'running';
    if not found or not capi._may_send() then
        raise exception 'this sync is over' using errcode = 'object_not_in_prerequisite_state',
            hint = 'Another one has begun, or the audience was dropped.';
    end if;
    select x.* into strict d
    from capi.destination x join capi.audience a on a.destination = x.destination where a.audience = s.audience;
    if d.state <> 'active' then
        raise exception 'destination "%" is %', d.name, d.state using errcode = 'object_not_in_prerequisite_state',
            hint = 'An audience is sent when its destination sends: capi.resume().';
    end if;
    if p_change = 'remove' then
        return query
        select m.person, m.digests[1:3], null::text, false
        from capi.audience_member m
        where m.audience = s.audience and m.sync <> s.sync and (p_after is null or m.person > p_after)
        order by m.person limit least(p_limit, 10000);
        return;
    end if;
    -- Who has withdrawn or was forgotten since the view was read. The minutes are for transactions that
    -- were open then.
    bars := array(
        select f.salted from capi.forgotten f where f.at > s.started_at - interval '10 minutes'
        union
        select p.salted
        from capi.withdrawal w join capi.withdrawn_person p on p.source = w.source and p.key = w.key
        where w.at > s.started_at and capi._refuses(w.refused, d.platform, d.name)
    );
    return query
    with page as materialized (
        select m.person, m.digests, m.value,
            bars <> '{}' and exists (
                select from unnest(m.digests[1:3]) u (digest)
                where u.digest <> '' and sha256(salt || convert_to(u.digest, 'UTF8')) = any (bars)
            ) as barred
        from capi.audience_member m
        where m.audience = s.audience and m.sync = s.sync and m.sent is distinct from m.content
            and (p_after is null or m.person > p_after)
        order by m.person limit least(p_limit, 10000)
    ), marked as (
        -- From here on they may be there, whatever becomes of the request.
        update capi.audience_member m set offered = true
        from page p
        where m.audience = s.audience and m.person = p.person and not p.barred and not m.offered
    )
    select p.person, p.digests, p.value::text, p.barred from page p order by p.person;
end
$$;

comment on function capi.audience_batch is 'For capi audience sync: the next members to add or remove, in the order of person. Barred ones have withdrawn or were forgotten since the view was read and must not be sent.';
grant execute on function capi.audience_batch to capi_sidecar;
