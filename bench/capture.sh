#!/usr/bin/env bash
# What capture costs: rows a to e of the plan's table of targets. `make bench-capture`.
#
#     ROUNDS=7        measurements of each variant, taking turns
#     ROWS=commit,bell,copy,first,instructions   which parts
#     QUICK=1         a short run that only shows that everything works
#
# Writes bench/results/capture.json and prints the tables of docs/contributing/benchmarks.md, "What capture costs
# the checkout", as they stand there; parts that are left out keep their last results.
. "$(dirname "$0")/cluster.sh"
ORDERS=600
start_cluster "shared_buffers = 1GB" "max_wal_size = 30GB" "checkpoint_timeout = 1d" "max_connections = 150"
build_sidecar
build_standin
say "measuring"
python3 bench/capture.py --rounds "${ROUNDS:-7}" --rows "${ROWS:-commit,bell,copy,first,instructions}" ${QUICK:+--quick} \
    --capi "$CAPI_BIN" --standin "$STANDIN_BIN" --folder "$BENCH" --shop-orders "$ORDERS"
