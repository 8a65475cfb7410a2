# Sourced by the other scripts: makes a machine able to build and run the project. Idempotent.
# Debian and Ubuntu by their packages; elsewhere it says what is missing.

set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PGRX_VERSION=0.18.1
STARTED=$SECONDS

say() { printf '\033[1m[%3ds]\033[0m %s\n' $((SECONDS - STARTED)) "$*" >&2; }
die() { printf '\n%s\n' "$*" >&2; exit 1; }

# Runs a command as root, by sudo where needed.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Postgres refuses to run as root: its own user then does.
as_postgres() {
    if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

# Runs a command quietly and shows what it said only if it fails.
quietly() {
    local log
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1; then
        tail -n 60 "$log" >&2
        rm -f "$log"
        die "failed: $*"
    fi
    rm -f "$log"
}

# Sets PYTHON to one that has pip. The first in PATH may have none, the system's own may.
find_python() {
    for PYTHON in ${PYTHON:-} python3 /usr/bin/python3; do
        if "$PYTHON" -m pip --version >/dev/null 2>&1; then return; fi
    done
    return 1
}

# Installs the packages of tests/python/NAME.txt into a folder of their own, once per change of that
# file: no environment of the system is touched. Sets PYTHON and PYTHONPATH.
python_packages() {
    local name=$1 list=$ROOT/tests/python/$1.txt version folder
    find_python || die "a python3 with pip is missing: install one, or set PYTHON to it."
    # Some packages are compiled for one version of Python.
    version=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    folder=${CARGO_TARGET_DIR:-$ROOT/target}/python/$name-$version-$(cksum <"$list" | cut -d ' ' -f 1)
    if [ ! -d "$folder" ]; then
        say "installing Python packages: $name"
        local install=("$PYTHON" -m pip install --disable-pip-version-check --no-warn-script-location
            --no-user --target "$folder.part" --requirement "$list")
        rm -rf "$folder.part"
        # Some distributions guard even a folder of one's own (PEP 668). By variable, not by flag: an
        # older pip would stumble over the flag.
        "${install[@]}" >/dev/null 2>&1 || {
            rm -rf "$folder.part"
            PIP_BREAK_SYSTEM_PACKAGES=1 quietly "${install[@]}"
        }
        mv "$folder.part" "$folder"
    fi
    export PYTHON PYTHONPATH=$folder PYTHONDONTWRITEBYTECODE=1
}

setup_packages() {
    local missing=() version
    command -v curl >/dev/null || missing+=(curl)
    command -v cc >/dev/null || missing+=(build-essential)
    command -v sudo >/dev/null || missing+=(sudo) # cargo-pgrx asks for it
    find_python || missing+=(python3-pip) # for scripts/sdk.sh and scripts/phones.sh
    ls /usr/lib/llvm-*/lib/libclang*.so* >/dev/null 2>&1 || missing+=(libclang-dev)
    if [ -n "${PG_CONFIG:-}" ] && [ ! -f "$("$PG_CONFIG" --includedir-server)/postgres.h" ]; then
        die "PG_CONFIG names $PG_CONFIG, whose server headers are missing."
    fi
    PG_CONFIG=${PG_CONFIG:-$(command -v pg_config || true)}
    if [ -z "$PG_CONFIG" ] || [ ! -x "$("$PG_CONFIG" --bindir)/postgres" ] \
        || [ ! -f "$("$PG_CONFIG" --includedir-server)/postgres.h" ]; then
        command -v apt-get >/dev/null || die "Postgres 15 or newer with its server headers is missing. Install it and
set PG_CONFIG to its pg_config."
        apt-cache show postgresql >/dev/null 2>&1 || quietly as_root apt-get update
        version=$(apt-cache depends postgresql | sed -n 's/.*Depends: postgresql-\([0-9]*\)$/\1/p' | head -1)
        missing+=("postgresql-$version" "postgresql-server-dev-$version")
        PG_CONFIG=/usr/lib/postgresql/$version/bin/pg_config
    fi
    if [ ${#missing[@]} -gt 0 ]; then
        command -v apt-get >/dev/null || die "please install: ${missing[*]}"
        say "installing packages: ${missing[*]}"
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y "${missing[@]}" >/dev/null 2>&1 || {
            quietly as_root apt-get update
            quietly as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y "${missing[@]}"
        }
    fi
    export PG_CONFIG
    PG_BIN=$("$PG_CONFIG" --bindir)
    PG_MAJOR=$("$PG_CONFIG" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
    [ "$PG_MAJOR" -ge 15 ] || die "Postgres $PG_MAJOR is too old: 15 or newer is needed (PG_CONFIG names it)."
    export PG_BIN PG_MAJOR
}

# What only the tests need: a static analyser, where the server is the distribution's, a
# transaction pooler, of which our own runs with settings and a folder of its own, and a browser.
setup_test_packages() {
    local missing=()
    if [ ! -f "$("$PG_CONFIG" --sharedir)/extension/plpgsql_check.control" ]; then
        case $PG_CONFIG in
            /usr/bin/* | /usr/lib/postgresql/*) missing+=("postgresql-$PG_MAJOR-plpgsql-check") ;;
        esac
    fi
    if [ ! -x /usr/sbin/pgbouncer ] && ! command -v pgbouncer >/dev/null; then missing+=(pgbouncer); fi
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
        || missing+=(chromium)
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || die "please install: ${missing[*]}"
    say "installing packages: ${missing[*]}"
    local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}")
    as_root "${install[@]}" >/dev/null 2>&1 || {
        quietly as_root apt-get update
        quietly as_root "${install[@]}"
    }
}

setup_rust() {
    [ -f "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"
    command -v cargo >/dev/null || die "Rust is missing. Install it from https://rustup.rs and try again."
    if [ "$(cargo pgrx --version 2>/dev/null | awk '{print $2}')" != "$PGRX_VERSION" ]; then
        say "installing cargo-pgrx $PGRX_VERSION: about 5 minutes, once per machine"
        quietly cargo install --locked cargo-pgrx --version "$PGRX_VERSION"
    fi
    if ! grep -qs "^pg$PG_MAJOR = \"$PG_CONFIG\"" "${PGRX_HOME:-$HOME/.pgrx}/config.toml"; then
        quietly cargo pgrx init "--pg$PG_MAJOR" "$PG_CONFIG"
    fi
}

setup_machine() {
    setup_packages
    setup_rust
    cd "$ROOT"
}

# Builds and installs the extension into the Postgres of PG_CONFIG. A library that is loaded
# somewhere must not be overwritten in place, so the old one is unlinked first.
install_extension() {
    local sudo=() library
    say "building the extension for Postgres $PG_MAJOR (minutes the first time, seconds later)"
    library=$("$PG_CONFIG" --pkglibdir)/pg_capi.so
    if [ -w "$(dirname "$library")" ]; then
        rm -f "$library"
    else
        sudo=(--sudo)
        as_root rm -f "$library"
    fi
    (cd pg_extension && quietly cargo pgrx install --release --pg-config "$PG_CONFIG" \
        --no-default-features --features "pg$PG_MAJOR" "${sudo[@]}")
}

build_sidecar() {
    say "building the sidecar"
    quietly cargo build --release -p capi-sidecar
    CAPI_BIN=${CARGO_TARGET_DIR:-$ROOT/target}/release/capi
    export CAPI_BIN
}

# The stand-in for the platforms, which tests and demos send to.
build_standin() {
    say "building the stand-in for the platforms"
    quietly cargo build --release -p capi-standin
    STANDIN_BIN=${CARGO_TARGET_DIR:-$ROOT/target}/release/capi-standin
    export STANDIN_BIN
}
