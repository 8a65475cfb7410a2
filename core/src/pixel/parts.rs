//! What every tag says of an event, each under names of its own.

use serde_json::{Map, Value};

use crate::event::Event;

/// An object of those that are there.
pub(crate) fn object<const N: usize>(pairs: [(&str, Option<Value>); N]) -> Map<String, Value> {
    pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

/// The amount, as exact as it is.
pub(crate) fn value(event: &Event) -> Option<Value> {
    event.value.as_ref().map(|amount| Value::Number(amount.to_json()))
}

/// The currency of the amount.
pub(crate) fn currency(event: &Event) -> Option<Value> {
    event.currency.map(|currency| currency.as_str().into())
}

/// A fact that is text.
pub(crate) fn text(event: &Event, field: &str) -> Option<Value> {
    event.facts.text(field).map(Value::from)
}

/// The order's number, or the event's id where the shop gives none: Google's platforms drop
/// duplicates by it.
pub(crate) fn transaction_id(event: &Event) -> Option<Value> {
    text(event, "order_id").or_else(|| Some(event.event_id.as_str().into()))
}

/// The first digest of an identifier in a platform's form: tags take one, the server all.
pub(crate) fn digest(event: &Event, identifier: &str, platform: &str) -> Option<Value> {
    event.identity.digests(identifier, platform).first().map(|digest| digest.as_str().into())
}

/// The items, each with the keys that a tag knows: (its own name, that of `contents`). An item
/// without id is none.
pub(crate) fn items(event: &Event, keys: &[(&str, &str)]) -> Option<Value> {
    let contents = event.facts.get("contents").and_then(Value::as_array)?;
    let item = |item: &Value| {
        item.get("id").filter(|id| id.is_string())?;
        let known = keys.iter().filter_map(|(name, key)| {
            let value = item.get(*key).filter(|value| value.is_string() || value.is_number())?;
            Some(((*name).to_owned(), value.clone()))
        });
        Some(Value::Object(known.collect()))
    };
    let items: Vec<Value> = contents.iter().filter_map(item).collect();
    (!items.is_empty()).then_some(Value::Array(items))
}

/// The ids of the items, from `contents` or else from `content_ids`.
pub(crate) fn item_ids(event: &Event) -> Option<Value> {
    let array = |field| event.facts.get(field).and_then(Value::as_array).into_iter().flatten();
    let mut ids: Vec<Value> =
        array("contents").filter_map(|item| item.get("id")).cloned().collect();
    if ids.is_empty() {
        ids = array("content_ids").cloned().collect();
    }
    ids.retain(Value::is_string);
    (!ids.is_empty()).then_some(Value::Array(ids))
}

/// How many things were bought: as the shop says, or as the items add up.
pub(crate) fn quantity(event: &Event) -> Option<Value> {
    let said = event.facts.get("num_items").filter(|value| value.is_u64()).cloned();
    said.or_else(|| {
        let contents = event.facts.get("contents").and_then(Value::as_array)?;
        let quantities = contents.iter().map(|item| item.get("quantity").and_then(Value::as_u64));
        quantities.sum::<Option<u64>>().map(Value::from)
    })
}

/// What a vendor calls an event, by its list.
pub(crate) fn listed<'a>(names: &[(&str, &'a str)], event_name: &str) -> Option<&'a str> {
    names.iter().find(|(name, _)| *name == event_name).map(|(_, listed)| *listed)
}
