//! Parts of an event as platforms ask for them: items, pages, who it was, and limits on its use.

use serde_json::{Map, Number, Value};

use crate::event::{Event, Identity};

/// Puts a value under its key, if there is one.
pub(crate) fn put<V: Into<Value>>(map: &mut Map<String, Value>, key: &str, value: Option<V>) {
    if let Some(value) = value {
        map.insert(key.to_owned(), value.into());
    }
}

/// Puts facts that are texts under the platform's own keys.
pub(crate) fn put_texts(map: &mut Map<String, Value>, event: &Event, keys: &[(&str, &str)]) {
    for (field, key) in keys {
        put(map, key, event.facts.text(field));
    }
}

/// Puts digests in the platform's form under its own keys, as arrays.
pub(crate) fn put_digests(
    map: &mut Map<String, Value>,
    identity: &Identity,
    platform: &str,
    keys: &[(&str, &str)],
) {
    for (identifier, key) in keys {
        let digests = identity.digests(identifier, platform).iter();
        let digests: Vec<Value> = digests.map(|digest| digest.as_str().into()).collect();
        put(map, key, (!digests.is_empty()).then_some(digests));
    }
}

/// The amount as a number that keeps its digits.
pub(crate) fn amount(event: &Event) -> Option<Value> {
    event.value.as_ref().map(|value| Value::Number(value.to_json()))
}

/// The amount as text.
pub(crate) fn amount_text(event: &Event) -> Option<&str> {
    event.value.as_ref().map(|value| value.as_str())
}

/// The currency, where there is an amount or no need of one.
pub(crate) fn currency(event: &Event) -> Option<&str> {
    event.currency.as_ref().map(|currency| currency.as_str())
}

/// The order's number, or else the event's id: what transactions are told apart by.
pub(crate) fn transaction_id(event: &Event) -> &str {
    event.facts.text("order_id").unwrap_or(&event.event_id)
}

/// An item that was bought; one without id is none.
pub(crate) struct Item<'a> {
    /// The product's id, as in the catalogue.
    pub(crate) id: String,
    /// How many.
    pub(crate) quantity: Option<u64>,
    /// The price of one.
    pub(crate) price: Option<&'a Number>,
    /// Its name.
    pub(crate) title: Option<&'a str>,
    /// Its brand.
    pub(crate) brand: Option<&'a str>,
    /// Its category.
    pub(crate) category: Option<&'a str>,
}

/// The items of an event, at most `limit`.
pub(crate) fn items(event: &Event, limit: usize) -> Vec<Item<'_>> {
    let contents = event.facts.get("contents").and_then(Value::as_array).into_iter().flatten();
    contents.filter_map(item).take(limit).collect()
}

fn item(given: &Value) -> Option<Item<'_>> {
    let text = |key: &str| given.get(key).and_then(Value::as_str);
    Some(Item {
        id: id(given.get("id")?)?,
        quantity: given.get("quantity").and_then(Value::as_u64),
        price: given.get("item_price").and_then(Value::as_number),
        title: text("title"),
        brand: text("brand"),
        category: text("category"),
    })
}

/// Ids of products that stand alone.
pub(crate) fn content_ids(event: &Event) -> Vec<Value> {
    let ids = event.facts.get("content_ids").and_then(Value::as_array).into_iter().flatten();
    ids.filter_map(id).map(Value::String).collect()
}

/// An id as text, written as text or as number.
fn id(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// How many pieces, as the view says.
pub(crate) fn num_items(event: &Event) -> Option<u64> {
    event.facts.get("num_items").and_then(Value::as_u64)
}

/// Whether the event may be used in a limited way only. What cannot be read limits, too.
pub(crate) fn is_limited(event: &Event) -> bool {
    let off = |options: &Value| options.is_null() || *options == Value::Array(Vec::new());
    let ldu = event.facts.get("data_processing_options").is_some_and(|options| !off(options));
    ldu || event.facts.get("opt_out").and_then(Value::as_bool) == Some(true)
}

/// Country and state that a limit names, in Meta's numbers, which others have taken over.
pub(crate) fn limited_place(event: &Event) -> (Option<i64>, Option<i64>) {
    let number = |field: &str| event.facts.get(field).and_then(Value::as_i64);
    (number("data_processing_options_country"), number("data_processing_options_state"))
}

/// Whether a fact holds text.
pub(crate) fn has(event: &Event, field: &str) -> bool {
    event.facts.text(field).is_some()
}

/// A standard name of this program in the platform's words, or a word of the platform's.
pub(crate) fn wire_name<'a>(
    name: &'a str,
    names: &[(&'static str, &'static str)],
) -> Option<&'a str>
where
    'static: 'a,
{
    let of_ours = names.iter().find(|(ours, _)| *ours == name).map(|(_, theirs)| *theirs);
    of_ours.or_else(|| names.iter().any(|(_, theirs)| *theirs == name).then_some(name))
}

/// A name of one's own in words with underscores: `StartTrial` is `start_trial`.
pub(crate) fn snake(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    let mut was_lower = false;
    for c in name.chars() {
        if c.is_ascii_uppercase() && was_lower {
            out.push('_');
        }
        was_lower = c.is_ascii_lowercase() || c.is_ascii_digit();
        out.push(if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' });
    }
    out
}

/// What every platform asks of an event: a name, an id, and money in use.
pub(crate) fn misfit(event: &Event) -> Option<&'static str> {
    match () {
        () if event.event_name.is_empty() => Some("missing_event_name"),
        () if event.event_id.is_empty() => Some("missing_event_id"),
        () if event.currency.is_some_and(|currency| !currency.is_current()) => {
            Some("currency_not_in_use")
        }
        () => None,
    }
}

/// What is missing of the money of a purchase.
pub(crate) fn missing_money(event: &Event) -> Option<&'static str> {
    match () {
        () if event.value.is_none() => Some("missing_value"),
        () if event.currency.is_none() => Some("missing_currency"),
        () => None,
    }
}

/// Reasons of this file, which several platforms share.
pub(crate) const REASONS: &[(&str, &str)] = &[
    ("missing_event_name", "event_name is empty; let the view return a name"),
    (
        "missing_event_id",
        "event_id is empty; let the view return the id that the pixel sends, or the event counts \
         twice",
    ),
    (
        "currency_not_in_use",
        "the currency is no money in use, such as a withdrawn one; correct the order, and let the \
         view return the ISO 4217 code of the money that was paid",
    ),
    (
        "missing_value",
        "the event needs value; let the view return the amount, or change the setting value_from",
    ),
    ("missing_currency", "the event needs currency; let the view return its ISO 4217 code"),
    (
        "missing_identity",
        "nothing that the platform takes says who it was; let the view return email, phone or the \
         platform's click id; dropped_fields says what was given and not used",
    ),
    (
        "missing_order_id",
        "a refund needs order_id, that of the order whose money goes back; let the view return it",
    ),
    (
        "missing_event_source_url",
        "an event of action_source website needs event_source_url, beginning with https://; let \
         the view return the page, or another action_source if it happened elsewhere",
    ),
    (
        "event_name_not_taken",
        "the platform takes no such event name; let the view return another, or map it with the \
         setting events",
    ),
    (
        "app_not_supported",
        "the platform asks more of an event of an app than this program knows; send it with the \
         platform's SDK",
    ),
];

/// What a reason of this file means.
pub(crate) fn explain(reason: &str) -> Option<&'static str> {
    REASONS.iter().find(|(known, _)| *known == reason).map(|(_, text)| *text)
}
