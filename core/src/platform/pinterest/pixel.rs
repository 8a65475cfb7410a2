//! Pinterest's tag.
//!
//! Events, `event_id` and `line_items`: Pinterest's help page "Event code"; `em` as a digest:
//! "Enhanced match"; read 2026-11-24. The setting `tag` has the id.

use serde_json::Value;

use crate::event::Event;
use crate::pixel::half::{Half, Silent};
use crate::pixel::parts::{currency, digest, items, listed, object, quantity, text, value};
use crate::pixel::script::Call;
use crate::pixel::tag::Tag;
use crate::platform::pinterest;

const STUB: &str = "if(!w.pintrk){var f=w.pintrk=function(){f.queue.push(\
    Array.prototype.slice.call(arguments))};f.queue=[];f.version=\"3.0\"}";

const LOADER: &str = "https://s.pinimg.com/ct/core.js";

/// The server's names and the tag's, which has fewer. Names of the shop's own are `custom`.
const NAMES: &[(&str, &str)] = &[
    ("checkout", "checkout"),
    ("add_to_cart", "addtocart"),
    ("lead", "lead"),
    ("signup", "signup"),
    ("search", "search"),
    ("page_visit", "pagevisit"),
    ("view_category", "viewcategory"),
    ("watch_video", "watchvideo"),
    ("custom", "custom"),
];

const ITEM: &[(&str, &str)] = &[
    ("product_id", "id"),
    ("product_name", "title"),
    ("product_brand", "brand"),
    ("product_category", "category"),
    ("product_quantity", "quantity"),
    ("product_price", "item_price"),
];

pub(crate) fn half(event: &Event, tag: &Tag) -> Result<Half, Silent> {
    let name = event.event_name.as_str();
    let name = tag.event(name).or_else(|| listed(NAMES, pinterest::name(name)));
    let name = name.ok_or("unmapped_event")?;
    let own = |identifier| digest(event, identifier, "pinterest");
    let person = object([("em", own("email")), ("external_id", own("external_id"))]);
    let data = object([
        ("event_id", Some(event.event_id.as_str().into())),
        ("value", value(event)),
        ("currency", currency(event)),
        ("order_id", text(event, "order_id")),
        ("order_quantity", quantity(event)),
        ("line_items", items(event, ITEM)),
        ("search_query", text(event, "search_string")),
    ]);
    let mut calls = Vec::new();
    if !person.is_empty() {
        calls.push(Call::new("pintrk", vec!["set".into(), Value::Object(person)]));
    }
    calls.push(Call::new("pintrk", vec!["track".into(), name.into(), Value::Object(data)]));
    let base = vec![Call::new("pintrk", vec!["load".into(), tag.id.as_str().into()])];
    Ok(Half { stub: STUB.to_owned(), loader: LOADER, query: None, base, calls })
}
