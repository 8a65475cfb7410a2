-- Checks what capi.track and capi.create_emitter are told of the rows, and puts it together.
create or replace function capi._row_options(
    p_default_country text,
    p_consent text,
    p_on_error text,
    p_date_order text,
    p_hashed_phone text
) returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    country text;
begin
    if p_consent is null or p_consent not in ('required', 'not_required') then
        raise exception 'consent must be required or not_required' using errcode = 'invalid_parameter_value';
    end if;
    if p_on_error is null or p_on_error not in ('record', 'abort') then
        raise exception 'on_error must be record or abort' using errcode = 'invalid_parameter_value',
            hint = 'record commits the order and notes the failed capture; abort refuses the order.';
    end if;
    if p_date_order not in ('dmy', 'mdy', 'ymd') then
        raise exception 'date_order must be dmy, mdy or ymd' using errcode = 'invalid_parameter_value',
            hint = 'dmy says that 02/03/1997 is the second of March; without it such a date of birth is dropped.';
    end if;
    if p_hashed_phone not in ('digits', 'plus') then
        raise exception 'hashed_phone must be digits or plus' using errcode = 'invalid_parameter_value',
            hint = 'It says what was hashed where the phone column holds SHA-256 digests: 4930… or +4930….';
    end if;
    if p_default_country is not null then
        country := capi.normalize('country', p_default_country);
        if country is null then
            raise exception 'default_country is no country' using errcode = 'invalid_parameter_value',
                hint = 'Give an ISO 3166-1 code such as DE.';
        end if;
    end if;
    return jsonb_strip_nulls(jsonb_build_object(
        'default_country', country, 'consent', p_consent, 'on_error', p_on_error,
        'date_order', p_date_order, 'hashed_phone', nullif(p_hashed_phone, 'digits')));
end
$$;

comment on function capi._row_options is 'Checks what is said of rows and puts it together.';
grant execute on function capi._row_options to capi_admin;
