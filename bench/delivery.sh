#!/usr/bin/env bash
# What delivery costs and how fast it is: the delivery rows of the table of targets. `make bench-delivery`.
#
#     ROWS=drain,limit,snapshot,history,wal,latency,memory,calls,idle   which rows; results of the others stay
#     ROUNDS=7            measurements of each contender, taking turns
#     EVENTS=100000       events per measurement
#     SNAPSHOT=60         seconds for which another session holds its snapshot
#     HISTORY=10000000    delivered events of the row history; 16 GB of disk per 10 million
#     BACKLOG=1000000     pending events of the row memory
#     QUICK=1             a short run that only shows that everything works
#
# Writes bench/results/delivery.json and prints the table of docs/contributing/benchmarks.md. The other queues come
# from npm and from Debian's package, into folders of their own.
. "$(dirname "$0")/cluster.sh"
ORDERS=600
start_cluster "shared_buffers = 2GB" "max_wal_size = 8GB" "checkpoint_timeout = 1d" "max_connections = 100" \
    "autovacuum = on"
build_sidecar
quietly cargo build --release -p capi-bench
peers=$BENCH/peers
rows=${ROWS:-drain,limit,snapshot,history,wal,latency,memory,calls,idle}
if [[ $rows == *drain* || $rows == *wal* ]]; then
    mkdir -p "$peers"
    if ! cmp -s bench/peers/package.json "$peers/package.json" || [ ! -d "$peers/node_modules" ]; then
        command -v npm >/dev/null || die "npm is missing: graphile-worker and pg-boss are packages of it."
        say "installing graphile-worker and pg-boss"
        cp bench/peers/package.json "$peers/"
        (cd "$peers" && quietly npm install --no-package-lock --no-audit --no-fund)
    fi
    cp bench/peers/*.mjs "$peers/"
    if [ ! -f "$BENCH$("$PG_CONFIG" --sharedir)/extension/pgq.control" ]; then
        say "fetching PgQ"
        download=$(mktemp -d)
        (cd "$download" && quietly apt-get download "postgresql-$PG_MAJOR-pgq3" && dpkg -x ./*.deb package)
        # Not into the folder itself: that would take the owner of the package's root.
        cp -a "$download/package/usr" "$BENCH/"
        rm -rf "$download"
    fi
fi
say "measuring"
python3 bench/delivery.py --rounds "${ROUNDS:-7}" --rows "$rows" --events "${EVENTS:-100000}" \
    --snapshot "${SNAPSHOT:-60}" --history "${HISTORY:-10000000}" --backlog "${BACKLOG:-1000000}" \
    ${QUICK:+--quick} --capi "$CAPI_BIN" --tools "$(dirname "$CAPI_BIN")/capi-bench" --folder "$BENCH" \
    --shop-orders "$ORDERS"
