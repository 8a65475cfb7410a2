-- A credential is named, never stored: a value that looks like a token is refused, unquoted.
create or replace function capi._check_credential_name(
    p_credential text
) returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_credential is null or p_credential !~ '^[A-Z][A-Z0-9_]{1,63}$'
        or p_credential ~ '^(EA|AKIA|GOCSPX|SG|SK|XOX)[A-Z0-9]{18,}$'
        or p_credential ~ '[0-9][A-Z0-9]{0,40}[0-9][A-Z0-9]{0,40}[0-9][A-Z0-9]{0,40}[0-9][A-Z0-9]*[0-9]'
    then
        raise exception 'credential must be the name of a credential, and this looks like a secret or is no name'
            using errcode = 'invalid_parameter_value',
                detail = 'The database never holds a token. The value was not stored; if it was a token, '
                    'it may be in the log of statements: replace it.',
                hint = 'Give a name of capital letters, digits and underscores such as META_TOKEN, and put '
                    'the token where the sidecar reads that name: its environment or its credentials directory.';
    end if;
end
$$;

comment on function capi._check_credential_name is 'Refuses a credential that is no name.';
