#!/usr/bin/env bash
# Posts events that Meta's own SDK builds to the local stand-in: what the SDK builds is taken, what
# is known to be wrong is refused with the documented codes. CAPI_BIN may name a built capi.
. "$(dirname "$0")/setup.sh"
setup_machine
[ -x "${CAPI_BIN:-}" ] || build_sidecar
find_python || die "a python3 with pip is missing: install one, or set PYTHON to it."

# Into a folder of its own: no environment of the system is touched. Some packages are compiled for
# one version of Python.
python_version=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
wanted=$(cksum <tests/sdk/requirements.txt | cut -d ' ' -f 1)
packages=${CARGO_TARGET_DIR:-$ROOT/target}/sdk/py$python_version-$wanted
install_packages() {
    "$PYTHON" -m pip install --disable-pip-version-check --no-warn-script-location --no-user \
        --target "$packages.part" --requirement tests/sdk/requirements.txt "$@"
}
if [ ! -d "$packages" ]; then
    say "installing Meta's SDK for Python $python_version"
    rm -rf "$packages.part"
    # Some distributions guard even a folder of one's own (PEP 668). By variable, not by flag: an
    # older pip would stumble over the flag.
    install_packages >/dev/null 2>&1 || {
        rm -rf "$packages.part"
        PIP_BREAK_SYSTEM_PACKAGES=1 quietly install_packages
    }
    mv "$packages.part" "$packages"
fi

say "events of Meta's SDK against the stand-in"
log=$(mktemp)
export SDK_TOKEN=sdk-token-that-opens-nothing
"$CAPI_BIN" fake --listen 127.0.0.1:0 --token-env SDK_TOKEN >"$log" 2>&1 </dev/null &
fake=$!
trap 'kill $fake 2>/dev/null; rm -f "$log"' EXIT
for _ in $(seq 100); do
    address=$(sed -n 's/^listening on //p' "$log")
    [ -z "$address" ] || break
    kill -0 $fake 2>/dev/null || die "the stand-in did not start: $(cat "$log")"
    sleep 0.1
done
[ -n "$address" ] || die "the stand-in does not listen: $(cat "$log")"
NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$packages \
    "$PYTHON" tests/sdk/events.py "$address" "$SDK_TOKEN"
