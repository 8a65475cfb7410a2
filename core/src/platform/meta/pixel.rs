//! Meta's pixel.
//!
//! Calls: the Meta Pixel reference; event id: `…/conversions-api/deduplicate-pixel-and-server-events`;
//! digests in `init`: `…/meta-pixel/advanced/advanced-matching`; all read 2026-11-24. `trackSingle`
//! keeps the event from other pixels of the page, to whose owners the customer may have said no.

use serde_json::{Value, json};

use crate::event::Event;
use crate::pixel::half::{Half, Silent};
use crate::pixel::script::Call;
use crate::pixel::tag::Tag;
use crate::platform::meta;

/// Queues calls until the vendor's script takes them.
const STUB: &str = "if(!w.fbq){var f=function(){f.callMethod?f.callMethod.apply(f,arguments):\
    f.queue.push(arguments)};f.queue=[];f.push=f;f.loaded=true;f.version=\"2.0\";w.fbq=w._fbq=f}";

const LOADER: &str = "https://connect.facebook.net/en_US/fbevents.js";

/// Facts that stay on the server: what an order earns is not the customer's to read, and nobody
/// said that the shop's own properties are.
const SERVER_ONLY: &[&str] = &[
    "net_revenue",
    "predicted_ltv",
    "item_number",
    "store_data",
    "event_source",
    "lead_event_source",
];

pub(crate) fn half(event: &Event, tag: &Tag) -> Result<Half, Silent> {
    let page = meta::page_half(event, &tag.settings)?;
    let mut data = page.custom_data;
    data.retain(|key, _| crate::field::find(key).is_some() && !SERVER_ONLY.contains(&key.as_str()));
    let id = || Value::from(tag.id.as_str());
    let mut calls = Vec::new();
    if let Some(arguments) = page.data_processing {
        let arguments = std::iter::once("dataProcessingOptions".into()).chain(arguments);
        calls.push(Call::new("fbq", arguments.collect()));
    }
    calls.push(Call::new("fbq", vec!["init".into(), id(), Value::Object(page.user_data)]));
    let standard = meta::STANDARD_EVENTS.contains(&event.event_name.as_str());
    calls.push(Call::new(
        "fbq",
        vec![
            if standard { "trackSingle" } else { "trackSingleCustom" }.into(),
            id(),
            event.event_name.as_str().into(),
            Value::Object(data),
            json!({"eventID": event.event_id}),
        ],
    ));
    Ok(Half { stub: STUB.to_owned(), loader: LOADER, query: None, base: Vec::new(), calls })
}
