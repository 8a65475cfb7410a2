//! What Google's tags share: `gtag.js`.
//!
//! Calls: the Google tag API reference; digests in `user_data`: "Set up enhanced conversions for
//! web using the Google tag"; read 2026-11-24. Consent mode is the page's own: a snippet exists
//! only where the customer has agreed, and says nothing of consent to Google.

use serde_json::{Map, Value, json};

use super::parts::{digest, object};
use super::script::Call;
use super::tag::Tag;
use crate::event::Event;

/// Queues calls until the vendor's script takes them.
pub(crate) const STUB: &str = "w.dataLayer=w.dataLayer||[];w.gtag=w.gtag||function(){\
    w.dataLayer.push(arguments)};w.gtag(\"js\",new Date);";

pub(crate) const LOADER: &str = "https://www.googletagmanager.com/gtag/js";

/// The part of the address that names the tag.
pub(crate) fn query(tag: &Tag) -> Option<String> {
    Some(format!("id={}", tag.id))
}

/// Makes the tag known, without a page view.
pub(crate) fn config(tag: &Tag) -> Call {
    let arguments = vec!["config".into(), tag.id.as_str().into(), json!({"send_page_view": false})];
    Call::new("gtag", arguments)
}

/// Who it was, as digests in a platform's form.
pub(crate) fn user_data(event: &Event, platform: &str) -> Option<Call> {
    let own = |identifier| digest(event, identifier, platform);
    let mut person: Map<String, Value> =
        object([("sha256_email_address", own("email")), ("sha256_phone_number", own("phone"))]);
    let name =
        object([("sha256_first_name", own("first_name")), ("sha256_last_name", own("last_name"))]);
    // Half a name is none to Google. The rest of an address it takes in clear only.
    if name.len() == 2 {
        person.insert("address".to_owned(), Value::Object(name));
    }
    let arguments = || vec!["set".into(), "user_data".into(), Value::Object(person.clone())];
    (!person.is_empty()).then(|| Call::new("gtag", arguments()))
}

/// The event.
pub(crate) fn event(name: &str, data: Map<String, Value>) -> Call {
    Call::new("gtag", vec!["event".into(), name.into(), Value::Object(data)])
}
