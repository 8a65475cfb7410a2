#!/usr/bin/env bash
# Compares the phone rule with libphonenumber on a large sample of every region; fails below
# 99.9 %. With --write it also writes docs/reference/phones.md.
. "$(dirname "$0")/setup.sh"
setup_machine

target=${CARGO_TARGET_DIR:-$ROOT/target}
python_packages phones
quietly cargo build -q --release -p capi-core --example phones
"$PYTHON" tests/phones/agree.py \
    --program "$target/release/examples/phones" --report docs/reference/phones.md "$@"
