#!/usr/bin/env bash
# Everything: lints, unit and property tests, vectors in Rust and SQL, pgrx tests, end to end.
. "$(dirname "$0")/setup.sh"
setup_machine

setup_test_packages
scripts/lint.sh

# The same code gets the same verdict; `make fuzz` looks where nobody has looked.
export PROPTEST_RNG_SEED=${PROPTEST_RNG_SEED:-20261124} BOLERO_RANDOM_SEED=${BOLERO_RANDOM_SEED:-20261124}
export CAPI_SEARCH_SEED=${CAPI_SEARCH_SEED:-20261124}
say "unit and property tests, vectors in Rust"
cargo test -q -p capi-core -p capi-sidecar -p capi-standin

say "phone numbers against libphonenumber"
scripts/phones.sh

install_extension
build_sidecar
build_standin
say "the demo with every platform, a few orders"
place=$(mktemp -d)
chmod 711 "$place"
ORDERS=40 PLATFORMS=all DEMO_DIR=$place/demo DEMO_STANDIN_PORT=0 quietly scripts/demo.sh --installed
rm -rf "$place"
scripts/sdk.sh
scripts/cookbook-shop.sh --installed
say "end to end: a private Postgres, the sidecar, and the stand-in on loopback"
cargo test -q -p capi-tests

say "pgrx tests inside Postgres $PG_MAJOR"
data=$(mktemp -d)
chmod 711 "$data"
trap 'rm -rf "$data"' EXIT
runas=()
if [ "$(id -u)" = 0 ]; then
    chown postgres "$data"
    runas=(--runas postgres --pgdata "$data")
fi
(cd pg_extension && cargo pgrx test "${runas[@]}" --no-default-features "pg$PG_MAJOR")

say "all passed"
