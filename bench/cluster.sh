# Sourced by the benchmarks: a private copy of the Postgres of PG_CONFIG with the extension in it,
# and a private cluster with the example shop, once tracked and once not. Nothing is installed
# into the machine's own Postgres.
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/setup.sh"

# A folder that user postgres can enter, which a checkout below a home directory may not be.
BENCH=${BENCH_DIR:-/var/tmp/pg_capi-bench.$(id -u)}
ORDERS=${ORDERS:-1500}
PORT=${BENCH_PORT:-54339}

stop_cluster() {
    if [ -f "$BENCH/data/postmaster.pid" ]; then
        as_postgres "$BENCH$PG_BIN/pg_ctl" -D "$BENCH/data" -m fast -w stop >/dev/null 2>&1 || true
    fi
}

# Postgres finds its other folders relative to its programs: a copy that keeps the paths works.
copy_postgres() {
    local folder
    for folder in "$PG_BIN" "$("$PG_CONFIG" --pkglibdir)" "$("$PG_CONFIG" --sharedir)"; do
        if [ ! -d "$BENCH$folder" ]; then
            mkdir -p "$BENCH$folder"
            cp -a "$folder/." "$BENCH$folder/"
            rm -f "$BENCH$folder"/pg_capi.so "$BENCH$folder"/extension/pg_capi*
        fi
    done
}

# Starts anew, with settings that a benchmark adds, one per argument.
start_cluster() {
    setup_machine
    mkdir -p "$BENCH"
    case $(stat -c %U "$BENCH") in
        "$(id -un)" | postgres) ;;
        *) die "$BENCH is somebody else's: set BENCH_DIR" ;;
    esac
    stop_cluster
    trap stop_cluster EXIT
    copy_postgres
    if [ -z "${NO_BUILD:-}" ]; then
        say "building the extension"
        rm -f "$BENCH$("$PG_CONFIG" --pkglibdir)/pg_capi.so"
        (cd pg_extension && quietly cargo pgrx package --pg-config "$PG_CONFIG" --out-dir "$BENCH" \
            --no-default-features --features "pg$PG_MAJOR")
    fi
    rm -rf "$BENCH/data"
    # Who reaches the socket is superuser there.
    chmod 700 "$BENCH"
    if [ "$(id -u)" = 0 ]; then chown postgres "$BENCH"; fi
    quietly as_postgres "$BENCH$PG_BIN/initdb" -D "$BENCH/data" -A trust -U postgres -E UTF8 --locale=C.UTF-8
    as_postgres tee -a "$BENCH/data/postgresql.conf" >/dev/null <<CONF
port = $PORT
unix_socket_directories = '$BENCH'
listen_addresses = ''
autovacuum = off
max_parallel_workers_per_gather = 0
jit = off
$(printf '%s\n' "$@")
CONF
    quietly as_postgres "$BENCH$PG_BIN/pg_ctl" -D "$BENCH/data" -l "$BENCH/postgres.log" -w start
    export PGHOST=$BENCH PGPORT=$PORT PGUSER=postgres PATH="$BENCH$PG_BIN:$PATH"
    export PSQLRC=/dev/null
}

# The example shop in a database; with tracking unless the second argument is `untracked`.
make_shop() {
    say "the example shop in database $1"
    createdb -w "$1" --maintenance-db=postgres
    psql -X -q -v ON_ERROR_STOP=1 -v orders="$ORDERS" -d "$1" -f sql/examples/shop.sql >/dev/null
    psql -X -q -v ON_ERROR_STOP=1 -d "$1" >/dev/null <<SQL
create extension pg_capi;
select capi.setup(instance => '$1', adopt => true);
select capi.create_destination('meta-eu', platform => 'meta', credential => 'META_TOKEN',
    settings => '{"pixel_id": "1234567890", "endpoint": "http://127.0.0.1:1"}');
SQL
    if [ "${2:-}" != untracked ]; then
        psql -X -q -v ON_ERROR_STOP=1 -d "$1" -c "select capi.track('shop.orders',
            conversions => 'shop.purchases', destinations => '{meta-eu}')" >/dev/null
    fi
    psql -X -q -d "$1" -c 'vacuum analyze' -c 'checkpoint'
}
