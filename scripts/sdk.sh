#!/usr/bin/env bash
# Posts events that Meta's own SDK builds to the local stand-in: what the SDK builds is taken, what
# is known to be wrong is refused with the documented codes. STANDIN_BIN may name a built capi-standin.
. "$(dirname "$0")/setup.sh"
setup_machine
[ -x "${STANDIN_BIN:-}" ] || build_standin
python_packages sdk

say "events of Meta's SDK against the stand-in"
log=$(mktemp)
export SDK_TOKEN=sdk-token-that-opens-nothing
"$STANDIN_BIN" --listen 127.0.0.1:0 --token-env SDK_TOKEN >"$log" 2>&1 </dev/null &
standin=$!
trap 'kill $standin 2>/dev/null; rm -f "$log"' EXIT
for _ in $(seq 100); do
    address=$(sed -n 's/^listening on //p' "$log")
    [ -z "$address" ] || break
    kill -0 $standin 2>/dev/null || die "the stand-in did not start: $(cat "$log")"
    sleep 0.1
done
[ -n "$address" ] || die "the stand-in does not listen: $(cat "$log")"
NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 "$PYTHON" tests/sdk/events.py "$address" "$SDK_TOKEN"
