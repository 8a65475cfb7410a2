#!/usr/bin/env bash
# Looks for unsafe names in every SQL file, as it runs: in a schema of its own, with the search path
# that capi.setup() pins. What plpgsql_check finds is tested in tests/tests/catalog.rs.
. "$(dirname "$0")/setup.sh"
setup_machine
python_packages pgspot
file=$(mktemp)
trap 'rm -f "$file"' EXIT
bad=0
for source in sql/tables/*.sql sql/views/*.sql sql/functions/*/*.sql sql/extension/*.sql; do
    { echo 'create schema capi; set search_path = pg_catalog, pg_temp;'; cat "$source"; } >"$file"
    # A procedure that commits can have no search path of its own; it qualifies every name.
    "$PYTHON" -m pgspot --proc-without-search-path \
        'capi.backfill(source regclass,since timestamptz,until timestamptz,only_sendable boolean,page integer,pause interval)' \
        "$file" >"$file.out" || true
    if ! grep -q 'Errors: 0 Warnings: 0 Unknown: 0' "$file.out"; then
        echo "$source:" >&2
        cat "$file.out" >&2
        bad=1
    fi
    rm -f "$file.out"
done
exit $bad
