-- Refuses what is no key of a row. No event has a key that names a person, and what is written down of one
-- would be kept in clear.
create or replace function capi._check_key(
    p_key text
) returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_key is null then
        raise exception 'key must not be null' using errcode = 'null_value_not_allowed',
            hint = 'It names a row of the source, as capi.delivery does.';
    end if;
    if capi._names_a_person(p_key) then
        raise exception 'key holds an email address or a phone number' using errcode = 'invalid_parameter_value',
            hint = 'A key names a row; capi.forget_person finds a person by email address or phone number.';
    end if;
end
$$;

comment on function capi._check_key is 'Refuses what is no key of a row.';
