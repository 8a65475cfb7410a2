//! Google Analytics 4 in the browser.
//!
//! Events and items: "Recommended events", read 2026-11-24. Duplicates are dropped by
//! `transaction_id`, and of purchases alone: the server's copy of any other event would count
//! beside the browser's, so only a purchase is fired.

use crate::event::Event;
use crate::pixel::gtag::{self, LOADER, STUB};
use crate::pixel::half::{Half, Silent};
use crate::pixel::parts::{currency, items, object, value};
use crate::pixel::tag::Tag;
use crate::platform::ga4;

const ITEM: &[(&str, &str)] = &[
    ("item_id", "id"),
    ("item_name", "title"),
    ("item_brand", "brand"),
    ("item_category", "category"),
    ("quantity", "quantity"),
    ("price", "item_price"),
];

pub(crate) fn half(event: &Event, tag: &Tag) -> Result<Half, Silent> {
    if ga4::wire_name(event) != "purchase" {
        return Err("only_purchases_are_deduplicated");
    }
    let data = object([
        ("send_to", Some(tag.id.as_str().into())),
        ("transaction_id", Some(ga4::transaction_id(event).into())),
        ("value", value(event)),
        ("currency", currency(event)),
        ("items", items(event, ITEM)),
        // A parameter of our own: it lets the two halves be compared in an export.
        ("event_id", Some(event.event_id.as_str().into())),
    ]);
    let calls = gtag::user_data(event, "ga4").into_iter().chain([gtag::event("purchase", data)]);
    Ok(Half {
        stub: STUB.to_owned(),
        loader: LOADER,
        query: gtag::query(tag),
        base: vec![gtag::config(tag)],
        calls: calls.collect(),
    })
}
