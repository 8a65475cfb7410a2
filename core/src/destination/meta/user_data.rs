//! Who it was: `user_data`.
//!
//! `…/conversions-api/parameters/customer-information-parameters`, read 2026-09-12.

use serde_json::{Map, Value};

use super::SPEC;
use crate::event::{ActionSource, Event};

/// Identifiers that go as digests, with their key.
const DIGESTS: &[(&str, &str)] = &[
    ("email", "em"),
    ("phone", "ph"),
    ("first_name", "fn"),
    ("last_name", "ln"),
    ("date_of_birth", "db"),
    ("gender", "ge"),
    ("city", "ct"),
    ("state", "st"),
    ("zip", "zp"),
    ("country", "country"),
    ("external_id", "external_id"),
];

/// What goes in clear as text, under its own name.
const TEXTS: &[&str] = &[
    "client_ip_address",
    "client_user_agent",
    "fbc",
    "fbp",
    "subscription_id",
    "madid",
    "page_scoped_user_id",
    "ctwa_clid",
    "ig_sid",
];

/// The installation's id, which only an app has.
const APP_TEXTS: &[&str] = &["anon_id"];

/// Ids of the shop, which go beside those of the customer; the WhatsApp account is of
/// `…/conversions-api/business-messaging`, same day.
pub(super) const SHOP_TEXTS: &[&str] =
    &["page_id", "ig_account_id", "whatsapp_business_account_id"];

/// What goes in clear as a number, with its range. A malformed lead id refuses the whole request,
/// so only 15 to 17 digits pass.
const NUMBERS: &[(&str, std::ops::Range<u64>)] =
    &[("fb_login_id", 1..u64::MAX), ("lead_id", 100_000_000_000_000..100_000_000_000_000_000)];

/// Customer information that is too broad: an event with nothing outside one of these groups is
/// refused (subcode 2804050). `…/conversions-api/best-practices`, read 2026-09-12.
const TOO_BROAD: [&[&str]; 4] = [
    &["ct", "country", "st", "zp", "ge", "client_user_agent"],
    &["db", "client_user_agent"],
    &["fn", "ge"],
    &["ln", "ge"],
];

/// The digests of an event by their keys, as lists.
pub(super) fn digests(event: &Event) -> impl Iterator<Item = (&'static str, Value)> {
    DIGESTS.iter().filter_map(|(identifier, key)| {
        let digests = event.identity.digests(identifier, SPEC.platform);
        let list = || digests.iter().map(|digest| digest.as_str().into()).collect();
        (!digests.is_empty()).then(|| (*key, Value::Array(list())))
    })
}

/// The object of an event.
pub(super) fn user_data(event: &Event) -> Map<String, Value> {
    let digests = digests(event);
    let in_app = event.action_source == ActionSource::App;
    let app_texts = APP_TEXTS.iter().filter(|_| in_app);
    let texts = TEXTS
        .iter()
        .chain(app_texts)
        .chain(SHOP_TEXTS)
        .filter_map(|field| event.facts.text(field).map(|text| (*field, Value::from(text))));
    let numbers = NUMBERS.iter().filter_map(|(field, range)| {
        let number = whole_number(event, field).filter(|number| range.contains(number))?;
        Some((*field, Value::from(number)))
    });
    digests.chain(texts).chain(numbers).map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Why nobody could be found by these keys, if so. What is judged is what is sent, so an
/// identifier that normalising has dropped does not count, and an id of the shop is nobody's.
pub(super) fn too_broad(user_data: &Map<String, Value>) -> Option<&'static str> {
    let of_customer = |key: &&str| !SHOP_TEXTS.contains(key);
    let keys: Vec<&str> = user_data.keys().map(String::as_str).filter(of_customer).collect();
    if keys.is_empty() {
        return Some("missing_identity");
    }
    TOO_BROAD
        .iter()
        .any(|group| keys.iter().all(|key| group.contains(key)))
        .then_some("insufficient_identity")
}

/// A fact that is a whole number, whether it was stored as text or as number.
fn whole_number(event: &Event, field: &str) -> Option<u64> {
    match event.facts.get(field)? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}
