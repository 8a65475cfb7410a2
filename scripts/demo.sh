#!/usr/bin/env bash
# The whole product on one machine: a private Postgres, the extension, the example shop, the
# sidecar and a local stand-in for Meta. Orders are placed while the sidecar runs; at the end the
# shop's tables, the outbox and what the stand-in received must agree, per currency.
#
# PLATFORMS=all, or a list such as meta,tiktok, sends every order to each of these platforms and
# ends with a line for each. `--installed` builds nothing; DEMO_DIR is another folder to run in.
. "$(dirname "$0")/setup.sh"
. "$(dirname "$0")/demo_platforms.sh"

ORDERS=${ORDERS:-1200}
KEEP=${KEEP:-}
PLATFORMS=${PLATFORMS:-}
HERE=${DEMO_DIR:-$ROOT/.demo}
PORT=${DEMO_PORT:-54329}
STANDIN=127.0.0.1:${DEMO_STANDIN_PORT:-8790}

# The postgres user must reach the folder; below a private home directory it cannot.
place_folder() {
    mkdir -p "$HERE"
    if [ "$(id -u)" = 0 ] && ! as_postgres test -x "$HERE"; then
        # The name is remembered, and nobody else can have made the folder.
        if [ ! -f "$HERE/place" ]; then mktemp -d /var/tmp/pg_capi-demo.XXXXXX >"$HERE/place"; fi
        HERE=$(cat "$HERE/place")
        say "user postgres cannot enter the checkout: using $HERE"
    fi
    # Nobody else: who reaches the socket is superuser there.
    chmod 700 "$HERE"
    if [ "$(id -u)" = 0 ]; then chown postgres "$HERE"; fi
}

stop_all() {
    local name pid
    for name in sidecar standin; do
        if [ -f "$HERE/$name.pid" ]; then
            pid=$(cat "$HERE/$name.pid")
            # The number may be another program's by now.
            if readlink "/proc/$pid/exe" | grep -q '/capi\( (deleted)\)\?$'; then
                kill "$pid" 2>/dev/null || true
                for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
            fi
            rm -f "$HERE/$name.pid"
        fi
    done
    if [ -f "$HERE/data/postmaster.pid" ]; then
        as_postgres "$PG_BIN/pg_ctl" -D "$HERE/data" -m fast -w stop >/dev/null 2>&1 || true
    fi
}

sql() { psql -X -q -v ON_ERROR_STOP=1 "$@"; }

# Waits until a command succeeds, or gives up with a message.
until_true() {
    local seconds=$1 what=$2 deadline=$((SECONDS + $1))
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt "$deadline" ] || die "gave up after $seconds seconds waiting until $what"
        sleep 0.1
    done
}

choose_platforms
setup_machine
place_folder
export PGHOST=$HERE PGPORT=$PORT PGUSER=postgres PGDATABASE=shop PATH="$PG_BIN:$PATH"
if [ "${1:-}" = stop ]; then
    stop_all
    say "stopped"
    exit 0
fi
stop_all
trap 'stop_all' EXIT
if [ "${1:-}" = --installed ]; then
    CAPI_BIN=${CARGO_TARGET_DIR:-$ROOT/target}/release/capi
    STANDIN_BIN=${CARGO_TARGET_DIR:-$ROOT/target}/release/capi-standin
else
    install_extension
    build_sidecar
    build_standin
fi

say "starting a private Postgres $PG_MAJOR in ${HERE#"$ROOT"/}"
rm -rf "$HERE/data"
quietly as_postgres "$PG_BIN/initdb" -D "$HERE/data" -A trust -U postgres -E UTF8 --locale=C.UTF-8
as_postgres tee -a "$HERE/data/postgresql.conf" >/dev/null <<CONF
port = $PORT
unix_socket_directories = '$HERE'
listen_addresses = ''
unix_socket_permissions = 0700
max_prepared_transactions = 10
CONF
quietly as_postgres "$PG_BIN/pg_ctl" -D "$HERE/data" -l "$HERE/postgres.log" -w start
createdb -w shop --maintenance-db=postgres

say "the shop: tables, products, conversion views; no order yet"
sql -v orders=0 -f sql/examples/shop.sql >/dev/null

if [ -n "$CHOSEN" ]; then
    make_credentials
    read -ra options <<<"$(credential_options)"
else
    export META_TOKEN=demo-$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')
    options=(--token-env META_TOKEN)
fi
nohup "$STANDIN_BIN" --listen "$STANDIN" --pixel 1234567890 "${options[@]}" >"$HERE/standin.log" 2>&1 </dev/null &
echo $! >"$HERE/standin.pid"
until_true 20 "the stand-in listens" grep '^listening on ' "$HERE/standin.log"
STANDIN=$(sed -n 's|^listening on http://||p' "$HERE/standin.log")
say "the stand-in for ${CHOSEN:-Meta} listens on $STANDIN"

say "the extension, destinations, and tracking of two views"
sql >/dev/null <<'SQL'
create extension pg_capi;
select capi.setup(instance => 'demo');
create role demo_sidecar login in role capi_sidecar;
create role demo_app login in role shop_app;
SQL
if [ -n "$CHOSEN" ]; then
    name_token_endpoints
    create_destinations
else
    sql >/dev/null <<SQL
select capi.create_destination('meta-eu', platform => 'meta', credential => 'META_TOKEN',
    settings => '{"pixel_id": "1234567890", "endpoint": "http://$STANDIN"}');
select capi.track('shop.orders', conversions => 'shop.purchases', destinations => '{meta-eu}');
select capi.track('shop.enquiries', conversions => 'shop.leads', destinations => '{meta-eu}');
select capi.resume('meta-eu');
SQL
fi

say "the sidecar"
export CAPI_DATABASE_URL="host=$HERE port=$PORT user=demo_sidecar dbname=shop" CAPI_INSTANCE=demo
# Which variables are credentials, and that they may go to the stand-in.
export CAPI_CREDENTIALS=META_TOKEN CAPI_ENDPOINTS=$STANDIN
[ -z "$CHOSEN" ] || CAPI_CREDENTIALS=$(credential_names)
"$CAPI_BIN" check
nohup "$CAPI_BIN" run >"$HERE/sidecar.log" 2>&1 </dev/null &
echo $! >"$HERE/sidecar.pid"

say "placing $ORDERS orders as the application does: pending, then paid, some never, some cancelled"
PGUSER=demo_app sql -c "call shop.trade($ORDERS, pause_ms => 4)" &
shop=$!
while kill -0 $shop 2>/dev/null; do
    sleep 2
    printf '       %s\n' "$(sql -At -c "select count(*) || ' orders, ' || count(*) filter (where paid_at is not null) || ' paid; '
        || (select count(*) from capi.receipt) || ' events settled' from shop.orders")" >&2
done
wait $shop

say "waiting until everything is settled"
settled() {
    [ -z "$CHOSEN" ] || ask_at_once
    [ "$(sql -At -c "select count(*) from capi.delivery where status in ('pending', 'sending', 'retrying', 'accepted')")" = 0 ]
}
until_true 180 "all events are settled" settled

say "some rows of capi.delivery"
sql -P pager=off -P border=2 -c "
    select source, key, event_name, value, currency, status, reason, request_id, dropped_fields
    from capi.delivery
    order by status <> 'delivered', dropped_fields = '{}', event limit 4" -c "
    select source, event_name, status, reason, count(*), count(*) filter (where possible_duplicate) as possible_doubles
    from capi.delivery group by 1, 2, 3, 4 order by 1, 2, 3, 4"
say "one request body, as the stand-in received it"
request=$(curl -sf "http://$STANDIN/_standin/events?limit=1")
sql -At -v request="$request" <<'SQL'
select jsonb_pretty(:'request'::jsonb -> 'events' -> 0 -> 'event');
SQL

if [ -n "$CHOSEN" ]; then
    show_platforms
else
    say "the books"
    curl -sf "http://$STANDIN/_standin/events?limit=200000" >"$HERE/received.json"
    curl -sf "http://$STANDIN/_standin/summary" >"$HERE/summary.json"
    RECEIVED=$HERE/received.json SUMMARY=$HERE/summary.json \
        sql -P pager=off -P border=2 -f scripts/books.sql >"$HERE/books.txt"
    sed '$d' "$HERE/books.txt"
fi
line=$(tail -n 1 "$HERE/books.txt")

if [ -n "$KEEP" ]; then
    trap - EXIT
    say "everything keeps running. Look around:
         export PGHOST=$HERE PGPORT=$PORT PGUSER=postgres PGDATABASE=shop
         psql -c 'select * from capi.delivery limit 5'
         psql -c 'call shop.trade(100)'                 more orders
         CAPI_DATABASE_URL='$CAPI_DATABASE_URL' $CAPI_BIN status
         curl -s http://$STANDIN/_standin/summary
         tail -f $HERE/sidecar.log
         make demo-stop                                 when you are done"
else
    stop_all
    trap - EXIT
fi
# The last line of all is the one for scripts.
status=0
grep -Eq '^(books|platforms): agree=yes' "$HERE/books.txt" || { echo 'the books do not agree' >&2; status=1; }
printf '%s\n' "$line"
exit $status
