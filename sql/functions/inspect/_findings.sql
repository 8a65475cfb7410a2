-- The one validator of conversion views, behind capi.check_view and capi.track. Reads only the
-- catalog. `p_source` and `p_options` may be null: then what needs them is not judged.
create or replace function capi._findings(
    p_view regclass,
    p_source regclass,
    p_platforms text[],
    p_options jsonb
) returns table (
    severity text,
    field text,
    finding text,
    hint text
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    keys text[];
    view_owner oid := (select c.relowner from pg_class c where c.oid = p_view);
    kind "char" := (select c.relkind from pg_class c where c.oid = p_view);
    source_kind "char" := (select c.relkind from pg_class c where c.oid = p_source);
    filtered text;
begin
    if kind is distinct from 'v' then
        return query select 'error', null::text, format('%s is not a view', p_view),
            'Write a view whose rows are the conversions; a table or a materialised view will not do.';
        return;
    end if;
    if exists (select from pg_class c where c.oid in (p_view, p_source) and c.relpersistence = 't') then
        return query select 'error', null::text, 'it is temporary', 'Make table and view of the session permanent ones.';
        return;
    end if;
    if p_source is not null then
        if source_kind not in ('r', 'p') then
            return query select 'error', null::text, format('%s is not a table', p_source),
                'Track the application table that the view is about.';
            return;
        end if;
        keys := capi._key_columns(p_source);
        if keys is null then
            return query select 'error', null::text, format('%s has no primary key', p_source),
                'Add one: a conversion is found again by the key of its row.';
            return;
        end if;
        return query
        select 'error', k, format('the view lacks the key column %I of %s', k, p_source),
            'Select it under its own name.'
        from unnest(keys) k
        where not exists (select from capi._view_columns(p_view) v where v.name = k);
        return query
        select 'error', k,
            format('the view''s column %I is %s, the key''s type is %s', k, v.type, t.type),
            'Select the key column as it is, without a cast.'
        from unnest(keys) k
        join capi._view_columns(p_view) v on v.name = k
        join capi._view_columns(p_source) t on t.name = k
        where v.type_oid <> t.type_oid;
        return query
        select 'error', k,
            format('keys of type %s%s can be written in several ways', format_type(a.atttypid, a.atttypmod),
                case when l.collisdeterministic is not false then '' else format(' with collation %I', l.collname) end),
            'A withdrawal would miss its row. The key must be of a type that has one text for equal values: '
                'an integer, numeric, text, uuid, a day or time, an enum.'
        from unnest(keys) k
        join pg_attribute a on a.attrelid = p_source and a.attname = k
        left join pg_collation l on l.oid = a.attcollation
        where capi._spelling(a.atttypid, a.attcollation) is null;
    end if;

    if p_source is not null and p_options ? 'on_columns' then
        return query
        with recursive tree (relation) as (
            select p_source::oid
            union
            select i.inhrelid from pg_inherits i join tree t on t.relation = i.inhparent
        )
        select 'error', null::text,
            format('on_columns cannot be used: %s has a BEFORE UPDATE trigger that may change other columns', min(t.relation::regclass::text)),
            'Leave on_columns out, or use only_if.'
        from tree t
        join pg_trigger g on g.tgrelid = t.relation and not g.tgisinternal
            and g.tgtype & 1 = 1 and g.tgtype & 2 = 2 and g.tgtype & 16 = 16
        having count(*) > 0;
    end if;

    -- Types, and columns that are no field.
    return query
    select
        case when f.name is null then
                case when v.name = any (coalesce(keys, '{}')) then 'info'
                    when p_source is null and capi._is_a_key(p_view, v.name) then 'info'
                    else 'error' end
            when v.fits then 'info' else 'error' end,
        v.name,
        case when f.name is null then
                case when v.name = any (coalesce(keys, '{}'))
                        or p_source is null and capi._is_a_key(p_view, v.name) then 'key of the source'
                    else 'unknown column' end
            when not v.fits then format('type %s does not fit', v.type)
            when f.class = 'digest' then 'used, stored as digest only'
            when f.class = 'clear' then 'used, stored in clear'
            else 'used' end,
        case when f.name is null then
                case when v.name = any (coalesce(keys, '{}'))
                        or p_source is null and capi._is_a_key(p_view, v.name) then null
                    else coalesce('Did you mean ' || capi._nearest_field(v.name) || '? ', '')
                        || 'capi.field lists every name; extra properties go into one jsonb column named custom.' end
            when v.fits then null
            when f.kind = 'timestamp' and v.type like 'timestamp%without%' then
                format('A time without zone says not when. Say which zone it is in: %I at time zone ''Europe/Berlin''.', v.name)
            when f.kind = 'json' and v.type like '%[]' then
                'Its rows have columns of types that were made here: select jsonb_agg(jsonb_build_object(…)).'
            when f.kind = 'timestamp' then 'It must be timestamp with time zone.'
            when v.type = 'money' then 'The type money follows the server''s locale; use numeric.'
            else format('A field of kind %s takes %s.', f.kind, case f.kind
                when 'identifier' then 'text, a number, uuid, or an array of those'
                when 'text' then 'text, a number or uuid'
                when 'number' then 'numeric or another number'
                when 'integer' then 'a number'
                when 'boolean' then 'boolean'
                when 'json' then 'jsonb, json or an array'
                when 'date' then 'date or text'
                when 'consent' then 'boolean, text or jsonb'
                else f.kind end) end
    from (
        select c.*, g.kind is null or capi._type_fits(g.kind, c.type_oid) as fits
        from capi._view_columns(p_view) c
        left join capi.field g on g.name = c.name
    ) v
    left join capi.field f on f.name = v.name;

    return query
    select 'error', f.name, format('required field %s is missing', f.name), f.meaning
    from capi.field f
    where f.required
        and not exists (select from capi._view_columns(p_view) v where v.name = f.name)
        and not (f.name = 'consent' and coalesce(p_options ->> 'consent' = 'not_required', false));
    return query
    select 'warning', f.name, format('recommended field %s is missing', f.name), f.meaning
    from capi.field f
    where f.recommended && coalesce(p_platforms, f.recommended)
        and not exists (select from capi._view_columns(p_view) v where v.name = f.name)
        and not (f.name in ('client_ip_address', 'client_user_agent', 'fbc', 'fbp')
            and exists (select from capi._view_columns(p_view) v where v.name = 'browser'));

    -- Capture reads with search_path pg_catalog: a function that counts on another one fails, and one that
    -- looks for a name may find a temporary object of the application's.
    return query
    select 'warning', null::text,
        case when exists (
            select from pg_proc p cross join unnest(p.proconfig) o where p.oid = f.function and o like 'search_path=%'
        ) then format('function %s is called by the view and pins a search_path that does not end with pg_temp', f.function)
        else format('function %s is called by the view and does not pin its search_path', f.function) end,
        format('alter function %s set search_path = …, pg_temp; until then no row is captured in a session that has '
            'temporary objects: it is put on record, and the sweep captures it.', f.function)
    from capi._unpinned_functions(p_view) f (function);

    -- An order waits for what its capture reads.
    return query
    select 'warning', null::text, format('the view reads the foreign table %s: every order waits for its host', f.relation),
        'A host that hangs is waited for beyond capi.time_budget: set connect_timeout and tcp_user_timeout of its server, '
            'or read a copy that is kept in this database. A transaction that has read it cannot be prepared.'
    from capi._foreign_tables(p_view) f (relation);

    -- It is read as its owner.
    return query select 'error', null::text, l.problem, l.hint from capi._lent_rights(p_view) l order by l.problem;

    -- Rows hidden by a policy would be lost in silence.
    select string_agg(format('%s', t), ', ') into filtered
    from capi._filtered_tables(p_view, view_owner) t;
    if filtered is not null then
        return query select 'error', null::text,
            format('row-level security hides rows of %s from %s, the owner of the view',
                filtered, view_owner::regrole),
            'Let the view belong to the owner of the table, or to a role with BYPASSRLS.';
    end if;
end
$$;

comment on function capi._findings is 'The one validator of conversion views.';
grant execute on function capi._findings to capi_admin;
