//! Snapchat's pixel.
//!
//! `client_dedup_id`, which the server's `event_id` must equal: Snap's "Best practices" of the
//! Conversions API; events and `user_hashed_…`: Snap's "Snap Pixel" pages; read 2026-11-24.

use serde_json::Value;

use crate::event::Event;
use crate::pixel::half::{Half, Silent};
use crate::pixel::parts::{currency, digest, item_ids, object, quantity, text, value};
use crate::pixel::script::Call;
use crate::pixel::tag::Tag;
use crate::platform::snapchat;

const STUB: &str = "if(!w.snaptr){var f=w.snaptr=function(){f.handleRequest?\
    f.handleRequest.apply(f,arguments):f.queue.push(arguments)};f.queue=[]}";

const LOADER: &str = "https://sc-static.net/scevent.min.js";

pub(crate) fn half(event: &Event, tag: &Tag) -> Result<Half, Silent> {
    let name = event.event_name.as_str();
    // Snap has no lead, for one: the settings `events` or `tag` may name one of its own.
    let name = tag.event(name).or_else(|| snapchat::name(name)).ok_or("unmapped_event")?;
    let own = |identifier| digest(event, identifier, "snapchat");
    let person =
        object([("user_hashed_email", own("email")), ("user_hashed_phone_number", own("phone"))]);
    let data = object([
        ("client_dedup_id", Some(event.event_id.as_str().into())),
        ("price", value(event)),
        ("currency", currency(event)),
        ("transaction_id", text(event, "order_id")),
        ("item_ids", item_ids(event)),
        ("number_items", quantity(event)),
        ("search_string", text(event, "search_string")),
    ]);
    let init = vec!["init".into(), tag.id.as_str().into(), Value::Object(person)];
    let track = vec!["track".into(), name.into(), Value::Object(data)];
    let calls = vec![Call::new("snaptr", init), Call::new("snaptr", track)];
    Ok(Half { stub: STUB.to_owned(), loader: LOADER, query: None, base: Vec::new(), calls })
}
