-- Refuses a note, or another text for people, that would keep a person in clear.
create or replace function capi._check_note(
    p_argument text,
    p_text text
) returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if capi._names_a_person(p_text) then
        raise exception '% holds an email address or a phone number', p_argument using errcode = 'invalid_parameter_value',
            hint = 'It is kept in clear. Name the case, such as the number of a ticket.';
    end if;
end
$$;

comment on function capi._check_note is 'Refuses a note that would keep a person in clear.';
grant execute on function capi._check_note to capi_admin;
