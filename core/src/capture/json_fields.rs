//! The insides of JSON fields: each part gets the type that platforms want, and a part that is
//! wrong is dropped by itself, under its path, e.g. `contents[].quantity`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::person::person_in;
use super::row::{LONGEST_TEXT, scalar, timestamp};
use crate::field;
use crate::money::Amount;

/// Largest value of a JSON field, in bytes. Platforms publish no limit; this bounds what a sidecar
/// holds in memory, and an order of a thousand lines has room.
const LARGEST_JSON: usize = 256 * 1024;

/// Deepest nesting of a JSON field, which is deeper than any platform's own.
const DEEPEST_JSON: usize = 64;

/// How things reach the customer: `…/conversions-api/parameters/custom-data`, read 2026-09-12.
pub(super) const DELIVERY_CATEGORIES: &[&str] = &["in_store", "curbside", "home_delivery"];

/// What `contents` and `content_ids` are about; same page.
pub(super) const CONTENT_TYPES: &[&str] = &["product", "product_group"];

/// Slots of an `extinfo` array: the app-data page of Meta's reference, read 2026-09-12.
const EXTINFO_SLOTS: usize = 16;

/// The slot of the operating system's version, which may not be empty; same page.
const EXTINFO_OS_VERSION: usize = 4;

/// First slot of an `extinfo` array: Android and iOS; same page.
const EXTINFO_VERSIONS: [&str; 2] = ["a2", "i2"];

/// What a part of a JSON value is.
enum Part {
    Text,
    Decimal,
    Whole,
    /// Seconds since 1970; given as such or as time with its offset.
    Seconds,
    /// 0 or 1.
    Flag,
    Texts,
    Word(&'static [&'static str]),
    Object(&'static [(&'static str, Part)]),
    Extinfo,
}

type Keys = &'static [(&'static str, Part)];
type Dropped<'a> = &'a mut BTreeMap<String, String>;

/// One item: `…/conversions-api/parameters/custom-data`, read 2026-09-12; `price` is that of the
/// "Offline events" page. Other keys stay for other platforms.
const ITEM: Keys = &[
    ("id", Part::Text),
    ("quantity", Part::Whole),
    ("item_price", Part::Decimal),
    ("price", Part::Decimal),
    ("title", Part::Text),
    ("description", Part::Text),
    ("brand", Part::Text),
    ("category", Part::Text),
    ("delivery_category", Part::Word(DELIVERY_CATEGORIES)),
];

/// Meta's page on app data, read 2026-09-12.
const APP_DATA: Keys = &[
    ("advertiser_tracking_enabled", Part::Flag),
    ("application_tracking_enabled", Part::Flag),
    ("extinfo", Part::Extinfo),
    ("campaign_ids", Part::Text),
    ("install_referrer", Part::Text),
    ("installer_package", Part::Text),
    ("url_schemes", Part::Texts),
    ("vendor_id", Part::Text),
    ("windows_attribution_id", Part::Text),
];

/// Meta's page on the original event, read 2026-09-12.
const ORIGINAL_EVENT: Keys = &[
    ("event_name", Part::Text),
    ("event_time", Part::Seconds),
    ("order_id", Part::Text),
    ("event_id", Part::Text),
];

/// `attribution_data.py` of facebook-python-business-sdk at 94914f9, 2026-06-24; the words are
/// those of `attribution-*.js` of facebook-nodejs-business-sdk at ebd272a, 2026-08-05.
const ATTRIBUTION_DATA: Keys = &[
    ("scope", Part::Text),
    ("visit_time", Part::Seconds),
    ("ad_id", Part::Text),
    ("adset_id", Part::Text),
    ("campaign_id", Part::Text),
    ("attribution_share", Part::Decimal),
    (
        "attribution_model",
        Part::Word(&[
            "customized_multi_touch",
            "first_touch",
            "last_click",
            "last_touch",
            "linear",
            "position_based",
            "time_decay",
            "unknown",
        ]),
    ),
    ("attr_window", Part::Whole),
    ("attribution_value", Part::Decimal),
    ("attribution_source", Part::Text),
    ("touchpoint_type", Part::Text),
    ("touchpoint_ts", Part::Seconds),
    (
        "attribution_method",
        Part::Word(&["ard", "deeplink", "gpir", "invalid_response", "mir", "srn"]),
    ),
    ("decline_reason", Part::Text),
    ("auditing_token", Part::Text),
    ("linkage_key", Part::Text),
    ("touchpoint_id", Part::Text),
    (
        "attribution_setting",
        Part::Object(&[
            ("inactivity_window_hours", Part::Whole),
            ("reattribution_window_hours", Part::Whole),
        ]),
    ),
    ("total_credit", Part::Decimal),
    ("partner_client_id", Part::Text),
];

/// Meta's "Offline events" page, read 2026-09-12.
const STORE_DATA: Keys =
    &[("store_page_id", Part::Text), ("brand_page_id", Part::Text), ("store_code", Part::Text)];

/// Checks the value of a JSON field; `None` when nothing is left of it.
pub(super) fn json(
    field: &'static str,
    value: &Value,
    dropped: Dropped<'_>,
) -> Result<Option<Value>, &'static str> {
    if is_deeper(value, DEEPEST_JSON) {
        return Err("too_deep");
    }
    if is_large(value) {
        return Err("too_long");
    }
    if let Some(reason) = unstorable(value) {
        return Err(reason);
    }
    let object = |keys, dropped| {
        let map = value.as_object().ok_or("wrong_shape")?;
        Ok(some(Value::Object(closed(field, map, keys, dropped))))
    };
    match field {
        "contents" => {
            let items = value.as_array().ok_or("wrong_shape")?;
            Ok(some(Value::Array(items.iter().filter_map(|i| item(i, dropped)).collect())))
        }
        "content_ids" => {
            let ids = value.as_array().ok_or("wrong_shape")?;
            Ok(some(Value::Array(texts("content_ids[]", ids, dropped))))
        }
        "data_processing_options" => data_processing_options(value),
        "app_data" => object(APP_DATA, dropped),
        "original_event" => object(ORIGINAL_EVENT, dropped),
        "attribution_data" => object(ATTRIBUTION_DATA, dropped),
        "store_data" => object(STORE_DATA, dropped),
        _ => custom(field, value.as_object().ok_or("wrong_shape")?, dropped),
    }
}

/// Nothing instead of an empty list or object.
fn some(value: Value) -> Option<Value> {
    let empty =
        value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty);
    (!empty).then_some(value)
}

/// `[]` or `["LDU"]`: Meta's page on data processing options, read 2026-09-12.
fn data_processing_options(value: &Value) -> Result<Option<Value>, &'static str> {
    match value.as_array().map(Vec::as_slice) {
        Some([]) => Ok(Some(value.clone())),
        Some([Value::String(word)]) if word.trim().eq_ignore_ascii_case("LDU") => {
            Ok(Some(Value::Array(vec!["LDU".into()])))
        }
        _ => Err("neither_empty_nor_ldu"),
    }
}

/// One object of own properties. A name that is a standard field goes: its value has a column of
/// its own, where it is checked and, if it is an identifier, hashed.
fn custom(
    field: &str,
    map: &Map<String, Value>,
    dropped: Dropped<'_>,
) -> Result<Option<Value>, &'static str> {
    let mut kept = Map::new();
    for (key, value) in map {
        if field::find(key).is_some() {
            dropped.insert(format!("{field}.{key}"), "name_of_a_field".to_owned());
        } else if !value.is_null() {
            kept.insert(key.clone(), value.clone());
        }
    }
    Ok(some(Value::Object(kept)))
}

/// Whether an item's key is one of those that platforms know.
pub(super) fn is_key_of_item(key: &str) -> bool {
    ITEM.iter().any(|(known, _)| *known == key)
}

/// An item of `contents`; one without id is no item.
fn item(value: &Value, dropped: Dropped<'_>) -> Option<Value> {
    let Some(map) = value.as_object() else {
        dropped.insert("contents[]".to_owned(), "wrong_shape".to_owned());
        return None;
    };
    let mut item = Map::new();
    for (key, value) in map.iter().filter(|(_, value)| !value.is_null()) {
        match ITEM.iter().find(|(known, _)| known == key) {
            Some((_, kind)) => take("contents[]", key, kind, value, &mut item, dropped),
            None => {
                item.insert(key.clone(), value.clone());
            }
        }
    }
    if !item.contains_key("id") {
        dropped.entry("contents[].id".to_owned()).or_insert_with(|| "missing".to_owned());
        return None;
    }
    Some(Value::Object(item))
}

/// An object of these keys and no other.
fn closed(
    path: &str,
    map: &Map<String, Value>,
    keys: Keys,
    dropped: Dropped<'_>,
) -> Map<String, Value> {
    let mut out = Map::new();
    for (key, value) in map.iter().filter(|(_, value)| !value.is_null()) {
        match keys.iter().find(|(known, _)| known == key) {
            Some((_, kind)) => take(path, key, kind, value, &mut out, dropped),
            // The key itself may be anything, so only its place is named.
            None => {
                dropped.insert(format!("{path}.*"), "unknown_key".to_owned());
            }
        }
    }
    out
}

/// Puts one part into `out`, or its path into `dropped`.
fn take(
    path: &str,
    key: &str,
    kind: &Part,
    value: &Value,
    out: &mut Map<String, Value>,
    dropped: Dropped<'_>,
) {
    let path = format!("{path}.{key}");
    match part(&path, kind, value, dropped) {
        Ok(value) => {
            out.extend(value.map(|value| (key.to_owned(), value)));
        }
        Err(reason) => {
            dropped.insert(path, reason.to_owned());
        }
    }
}

fn part(
    path: &str,
    kind: &Part,
    value: &Value,
    dropped: Dropped<'_>,
) -> Result<Option<Value>, &'static str> {
    // Of a text that is a number to us the guard behind would see the digits only.
    if let Value::String(text) = value
        && let Some(reason) = person_in(text)
    {
        return Err(reason);
    }
    match kind {
        Part::Text => text(value),
        Part::Decimal => {
            let text = scalar(value).ok_or("not_a_number")?;
            Amount::parse(&text)
                .map(|amount| Some(Value::Number(amount.to_json())))
                .map_err(|_| "not_a_number")
        }
        Part::Whole => count(value).map(|n| Some(n.into())).ok_or("not_a_whole_number"),
        Part::Seconds => seconds(value).map(|number| Some(number.into())).ok_or("not_a_time"),
        Part::Flag => flag(value).map(|on| Some(u8::from(on).into())).ok_or("neither_0_nor_1"),
        Part::Texts => {
            let list = value.as_array().ok_or("wrong_shape")?;
            Ok(some(Value::Array(texts(&format!("{path}[]"), list, dropped))))
        }
        Part::Word(words) => word(&scalar(value).ok_or("wrong_shape")?, words).map(Some),
        Part::Object(keys) => {
            let map = value.as_object().ok_or("wrong_shape")?;
            Ok(some(Value::Object(closed(path, map, keys, dropped))))
        }
        Part::Extinfo => extinfo(value).map(Some),
    }
}

/// Text, or a number as text; `None` when it is empty.
fn text(value: &Value) -> Result<Option<Value>, &'static str> {
    let text = match value {
        Value::Bool(_) => return Err("wrong_shape"),
        value => scalar(value).ok_or("wrong_shape")?,
    };
    let text = text.trim();
    match () {
        () if text.is_empty() => Ok(None),
        () if text.len() > LONGEST_TEXT => Err("too_long"),
        () if text.chars().any(char::is_control) => Err("not_printable"),
        () if is_nil_uuid(text) => Err("placeholder"),
        () => Ok(Some(text.into())),
    }
}

fn texts(path: &str, values: &[Value], dropped: Dropped<'_>) -> Vec<Value> {
    let mut out = Vec::with_capacity(values.len());
    for value in values.iter().filter(|value| !value.is_null()) {
        match text(value) {
            Ok(text) => out.extend(text),
            Err(reason) => {
                dropped.insert(path.to_owned(), reason.to_owned());
            }
        }
    }
    out
}

/// One of some words, in lower case.
pub(super) fn word(text: &str, words: &[&str]) -> Result<Value, &'static str> {
    let text = text.trim().to_ascii_lowercase();
    words.iter().find(|word| **word == text).map(|word| (*word).into()).ok_or("unknown_word")
}

/// A whole number, also as text or with zeros behind its point, as `numeric` prints it.
pub(super) fn whole(value: &Value) -> Option<i64> {
    let text = scalar(value)?;
    let text = text.trim();
    let (whole, zeros) = text.split_once('.').unwrap_or((text, ""));
    zeros.bytes().all(|b| b == b'0').then(|| whole.parse().ok()).flatten()
}

/// A whole number that is not negative.
pub(super) fn count(value: &Value) -> Option<i64> {
    whole(value).filter(|number| *number >= 0)
}

/// Yes or no, as Postgres, JSON and app SDKs write it.
pub(super) fn flag(value: &Value) -> Option<bool> {
    match scalar(value)?.trim() {
        "true" | "t" | "1" => Some(true),
        "false" | "f" | "0" => Some(false),
        _ => None,
    }
}

/// Seconds since 1970: a number of ten digits or fewer, since milliseconds have thirteen, or a
/// time with its offset.
fn seconds(value: &Value) -> Option<i64> {
    match whole(value) {
        Some(number) => (1..10_000_000_000).contains(&number).then_some(number),
        None => value.as_str().and_then(|_| timestamp(value)).map(|time| time.seconds()),
    }
}

/// All sixteen slots as texts.
fn extinfo(value: &Value) -> Result<Value, &'static str> {
    let slots = value.as_array().ok_or("wrong_shape")?;
    if slots.len() != EXTINFO_SLOTS {
        return Err("not_16_slots");
    }
    let slots: Option<Vec<Cow<'_, str>>> = slots
        .iter()
        .map(|slot| if slot.is_null() { Some(Cow::Borrowed("")) } else { scalar(slot) })
        .collect();
    let slots = slots.ok_or("wrong_shape")?;
    match () {
        () if slots.iter().any(|slot| slot.len() > LONGEST_TEXT) => Err("too_long"),
        () if slots.iter().any(|slot| slot.chars().any(char::is_control)) => Err("not_printable"),
        () if !EXTINFO_VERSIONS.contains(&&*slots[0]) => Err("neither_a2_nor_i2"),
        () if slots[EXTINFO_OS_VERSION].trim().is_empty() => Err("no_os_version"),
        () => Ok(slots.into_iter().map(Value::from).collect()),
    }
}

/// What a device gives instead of an id that it keeps to itself.
pub(super) fn is_nil_uuid(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|b| matches!(b, b'0' | b'-'))
}

/// Whether a value is nested deeper than so many levels.
fn is_deeper(value: &Value, levels: usize) -> bool {
    let is_deeper = |value| match levels.checked_sub(1) {
        Some(left) => is_deeper(value, left),
        None => true,
    };
    match value {
        Value::Array(values) => values.iter().any(is_deeper),
        Value::Object(map) => map.values().any(is_deeper),
        _ => false,
    }
}

/// Whether a JSON value is larger than any field of its kind.
pub(super) fn is_large(value: &Value) -> bool {
    size(value) > LARGEST_JSON
}

/// Bytes of a JSON value, roughly: texts, names and digits, and some for each part.
fn size(value: &Value) -> usize {
    match value {
        Value::Number(number) => number.as_str().len().max(8),
        Value::String(text) => text.len() + 2,
        Value::Array(values) => values.iter().map(|value| size(value) + 1).sum(),
        Value::Object(map) => map.iter().map(|(name, value)| name.len() + size(value) + 4).sum(),
        _ => 8,
    }
}

/// Why Postgres could not store a JSON value as `jsonb`, and with it the whole event: it takes no
/// exponent of six digits and no zero byte, both of which a column of type `json` may hold.
fn unstorable(value: &Value) -> Option<&'static str> {
    let zero = |text: &str| text.contains('\0').then_some("not_printable");
    match value {
        Value::Number(number) => {
            let text = number.as_str();
            let exponent = text.split(['e', 'E']).nth(1);
            let fits = text.len() <= 100
                && exponent.is_none_or(|e| e.trim_start_matches(['+', '-']).len() <= 3);
            (!fits).then_some("number_out_of_range")
        }
        Value::String(text) => zero(text),
        Value::Array(values) => values.iter().find_map(unstorable),
        Value::Object(map) => map.iter().find_map(|(k, v)| zero(k).or_else(|| unstorable(v))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What is kept of a field, and the paths with reasons of what is not.
    fn checked(field: &'static str, value: &Value) -> (Value, Value) {
        let mut dropped = BTreeMap::new();
        let kept = match json(field, value, &mut dropped) {
            Ok(kept) => kept.unwrap_or(Value::Null),
            Err(reason) => return (Value::Null, reason.into()),
        };
        (kept, json!(dropped))
    }

    #[test]
    fn parts_of_an_item_get_their_types_or_go() {
        let (kept, dropped) = checked(
            "contents",
            &json!([
                {"id": 7, "quantity": "2.00", "item_price": "9.50", "price": 19, "margin": 3},
                {"id": "b", "quantity": 1.5, "item_price": "free", "delivery_category": "drone"},
                {"id": "c", "quantity": -1, "brand": {"a": 1}, "delivery_category": "IN_STORE"},
                {"quantity": 1}, {"id": " "}, {"id": true}, "d", null
            ]),
        );
        assert_eq!(
            kept.to_string(),
            r#"[{"id":"7","item_price":9.50,"margin":3,"price":19,"quantity":2},{"id":"b"},{"delivery_category":"in_store","id":"c"}]"#
        );
        assert_eq!(
            dropped,
            json!({"contents[]": "wrong_shape", "contents[].brand": "wrong_shape",
                "contents[].delivery_category": "unknown_word", "contents[].id": "wrong_shape",
                "contents[].item_price": "not_a_number",
                "contents[].quantity": "not_a_whole_number"})
        );
    }

    #[test]
    fn ids_are_texts() {
        let given = json!([1, "sku-2", 3.50, null, "", true, ["x"]]);
        let (kept, dropped) = checked("content_ids", &given);
        // With arbitrary precision a number keeps the digits that it was written with.
        assert_eq!(kept[0], "1");
        assert_eq!(kept[1], "sku-2");
        assert_eq!(kept.as_array().map(Vec::len), Some(3));
        assert_eq!(dropped, json!({"content_ids[]": "wrong_shape"}));
        assert_eq!(checked("content_ids", &json!([null])).0, Value::Null);
    }

    fn extinfo_of(changes: &[(usize, Value)]) -> Value {
        let mut slots = vec![json!(""); 16];
        slots[0] = json!("i2");
        slots[4] = json!("17.5");
        for (at, value) in changes {
            slots[*at] = value.clone();
        }
        Value::Array(slots)
    }

    #[test]
    fn an_app_speaks_for_its_device() {
        let (kept, dropped) = checked(
            "app_data",
            &json!({"advertiser_tracking_enabled": true, "application_tracking_enabled": "0",
                "extinfo": extinfo_of(&[(9, json!(1170)), (1, Value::Null)]),
                "url_schemes": ["shop", 7, {}], "vendor_id": "00000000-0000-0000-0000-000000000000",
                "jane": 1}),
        );
        assert_eq!(kept["advertiser_tracking_enabled"], 1);
        assert_eq!(kept["application_tracking_enabled"], 0);
        assert_eq!(kept["extinfo"][9], "1170");
        assert_eq!(kept["extinfo"][1], "");
        assert_eq!(kept["url_schemes"], json!(["shop", "7"]));
        assert_eq!(
            dropped,
            json!({"app_data.*": "unknown_key", "app_data.url_schemes[]": "wrong_shape",
                "app_data.vendor_id": "placeholder"})
        );
        for (extinfo, reason) in [
            (json!(["i2", "", "", "", "17.5"]), "not_16_slots"),
            (extinfo_of(&[(4, json!(" "))]), "no_os_version"),
            (extinfo_of(&[(0, json!("w1"))]), "neither_a2_nor_i2"),
            (extinfo_of(&[(5, json!({}))]), "wrong_shape"),
            (json!("i2"), "wrong_shape"),
        ] {
            let (kept, dropped) = checked("app_data", &json!({"extinfo": extinfo}));
            assert_eq!((kept, dropped), (Value::Null, json!({"app_data.extinfo": reason})));
        }
    }

    #[test]
    fn times_inside_are_whole_seconds() {
        for (given, kept) in [
            (json!(1_700_000_000), json!(1_700_000_000)),
            (json!("2023-11-14T22:13:20.9+00:00"), json!(1_700_000_000)),
            (json!(1_700_000_000_000_i64), Value::Null),
            (json!("2023-11-14T22:13:20"), Value::Null),
            (json!("yesterday"), Value::Null),
            (json!(-1), Value::Null),
        ] {
            let (out, dropped) = checked("original_event", &json!({"event_time": given}));
            assert_eq!(out.get("event_time").cloned().unwrap_or_default(), kept, "{given}");
            assert_eq!(kept.is_null(), dropped["original_event.event_time"] == "not_a_time");
        }
    }

    #[test]
    fn attribution_keeps_its_words_and_windows() {
        let (kept, dropped) = checked(
            "attribution_data",
            &json!({"attribution_model": "Last_Click", "attribution_method": "guess",
                "attribution_share": "0.25", "attr_window": 7, "ad_id": 120_000,
                "attribution_setting": {"inactivity_window_hours": 24, "other": 1}}),
        );
        assert_eq!(kept["attribution_model"], "last_click");
        assert_eq!(kept["attribution_share"].to_string(), "0.25");
        assert_eq!(kept["ad_id"], "120000");
        assert_eq!(kept["attribution_setting"], json!({"inactivity_window_hours": 24}));
        assert_eq!(
            dropped,
            json!({"attribution_data.attribution_method": "unknown_word",
                "attribution_data.attribution_setting.*": "unknown_key"})
        );
    }

    #[test]
    fn a_property_cannot_take_a_fields_name() {
        let given = json!({"colour": "red", "value": 0, "email": "jane@example.com", "none": null});
        let (kept, dropped) = checked("custom", &given);
        assert_eq!(kept, json!({"colour": "red"}));
        assert_eq!(
            dropped,
            json!({"custom.email": "name_of_a_field", "custom.value": "name_of_a_field"})
        );
    }

    #[test]
    fn what_postgres_could_not_store_costs_the_field_and_not_the_event() {
        for (given, reason) in [
            (r#"{"a": [1e400000]}"#, "number_out_of_range"),
            (r#"{"a": {"b": "x\u0000y"}}"#, "not_printable"),
            (r#"{"a\u0000": 1}"#, "not_printable"),
        ] {
            let value = serde_json::from_str(given).expect("JSON");
            assert_eq!(checked("custom", &value), (Value::Null, reason.into()), "{given}");
        }
        let fine = serde_json::from_str(r#"{"a": [1.5e300, "x"]}"#).expect("JSON");
        assert_eq!(checked("custom", &fine), (fine.clone(), json!({})));
    }

    #[test]
    fn a_json_value_that_no_order_needs_is_dropped_whole() {
        let items = |count: usize| json!(vec![json!({"id": "SKU-123456", "quantity": 1}); count]);
        assert_eq!(checked("contents", &items(1_000)).0, items(1_000));
        assert_eq!(checked("contents", &items(20_000)), (Value::Null, "too_long".into()));
        let text = json!({"note": "x".repeat(LARGEST_JSON)});
        assert_eq!(checked("custom", &text), (Value::Null, "too_long".into()));
    }

    #[test]
    fn limited_data_use_is_off_or_on_and_nothing_between() {
        for (given, kept) in [(json!([]), json!([])), (json!(["ldu"]), json!(["LDU"]))] {
            assert_eq!(checked("data_processing_options", &given).0, kept);
        }
        for given in [json!(["CCPA"]), json!("LDU"), json!(["LDU", "LDU"]), json!({}), json!([1])] {
            let reason = checked("data_processing_options", &given).1;
            assert_eq!(reason, "neither_empty_nor_ldu", "{given}");
        }
    }
}
