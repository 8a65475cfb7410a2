//! Reddit's pixel.
//!
//! `conversionId`, metadata and digests in `init`: Reddit's pages "Event metadata" and "Manual
//! advanced matching" of the Reddit pixel, read 2026-11-24.

use serde_json::Value;

use crate::event::Event;
use crate::pixel::half::{Half, Silent};
use crate::pixel::parts::{currency, digest, items, listed, object, quantity, value};
use crate::pixel::script::Call;
use crate::pixel::tag::Tag;
use crate::platform::reddit;

const STUB: &str = "if(!w.rdt){var f=w.rdt=function(){f.sendEvent?f.sendEvent.apply(f,arguments):\
    f.callQueue.push(arguments)};f.callQueue=[]}";

const LOADER: &str = "https://www.redditstatic.com/ads/pixel.js";

/// The server's names and the pixel's. Everything else is an event of the shop's own.
const NAMES: &[(&str, &str)] = &[
    ("PURCHASE", "Purchase"),
    ("LEAD", "Lead"),
    ("ADD_TO_CART", "AddToCart"),
    ("ADD_TO_WISHLIST", "AddToWishlist"),
    ("VIEW_CONTENT", "ViewContent"),
    ("SIGN_UP", "SignUp"),
    ("SEARCH", "Search"),
    ("PAGE_VISIT", "PageVisit"),
];

const ITEM: &[(&str, &str)] = &[("id", "id"), ("name", "title"), ("category", "category")];

pub(crate) fn half(event: &Event, tag: &Tag) -> Result<Half, Silent> {
    let own = |identifier| digest(event, identifier, "reddit");
    let person = object([
        ("email", own("email")),
        ("phoneNumber", own("phone")),
        ("externalId", own("external_id")),
        // Amounts are in major units.
        ("useDecimalCurrencyValues", Some(true.into())),
    ]);
    let name = event.event_name.as_str();
    let name = tag.event(name).or_else(|| listed(NAMES, reddit::name(name)?));
    let own_name = name.is_none().then(|| event.event_name.as_str().into());
    let data = object([
        ("conversionId", Some(event.event_id.as_str().into())),
        ("value", value(event)),
        ("currency", currency(event)),
        ("itemCount", quantity(event)),
        ("products", items(event, ITEM)),
        ("customEventName", own_name),
    ]);
    let init = vec!["init".into(), tag.id.as_str().into(), Value::Object(person)];
    let track = vec!["track".into(), name.unwrap_or("Custom").into(), Value::Object(data)];
    let calls = vec![Call::new("rdt", init), Call::new("rdt", track)];
    Ok(Half { stub: STUB.to_owned(), loader: LOADER, query: None, base: Vec::new(), calls })
}
