-- Refuses a view that cannot be the people of an audience, or that is not the role's: an
-- administrator must not make somebody else's view flow out. Returns its qualified name.
create or replace function capi._check_people(
    p_people regclass,
    p_role oid
) returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    known constant text[] := capi._audience_columns();
    owner_id oid;
    full_name text;
    kind "char";
    found record;
    filtered text;
    problem text;
begin
    select c.relowner, c.relkind, format('%I.%I', n.nspname, c.relname) into owner_id, kind, full_name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = p_people;
    if kind is null or kind not in ('v', 'm', 'r', 'p', 'f') then
        raise exception 'people must be a view or a table' using errcode = 'wrong_object_type',
            hint = 'Write a view whose rows are the people.';
    end if;
    -- It is read as its owner: past policies, past conditions on current_user, past rights on what is below.
    if not pg_has_role(p_role, owner_id, 'member') then
        raise exception 'must be owner of %', full_name using errcode = 'insufficient_privilege',
            hint = format('The audience is of all rows that its owner sees: a member of %s may make it.', owner_id::regrole);
    end if;
    select v.name, v.type, coalesce(f.kind, case v.name when 'consent_at' then 'timestamp' end) as kind into found
    from capi._view_columns(p_people) v
    left join capi.field f on f.name = v.name
    where not v.name = any (known || 'id'::text)
        or v.name <> 'id' and not capi._type_fits(coalesce(f.kind, 'timestamp'), v.type_oid)
    order by v.name = any (known), v.name limit 1;
    if found.name = any (known) then
        raise exception 'column % of % has type %, which does not fit', quote_ident(found.name), full_name, found.type
            using errcode = 'datatype_mismatch',
                hint = format('%s takes %s.', found.name, case found.kind
                    when 'identifier' then 'text, a number, uuid, or an array of those'
                    when 'number' then 'numeric or another number'
                    when 'timestamp' then 'timestamp with time zone'
                    when 'date' then 'date or text'
                    when 'consent' then 'boolean, text or jsonb'
                    else 'text' end);
    elsif found.name is not null then
        raise exception 'unknown column % of %', quote_ident(found.name), full_name
            using errcode = 'undefined_column',
                hint = coalesce('Did you mean '
                        || (select n from capi._nearest_field(found.name) n where n = any (known)) || '? ', '')
                    || 'The people of an audience have the columns ' || array_to_string(known, ', ')
                    || ', and id, which is not looked at.';
    end if;
    if not exists (select from capi._view_columns(p_people) v where v.name = 'consent') then
        raise exception 'column consent of % is missing', full_name using errcode = 'undefined_column',
            hint = 'Nobody is told of a person who has not said yes: select the answer as consent.';
    end if;
    if not exists (select from capi._view_columns(p_people) v where v.name in ('email', 'phone', 'external_id')) then
        raise exception '% has no column email, phone or external_id', full_name using errcode = 'undefined_column',
            hint = 'One of them must be there: by it a person is found, removed and forgotten.';
    end if;
    for found in select l.problem, l.hint from capi._lent_rights(p_people) l order by l.problem limit 1 loop
        raise exception '%', found.problem using errcode = 'invalid_object_definition', hint = found.hint;
    end loop;
    select string_agg(format('%s', t), ', ') into filtered from capi._filtered_tables(p_people, owner_id) t;
    if filtered is not null then
        raise exception 'row-level security hides rows of % from %, the owner of %', filtered, owner_id::regrole, full_name
            using errcode = 'invalid_object_definition',
                hint = 'Let the view belong to the owner of the table, or to a role with BYPASSRLS.';
    end if;
    problem := capi._audience_trial(p_people);
    if problem is not null then
        raise exception '% cannot be read as its owner: %', full_name, problem
            using errcode = 'invalid_object_definition',
                hint = 'It is read with search_path pg_catalog and row_security off; query it as its owner with '
                    'these settings to see the error.';
    end if;
    return full_name;
end
$$;

comment on function capi._check_people is 'Refuses a view that cannot be the people of an audience, or that is not of the session; returns its qualified name.';
