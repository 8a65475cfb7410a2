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

# Installs the packages that a file names into a folder of their own below target/, which it puts
# into PYTHON_PACKAGES: no environment of the system is touched. Some packages are compiled for one
# version of Python.
install_python_packages() {
    local wanted=$1 name=$2 version sum
    version=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    sum=$(cksum <"$wanted" | cut -d ' ' -f 1)
    PYTHON_PACKAGES=${CARGO_TARGET_DIR:-$ROOT/target}/$name/py$version-$sum
    [ ! -d "$PYTHON_PACKAGES" ] || return 0
    say "installing the packages of $wanted for Python $version"
    pip_install() {
        rm -rf "$PYTHON_PACKAGES.part"
        "$PYTHON" -m pip install --disable-pip-version-check --no-warn-script-location --no-user \
            --target "$PYTHON_PACKAGES.part" --requirement "$wanted"
    }
    # Some distributions guard even a folder of one's own (PEP 668). By variable, not by flag: an
    # older pip would stumble over the flag.
    pip_install >/dev/null 2>&1 || PIP_BREAK_SYSTEM_PACKAGES=1 quietly pip_install
    mv "$PYTHON_PACKAGES.part" "$PYTHON_PACKAGES"
}

setup_packages() {
    local missing=() version
    command -v curl >/dev/null || missing+=(curl)
    command -v cc >/dev/null || missing+=(build-essential)
    command -v sudo >/dev/null || missing+=(sudo) # cargo-pgrx asks for it
    find_python || missing+=(python3-pip) # for scripts/sdk.sh and scripts/phones.sh
    ls /usr/lib/llvm-*/lib/libclang*.so* >/dev/null 2>&1 || missing+=(libclang-dev)
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
