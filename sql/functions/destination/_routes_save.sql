-- Routes a source to these destinations from `p_at` on, and to no others. The cursors concerned are
-- locked before that time is taken.
create or replace function capi._routes_save(
    p_source integer,
    p_destinations integer[],
    p_at timestamptz
) returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    update capi.route r set until = p_at
    where r.source = p_source and r.until is null and not r.destination = any (p_destinations);
    insert into capi.route (source, destination, since)
    select p_source, w, greatest(p_at, (
        select max(r.until) from capi.route r where r.source = p_source and r.destination = w
    ))
    from unnest(p_destinations) w
    where not exists (
        select from capi.route r where r.source = p_source and r.destination = w and r.until is null
    );
end
$$;

comment on function capi._routes_save is 'Routes a source to these destinations from a time on, and to no others.';
