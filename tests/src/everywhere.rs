//! A shop that sells on every platform at once: one stand-in, and a destination and a credential for
//! each.

use capi_core::destination::CredentialSlot;
use capi_core::platform;
use capi_standin::Platform as Known;
use serde_json::{Value, json};

use crate::database::Database;
use crate::patience::eventually;
use crate::platform::{Platform, TOKEN};
use crate::sidecar::Sidecar;

/// Every platform in the order of the alphabet; its destination has its name, the credential that of the
/// destination in capitals.
pub fn platforms() -> Vec<&'static str> {
    let mut names = platform::platforms();
    names.sort_unstable();
    names
}

/// The platforms whose credential is exchanged for tokens.
pub fn with_tokens() -> Vec<&'static str> {
    platforms().into_iter().filter(|name| is_exchanged(name)).collect()
}

fn is_exchanged(platform: &str) -> bool {
    let spec = platform::spec(platform).expect("a known platform");
    matches!(spec.credential, CredentialSlot::OAuth(_))
}

/// In every credential that opens something, so that a leak shows.
pub const SECRET: &str = "s3cretThatOpensTheStandIn";

/// In every credential that opens nothing.
pub const WRONG: &str = "s3cretThatOpensNothing";

/// The shop, and who stands in for the platforms.
pub struct Everywhere {
    /// The database of the shop.
    pub shop: Database,
    /// All platforms.
    pub platform: Platform,
    places: Vec<&'static str>,
}

impl Everywhere {
    /// A shop whose purchases go to these platforms; nothing is sent yet.
    pub async fn on(platforms: &[&'static str]) -> Self {
        let accepted = platforms.iter().filter(|name| **name != "meta").map(|name| {
            let known = Known::parse(name).expect("a platform of the stand-in");
            (known, accepted(name).into())
        });
        let platform = Platform::with(accepted.collect()).await;
        let shop = Database::adopted().await;
        for name in platforms {
            let settings = settings(name, platform.endpoint());
            shop.run(&format!(
                "select capi.create_destination('{name}', '{name}', '{settings}', '{}')",
                credential_name(name)
            ))
            .await;
        }
        let list = platforms.join(",");
        shop.run(&format!(
            "select capi.track('shop.orders', conversions => 'shop.purchases', destinations => '{{{list}}}');
            select capi.resume(name) from unnest('{{{list}}}'::text[]) name"
        ))
        .await;
        Self { shop, platform, places: platforms.to_vec() }
    }

    /// Places this many orders of 10.00 EUR in one transaction, of somebody whom every platform knows.
    pub async fn buy(&self, orders: u32) {
        self.shop
            .run(&format!(
                r#"with who as (
                    insert into shop.customers (email, phone, first_name, last_name, zip, country, marketing_consent)
                    values ('erika.mustermann@example.com', '+49 30 23125 042', 'Erika', 'Mustermann', '10115', 'DE', true)
                    returning id
                )
                insert into shop.orders (customer_id, currency, total, checkout_url, status, paid_at, browser)
                select who.id, 'EUR', 10, 'https://shop.example.com/checkout', 'paid', clock_timestamp(),
                    '{{"ip": "203.0.113.7", "user_agent": "Mozilla/5.0", "ga_client_id": "1098115397.1789900000"}}'
                from who, generate_series(1, {orders})"#
            ))
            .await;
    }

    /// The credentials that open each platform, by name.
    pub fn credentials(&self) -> Vec<(String, String)> {
        let of = |name: &&'static str| {
            (credential_name(name), credential(name, SECRET, self.platform.endpoint()))
        };
        self.places.iter().map(of).collect()
    }

    /// Credentials of the right form that open none.
    pub fn wrong_credentials(&self) -> Vec<(String, String)> {
        let of = |name: &&'static str| {
            (credential_name(name), credential(name, WRONG, self.platform.endpoint()))
        };
        self.places.iter().map(of).collect()
    }

    /// A sidecar with these credentials. It stays awake, so that what is made due is done at once.
    pub fn sidecar(&self, credentials: &[(String, String)], more: &[(&str, &str)]) -> Sidecar {
        // Nothing here is about slow answers, and a busy machine gives some.
        let mut variables = vec![("CAPI_SLEEP_AFTER", "60000"), ("CAPI_REQUEST_TIMEOUT", "8")];
        variables.extend(credentials.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        variables.extend(more);
        Sidecar::start_with(&self.shop, &variables)
    }

    /// Makes questions after what was accepted due: nobody waits for half an hour.
    pub async fn ask_now(&self) {
        self.shop
            .run(
                "update capi.batch set due_at = now()
                where ticket is not null and state = 'ready' and due_at > now()",
            )
            .await;
    }

    /// Waits until every event has its receipt.
    pub async fn until_settled(&self, seconds: u64) {
        let open = "select count(*) || ' open: ' || coalesce(string_agg(distinct destination || ' ' || status
            || ' ' || coalesce(reason, '-'), ', '), '')
            from capi.delivery where status in ('pending', 'sending', 'retrying', 'accepted')";
        eventually("every event has its receipt", seconds, async || {
            self.ask_now().await;
            let seen = self.shop.get(open).await;
            if seen.starts_with("0 ") { Ok(()) } else { Err(seen) }
        })
        .await;
    }

    /// What the stand-in counted of a platform.
    pub fn count(&self, platform: &str, what: &str) -> i64 {
        self.platform.summary()["platforms"][platform][what].as_i64().unwrap_or_default()
    }

    /// Destination, status, reason and number of all deliveries.
    pub async fn deliveries(&self) -> Vec<String> {
        self.shop
            .column(
                "select format('%s %s %s %s', destination, status, coalesce(reason, '-'), count(*))
                from capi.delivery group by destination, status, reason order by destination, status",
            )
            .await
    }
}

/// Name of a platform's credential.
fn credential_name(platform: &str) -> String {
    format!("{}_KEY", platform.to_uppercase())
}

/// A credential in the platform's form that holds this word.
fn credential(platform: &str, word: &str, endpoint: &str) -> String {
    let place = match platform {
        "google_ads" => "token",
        "linkedin" => "oauth/v2/accessToken",
        "meta" if word == SECRET => return TOKEN.to_owned(),
        _ => return format!("{word}-{platform}"),
    };
    json!({"client_id": "shop", "client_secret": format!("{word}-client"),
        "refresh_token": format!("{word}-refresh"), "token_uri": format!("{endpoint}/{place}")})
    .to_string()
}

/// What the stand-in takes. Who asks for tokens may call himself as he likes.
fn accepted(platform: &str) -> String {
    match is_exchanged(platform) {
        true => json!({"client_secret": format!("{SECRET}-client"),
            "refresh_token": format!("{SECRET}-refresh")})
        .to_string(),
        false => credential(platform, SECRET, ""),
    }
}

fn settings(platform: &str, endpoint: &str) -> Value {
    let mut settings = platform::sample(platform).expect("a known platform");
    let place = if platform == "webhook" { "/webhook/shop" } else { "" };
    settings["endpoint"] = json!(format!("{endpoint}{place}"));
    settings
}
