//! Who it was: `user_data`.
//!
//! `…/conversions-api/parameters/customer-information-parameters`, read 2026-09-12.

use serde::{Serialize, Serializer};

use super::words::NAME;
use crate::event::{ActionSource, Event};
use crate::hash::Digest;

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

/// What stands under a key.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Entry<'a> {
    /// Digests.
    Digests(&'a [Digest]),
    /// A text in clear.
    Text(&'a str),
    /// A number in clear.
    Number(u64),
}

/// The digests of an event by their keys, as lists.
pub(super) fn digests(event: &Event) -> impl Iterator<Item = (&'static str, &[Digest])> {
    DIGESTS.iter().filter_map(|(identifier, key)| {
        let digests = event.identity.digests(identifier, NAME);
        (!digests.is_empty()).then_some((*key, digests))
    })
}

/// The object of an event, as keys and what stands there.
fn entries(event: &Event) -> impl Iterator<Item = (&'static str, Entry<'_>)> {
    let digests = digests(event).map(|(key, digests)| (key, Entry::Digests(digests)));
    let in_app = event.action_source == ActionSource::App;
    let app_texts = APP_TEXTS.iter().filter(move |_| in_app);
    let texts = TEXTS
        .iter()
        .chain(app_texts)
        .chain(SHOP_TEXTS)
        .filter_map(|field| event.facts.text(field).map(|text| (*field, Entry::Text(text))));
    let numbers = NUMBERS.iter().filter_map(|(field, range)| {
        let number = whole_number(event, field).filter(|number| range.contains(number))?;
        Some((*field, Entry::Number(number)))
    });
    digests.chain(texts).chain(numbers)
}

/// The object of an event.
pub(super) struct UserData<'a>(pub(super) &'a Event);

impl Serialize for UserData<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(entries(self.0))
    }
}

/// Why nobody could be found by what an event says, if so. What is judged is what is sent, so an
/// identifier that normalising has dropped does not count, and an id of the shop is nobody's.
pub(super) fn too_broad(event: &Event) -> Option<&'static str> {
    let mut nobody = true;
    // The groups that hold all keys so far.
    let mut groups = [true; TOO_BROAD.len()];
    for (key, _) in entries(event).filter(|(key, _)| !SHOP_TEXTS.contains(key)) {
        nobody = false;
        for (holds, group) in groups.iter_mut().zip(TOO_BROAD) {
            *holds = *holds && group.contains(&key);
        }
        if groups == [false; TOO_BROAD.len()] {
            return None;
        }
    }
    Some(if nobody { "missing_identity" } else { "insufficient_identity" })
}

/// A fact that is a whole number, whether it was stored as text or as number.
fn whole_number(event: &Event, field: &str) -> Option<u64> {
    let fact = event.facts.json(field)?;
    fact.as_u64().or_else(|| fact.as_str()?.parse().ok())
}
