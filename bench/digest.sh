#!/usr/bin/env bash
# Digests per second of every identifier against plain SQL on the same values. `make bench-digest`.
#
#     ROWS=100000  values per field
#     ROUNDS=7     measurements of each
. "$(dirname "$0")/cluster.sh"
start_cluster
createdb -w bench --maintenance-db=postgres
psql -X -q -d bench -c 'create extension pg_capi'
say "measuring"
psql -X -q -d bench -v rows="${ROWS:-100000}" -v rounds="${ROUNDS:-7}" -f bench/digest.sql
