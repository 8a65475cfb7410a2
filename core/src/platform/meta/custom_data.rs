//! What it was about: `custom_data`.
//!
//! `…/conversions-api/parameters/custom-data`, read 2026-09-12. `item_number` and `store_data` are
//! of the "Offline events" page, `event_source` and `lead_event_source` of the guide for CRMs, both
//! read the same day. Shapes were checked at capture; what an older extension captured is checked
//! for its type once more, since one wrong type refuses the whole request.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::event::{Event, Json};
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

/// Keys of one entry of `contents` beside `id` that are text; the rest of an item stays here. `title` and what
/// follows it are of `content.py`, facebook-python-business-sdk at 94914f9, 2026-06-24.
const ITEM_TEXTS: &[&str] = &["delivery_category", "title", "description", "brand", "category"];

/// Keys of one entry that are numbers; `price` is of the "Offline events" page.
const ITEM_NUMBERS: &[&str] = &["item_price", "price"];

/// The object of an event, as keys and what stands there; empty when there is nothing to say.
pub(super) struct CustomData<'a>(Vec<(&'a str, Entry<'a>)>);

/// What stands under a key.
#[derive(Serialize)]
#[serde(untagged)]
enum Entry<'a> {
    Number(serde_json::Number),
    Text(&'a str),
    Json(Json<'a>),
    Ids(Vec<Id<'a>>),
    Items(Vec<Item<'a>>),
}

/// A text, or a number as text: product ids are text to Meta.
struct Id<'a>(&'a str);

impl Serialize for Id<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'a> Id<'a> {
    fn of(value: Json<'a>) -> Option<Self> {
        value.as_str().or_else(|| value.digits()).map(Self)
    }
}

impl CustomData<'_> {
    /// Whether there is nothing to say.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same as a tree.
    pub(super) fn to_map(&self) -> Map<String, Value> {
        let member = |(key, entry): &(&str, Entry<'_>)| {
            Some(((*key).to_owned(), serde_json::to_value(entry).ok()?))
        };
        self.0.iter().filter_map(member).collect()
    }
}

impl Serialize for CustomData<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, entry)| (key, entry)))
    }
}

/// The object of an event.
pub(super) fn custom_data(event: &Event) -> CustomData<'_> {
    let mut data = Vec::with_capacity(12);
    if let Some(value) = &event.value {
        data.push(("value", Entry::Number(value.to_json())));
    }
    if let Some(currency) = &event.currency {
        data.push(("currency", Entry::Text(currency.as_str())));
    }
    let mut take = |keys: &[&'static str], fits: Fits| {
        let facts = keys.iter().filter_map(|key| Some((*key, event.facts.json(key)?)));
        data.extend(
            facts.filter(|(_, fact)| fits(*fact)).map(|(key, fact)| (key, Entry::Json(fact))),
        );
    };
    take(TEXTS, is_text);
    take(NUMBERS, is_number);
    take(&["num_items"], is_whole);
    take(&["content_type"], |fact| fact.as_str().is_some_and(|t| CONTENT_TYPES.contains(&t)));
    take(&["store_data"], |fact| fact.is_object());
    let list = |field| event.facts.json(field).into_iter().flat_map(Json::elements);
    let ids: Vec<Id<'_>> = list("content_ids").filter_map(Id::of).collect();
    if !ids.is_empty() {
        data.push(("content_ids", Entry::Ids(ids)));
    }
    let items: Vec<Item<'_>> = list("contents").filter_map(Item::of).collect();
    if !items.is_empty() {
        data.push(("contents", Entry::Items(items)));
    }
    // A clash with a standard key keeps the standard one, present or not: a custom `value` must
    // not stand in for the amount.
    let custom = event.facts.json("custom").into_iter().flat_map(Json::members);
    let own = custom.filter(|(key, _)| field::find(key).is_none());
    data.extend(own.map(|(key, value)| (key, Entry::Json(value))));
    CustomData(data)
}

/// Whether a value is what Meta takes there.
type Fits = fn(Json<'_>) -> bool;

fn is_text(fact: Json<'_>) -> bool {
    fact.as_str().is_some()
}

fn is_number(fact: Json<'_>) -> bool {
    fact.digits().is_some()
}

fn is_whole(fact: Json<'_>) -> bool {
    fact.as_u64().is_some()
}

/// An item with what Meta knows of an item; one without id is no item to Meta.
struct Item<'a> {
    id: Id<'a>,
    given: Json<'a>,
}

impl<'a> Item<'a> {
    fn of(given: Json<'a>) -> Option<Self> {
        Some(Self { id: Id::of(given.get("id")?)?, given })
    }
}

impl Serialize for Item<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        let kinds: [(&[&str], Fits); 3] =
            [(ITEM_TEXTS, is_text), (&["quantity"], is_whole), (ITEM_NUMBERS, is_number)];
        for (keys, fits) in kinds {
            for key in keys {
                if let Some(part) = self.given.get(key).filter(|part| fits(*part)) {
                    map.serialize_entry(key, &part)?;
                }
            }
        }
        map.end()
    }
}
