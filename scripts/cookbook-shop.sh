#!/usr/bin/env bash
# The last section of docs/guides/cookbook.md: conversions of a real shop, whose own migrations make the
# tables and whose own code places the orders, in a private Postgres with the extension.
. "$(dirname "$0")/setup.sh"
setup_machine
[ "${1:-}" = --installed ] || install_extension
python_packages cookbook

place=$(mktemp -d)
chmod 700 "$place"
if [ "$(id -u)" = 0 ]; then chown postgres "$place"; fi
as_user() { (cd / && as_postgres "$@"); }
trap 'as_user "$PG_BIN/pg_ctl" -D "$place/data" -m immediate -w stop >/dev/null 2>&1; rm -rf "$place"' EXIT
say "a real shop in a private Postgres $PG_MAJOR"
quietly as_user "$PG_BIN/initdb" -D "$place/data" -A trust -U postgres -E UTF8 --locale=C.UTF-8 --no-sync
quietly as_user "$PG_BIN/pg_ctl" -D "$place/data" -l "$place/log" -w start \
    -o "-c listen_addresses='' -c unix_socket_directories=$place -c fsync=off"
export PGHOST=$place PGPORT=5432 PGUSER=postgres PGDATABASE=oscar PATH="$PG_BIN:$PATH"
createuser oscar
createdb --maintenance-db=postgres --owner=oscar oscar
psql -Xq -v ON_ERROR_STOP=1 -c 'create extension pg_capi' -c 'select capi.setup()' -c 'select capi.adopt()' \
    -c 'grant capi_admin, pg_read_all_data to oscar' >/dev/null
# A view that a superuser owned would be refused; the page also looks into the outbox, hence the second role.
export PGUSER=oscar
"$PYTHON" tests/cookbook/oscar_shop.py
say "the shop's conversions are as docs/guides/cookbook.md shows them"
