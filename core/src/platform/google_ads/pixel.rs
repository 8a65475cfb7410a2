//! Google Ads in the browser: a conversion with its label.
//!
//! `send_to` and `transaction_id`: "Use a transaction ID to minimize duplicate conversions", read
//! 2026-11-24. The setting `tag` has the id (`AW-…`) and, per event name, the label.

use crate::event::Event;
use crate::pixel::gtag::{self, LOADER, STUB};
use crate::pixel::half::{Half, Silent};
use crate::pixel::parts::{currency, object, transaction_id, value};
use crate::pixel::tag::Tag;

pub(crate) fn half(event: &Event, tag: &Tag) -> Result<Half, Silent> {
    let label = tag.event(&event.event_name).ok_or("unmapped_event")?;
    let data = object([
        ("send_to", Some(format!("{}/{label}", tag.id).into())),
        ("transaction_id", transaction_id(event)),
        ("value", value(event)),
        ("currency", currency(event)),
    ]);
    let person = gtag::user_data(event, "google_ads");
    Ok(Half {
        stub: STUB.to_owned(),
        loader: LOADER,
        query: gtag::query(tag),
        base: vec![gtag::config(tag)],
        calls: person.into_iter().chain([gtag::event("conversion", data)]).collect(),
    })
}
