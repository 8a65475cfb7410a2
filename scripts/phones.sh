#!/usr/bin/env bash
# Compares the phone rule with libphonenumber on a large sample of every region; fails below
# 99.9 %. With --write it also writes docs/phones.md.
. "$(dirname "$0")/setup.sh"
setup_machine

# Its metadata is of the release that core/src/identity/phone/metadata.bin is of (see NOTICE).
PHONENUMBERS_VERSION=9.0.42
target=${CARGO_TARGET_DIR:-$ROOT/target}
cache=$target/phonenumbers-$PHONENUMBERS_VERSION

if [ ! -f "$cache/complete" ]; then
    say "installing phonenumbers $PHONENUMBERS_VERSION below ${target#"$ROOT"/}"
    quietly python3 -m pip install --disable-pip-version-check --no-deps --target "$cache" \
        "phonenumbers==$PHONENUMBERS_VERSION"
    touch "$cache/complete"
fi
quietly cargo build -q --release -p capi-core --example phones
PYTHONPATH=$cache PYTHONDONTWRITEBYTECODE=1 python3 tests/phones/agree.py \
    --program "$target/release/examples/phones" --report docs/phones.md "$@"
