//! What it was about: `custom_data`.
//!
//! `…/conversions-api/parameters/custom-data`, read 2026-09-12. `item_number` and `store_data` are
//! of the "Offline events" page, `event_source` and `lead_event_source` of the guide for CRMs, both
//! read the same day. Shapes were checked at capture; what an older extension captured is checked
//! for its type once more, since one wrong type refuses the whole request.

use serde_json::{Map, Value};

use crate::event::Event;
use crate::field;

/// Facts that go as text, under their own name.
const TEXTS: &[&str] = &[
    "order_id",
    "content_name",
    "content_category",
    "search_string",
    "status",
    "delivery_category",
    "item_number",
    "event_source",
    "lead_event_source",
];

/// Facts that go as number.
const NUMBERS: &[&str] = &["predicted_ltv", "net_revenue"];

/// What `contents` and `content_ids` may be about.
const CONTENT_TYPES: &[&str] = &["product", "product_group"];

/// Keys of one entry of `contents` that are text; the rest of an item stays here. `title` and what
/// follows it are of `content.py`, facebook-python-business-sdk at 94914f9, 2026-06-24.
const ITEM_TEXTS: &[&str] =
    &["id", "delivery_category", "title", "description", "brand", "category"];

/// Keys of one entry that are numbers; `price` is of the "Offline events" page.
const ITEM_NUMBERS: &[&str] = &["item_price", "price"];

/// The object of an event; empty when there is nothing to say.
pub(super) fn custom_data(event: &Event) -> Map<String, Value> {
    let mut data = Map::new();
    if let Some(value) = &event.value {
        data.insert("value".to_owned(), Value::Number(value.to_json()));
    }
    if let Some(currency) = &event.currency {
        data.insert("currency".to_owned(), currency.as_str().into());
    }
    take(&event.facts.0, TEXTS, Value::is_string, &mut data);
    take(&event.facts.0, NUMBERS, Value::is_number, &mut data);
    take(&event.facts.0, &["num_items"], Value::is_u64, &mut data);
    let is_type = |value: &Value| value.as_str().is_some_and(|t| CONTENT_TYPES.contains(&t));
    take(&event.facts.0, &["content_type"], is_type, &mut data);
    take(&event.facts.0, &["store_data"], Value::is_object, &mut data);
    let array = |field| event.facts.get(field).and_then(Value::as_array).into_iter().flatten();
    let ids: Vec<Value> = array("content_ids").filter_map(text).collect();
    if !ids.is_empty() {
        data.insert("content_ids".to_owned(), Value::Array(ids));
    }
    let items: Vec<Value> = array("contents").filter_map(item).collect();
    if !items.is_empty() {
        data.insert("contents".to_owned(), Value::Array(items));
    }
    // A clash with a standard key keeps the standard one, present or not: a custom `value` must
    // not stand in for the amount.
    let custom = event.facts.get("custom").and_then(Value::as_object);
    for (key, value) in custom.into_iter().flatten() {
        if field::find(key).is_none() {
            data.insert(key.clone(), value.clone());
        }
    }
    data
}

fn take(
    from: &Map<String, Value>,
    keys: &[&str],
    fits: impl Fn(&Value) -> bool,
    to: &mut Map<String, Value>,
) {
    for key in keys {
        if let Some(value) = from.get(*key).filter(|value| fits(value)) {
            to.insert((*key).to_owned(), value.clone());
        }
    }
}

/// A text, or a number as text: product ids are text to Meta.
fn text(value: &Value) -> Option<Value> {
    match value {
        Value::String(_) => Some(value.clone()),
        Value::Number(number) => Some(number.to_string().into()),
        _ => None,
    }
}

/// An item with what Meta knows of an item; one without id is no item to Meta.
fn item(value: &Value) -> Option<Value> {
    let given = value.as_object()?;
    let id = text(given.get("id")?)?;
    let mut item = Map::from_iter([("id".to_owned(), id)]);
    take(given, &ITEM_TEXTS[1..], Value::is_string, &mut item);
    take(given, &["quantity"], Value::is_u64, &mut item);
    take(given, ITEM_NUMBERS, Value::is_number, &mut item);
    Some(Value::Object(item))
}
