#!/usr/bin/env bash
# What the first capture of a new backend costs above later ones. `make bench-first-capture`.
#
#     ROUNDS=150      pairs of connections
#     PRELOAD=1       the same once more with the library in session_preload_libraries, then in
#                     shared_preload_libraries
. "$(dirname "$0")/cluster.sh"

run() {
    python3 bench/first_capture.py --rounds "${ROUNDS:-150}" --title "$1"
}

start_cluster
make_shop shop_tracked
make_shop shop_untracked untracked
say "measuring"
run "library loaded by the first capture"
if [ -n "${PRELOAD:-}" ]; then
    for where in session shared; do
        psql -X -q -d postgres -c "alter system reset all" -c "alter system set ${where}_preload_libraries = 'pg_capi'"
        quietly as_postgres "$BENCH$PG_BIN/pg_ctl" -D "$BENCH/data" -l "$BENCH/postgres.log" -w restart
        run "${where}_preload_libraries = 'pg_capi'"
    done
fi
