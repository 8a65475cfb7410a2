//! TikTok's pixel.
//!
//! Calls and the event id as third argument: TikTok's help pages "Standard events and parameters"
//! and "Event deduplication"; digests in `identify`: "Advanced matching for web"; read 2026-11-24.
//! TikTok asks for the phone with its `+` before hashing. `instance` keeps the event from other
//! pixels of the page.

use serde_json::{Value, json};

use crate::event::Event;
use crate::pixel::half::{Half, Silent};
use crate::pixel::parts::{currency, digest, items, object, text, value};
use crate::pixel::script::{Call, literal};
use crate::pixel::tag::Tag;
use crate::platform::tiktok;

/// Queues calls per pixel, in the arrays in which the vendor's script looks for them. The list is
/// that of the methods which pages may call.
const STUB: &str = "var n=[\"page\",\"track\",\"identify\",\"instances\",\"debug\",\"on\",\"off\",\
    \"once\",\"ready\",\"alias\",\"group\",\"enableCookie\",\"disableCookie\",\"holdConsent\",\
    \"revokeConsent\",\"grantConsent\"],t=w.ttq=w.ttq||[];w.TiktokAnalyticsObject=\"ttq\";\
    function q(a){n.forEach(function(m){a[m]=a[m]||function(){a.push([m].concat(\
    Array.prototype.slice.call(arguments)))}});return a}\
    if(!t.instance){q(t);t.methods=n;t._i=t._i||{};t._t=t._t||{};t._o=t._o||{};\
    t.instance=function(i){return q(t._i[i]=t._i[i]||[])}}";

const LOADER: &str = "https://analytics.tiktok.com/i18n/pixel/events.js";

const ITEM: &[(&str, &str)] = &[
    ("content_id", "id"),
    ("content_name", "title"),
    ("content_category", "category"),
    ("brand", "brand"),
    ("quantity", "quantity"),
    ("price", "item_price"),
];

pub(crate) fn half(event: &Event, tag: &Tag) -> Result<Half, Silent> {
    // A page view has a call of its own, which takes no event id.
    let name = tiktok::name(&event.event_name);
    if name == "Pageview" {
        return Err("unmapped_event");
    }
    let name = tag.event(&event.event_name).unwrap_or(name);
    let own = |identifier| digest(event, identifier, "tiktok");
    let person = object([
        ("email", own("email")),
        ("phone_number", own("phone")),
        ("external_id", own("external_id")),
    ]);
    let data = object([
        ("value", value(event)),
        ("currency", currency(event)),
        ("contents", items(event, ITEM)),
        ("content_type", text(event, "content_type")),
        ("order_id", text(event, "order_id")),
        ("query", text(event, "search_string")),
    ]);
    let mut id = String::new();
    literal(&tag.id.as_str().into(), &mut id);
    let mut calls = Vec::new();
    if !person.is_empty() {
        calls.push(Call::new("ttq.identify", vec![Value::Object(person)]));
    }
    let track = format!("ttq.instance({id}).track");
    let arguments = vec![name.into(), Value::Object(data), json!({"event_id": event.event_id})];
    calls.push(Call::new(track, arguments));
    // The vendor's script finds its pixels here.
    let stub = format!(
        "{STUB}t._i[{id}]=t._i[{id}]||[];t._i[{id}]._u=\"{LOADER}\";t._t[{id}]=+new Date;t._o[{id}]=t._o[{id}]||{{}};"
    );
    let query = Some(format!("sdkid={}&lib=ttq", tag.id));
    Ok(Half { stub, loader: LOADER, query, base: Vec::new(), calls })
}
