#!/usr/bin/env bash
# Format, clippy and rustdoc, with warnings denied; modules that import each other; links; SQL.
. "$(dirname "$0")/setup.sh"
setup_machine
features=(--no-default-features --features "pg$PG_MAJOR")
say "format"
cargo fmt --all --check
say "clippy"
cargo clippy -q -p capi-core -p capi-sidecar -p capi-standin -p capi-tests -p capi-bench --all-targets -- -D warnings
cargo clippy -q -p pg_capi "${features[@]}" -- -D warnings
say "modules that import each other"
find_python || die "a python3 is missing: install one, or set PYTHON to it."
"$PYTHON" scripts/circles.py
say "links in the pages"
"$PYTHON" scripts/links.py
say "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc -q --no-deps -p capi-core -p capi-sidecar -p capi-standin
RUSTDOCFLAGS="-D warnings" cargo doc -q --no-deps -p pg_capi "${features[@]}" --document-private-items
say "SQL"
scripts/sql_lint.sh
