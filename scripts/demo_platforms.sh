# Sourced by demo.sh where PLATFORMS names platforms: a destination for each, its credential, and the
# books of all of them.

ALL_PLATFORMS='meta google_ads ga4 tiktok pinterest snapchat reddit linkedin webhook'

# Sets CHOSEN to the platforms that PLATFORMS names.
choose_platforms() {
    local one
    CHOSEN=${PLATFORMS//,/ }
    [ "$CHOSEN" != all ] || CHOSEN=$ALL_PLATFORMS
    for one in $CHOSEN; do
        case " $ALL_PLATFORMS " in
            *" $one "*) ;;
            *) die "PLATFORMS names $one: it must be all, or a list such as meta,tiktok of ${ALL_PLATFORMS// /, }." ;;
        esac
    done
}

# Name of the variable that holds a platform's credential.
credential_of() { echo "DEMO_$(tr '[:lower:]' '[:upper:]' <<<"$1")"; }

# Names of all credentials, as CAPI_CREDENTIALS takes them.
credential_names() {
    local one
    for one in $CHOSEN; do printf '%s ' "$(credential_of "$one")"; done
}

# Makes up the credentials. Google and LinkedIn take tokens that do not last, so theirs says how to get them.
make_credentials() {
    local one secret
    for one in $CHOSEN; do
        secret=demo-$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')
        case $one in
            google_ads | linkedin)
                secret='{"client_id": "demo", "client_secret": "'$secret'", "refresh_token": "'$secret'"}' ;;
        esac
        export "$(credential_of "$one")=$secret"
    done
}

# The options that tell the stand-in these credentials.
credential_options() {
    local one
    for one in $CHOSEN; do
        case $one in
            meta) printf '%s ' --token-env "$(credential_of meta)" ;;
            *) printf '%s ' --credential-env "$one=$(credential_of "$one")" ;;
        esac
    done
}

# Once the stand-in has its address, the credentials say where it gives tokens.
name_token_endpoints() {
    local one place variable
    for one in $CHOSEN; do
        case $one in
            google_ads) place=/token ;;
            linkedin) place=/oauth/v2/accessToken ;;
            *) continue ;;
        esac
        variable=$(credential_of "$one")
        export "$variable=${!variable%\}}, \"token_uri\": \"http://$STANDIN$place\"}"
    done
}

# One destination for each platform, and both views go to all of them.
create_destinations() {
    local one endpoint names=
    for one in $CHOSEN; do
        endpoint=http://$STANDIN
        [ "$one" != webhook ] || endpoint=$endpoint/webhook/demo
        names=$names${names:+,}demo-${one//_/-}
        sql -v name="demo-${one//_/-}" -v platform="$one" -v credential="$(credential_of "$one")" \
            -v endpoint="$endpoint" >/dev/null <<'SQL'
select capi.create_destination(:'name', platform => :'platform', credential => :'credential',
    settings => sample_settings || jsonb_build_object('endpoint', :'endpoint'))
from capi.platform where platform = :'platform';
SQL
    done
    sql -v names="{$names}" >/dev/null <<'SQL'
select capi.track('shop.orders', conversions => 'shop.purchases', destinations => :'names');
select capi.track('shop.enquiries', conversions => 'shop.leads', destinations => :'names');
select capi.resume(name) from unnest(:'names'::text[]) name;
SQL
}

# Google is asked half an hour after it has accepted events what became of them. Nobody waits for
# that here: the questions are made due at once, as often as it says that it is not done.
ask_at_once() {
    sql -c "update capi.batch set due_at = now() where ticket is not null and state = 'ready' and due_at > now()"
}

# Compares the books, platform by platform; the last line has the verdict.
show_platforms() {
    say "the books, platform by platform"
    curl -sf "http://$STANDIN/_standin/summary" >"$HERE/summary.json"
    SUMMARY=$HERE/summary.json sql -P pager=off -P border=2 -f scripts/platforms.sql >"$HERE/books.txt"
    sed '$d' "$HERE/books.txt"
}
