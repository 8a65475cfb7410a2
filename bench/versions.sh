#!/usr/bin/env bash
# Whether capture or delivery has become slower since a commit: this checkout and that commit, each in
# a cluster of its own, take turns. `make bench-versions BASE=<commit>`.
#
#     PAIRS=10        measurements of each version
#     ORDERS=12000    orders per measurement of capture
#     EVENTS=50000    events per measurement of delivery
#     NO_BUILD=1      measures what an earlier run has built
. "$(dirname "$0")/cluster.sh"
BASE=$(git rev-parse --verify "${BASE:?names the commit to compare with}^{commit}")
folders=("$BENCH-here" "$BENCH-base")
tree=$BENCH-tree

finish() {
    for BENCH in "${folders[@]}"; do stop_cluster; done
    git -C "$ROOT" worktree remove --force "$tree" 2>/dev/null || true
}

# Builds extension and sidecar of a checkout into a folder. Two checkouts cannot share a target folder:
# cargo takes their packages for the same.
build() {
    local from=$1 to=$2 target=$3
    say "building $(git -C "$from" log -1 --format=%h)"
    local -x CARGO_TARGET_DIR=$target
    (
        cd "$from"
        quietly cargo build --release -p capi-sidecar
        cp "$CARGO_TARGET_DIR/release/capi" "$to/capi"
        cd pg_extension
        quietly cargo pgrx package --pg-config "$PG_CONFIG" --out-dir "$to" --no-default-features --features "pg$PG_MAJOR"
    )
}

setup_machine
trap finish EXIT
git worktree remove --force "$tree" 2>/dev/null || rm -rf "$tree"
git worktree prune
git worktree add --quiet --detach "$tree" "$BASE"
port=54340
for BENCH in "${folders[@]}"; do
    mkdir -p "$BENCH"
    copy_postgres
    case $BENCH in
        *-here) [ -n "${NO_BUILD:-}" ] || build "$ROOT" "$BENCH" "${CARGO_TARGET_DIR:-$ROOT/target}" ;;
        *)
            if [ "$(cat "$BENCH/commit" 2>/dev/null)" != "$BASE" ]; then
                build "$tree" "$BENCH" "$BENCH/target"
                echo "$BASE" >"$BENCH/commit"
            fi
            ;;
    esac
    rm -f "$BENCH/captured.copy" # of an earlier run
    PORT=$port NO_BUILD=1 start_cluster "shared_buffers = 1GB" "max_wal_size = 8GB" "checkpoint_timeout = 1d"
    port=$((port + 1))
done
trap finish EXIT
cd "$ROOT"
quietly cargo build --release -p capi-bench
say "measuring"
python3 bench/versions.py --pairs "${PAIRS:-10}" --orders "${ORDERS:-12000}" --events "${EVENTS:-50000}" \
    --tools "${CARGO_TARGET_DIR:-$ROOT/target}/release/capi-bench" \
    --version "here,${folders[0]},54340,$ROOT" --version "base,${folders[1]},54341,$tree"
