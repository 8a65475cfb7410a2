//! Facts: what is stored in clear, checked and typed field by field.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::person::person_in;
use super::row::{LONGEST_TEXT, Row, scalar, timestamp};
use super::{json_fields, redact};
use crate::event::Facts;
use crate::field::{self, Class, Field, Kind};
use crate::identity::{self, DropReason};
use crate::money::Amount;
use crate::time::Timestamp;

/// What asks for restricted use of the event. A value that cannot be read is kept as the word
/// [`UNREADABLE`]: dropping it would let the event go unrestricted.
const RESTRICTIONS: [&str; 3] =
    ["data_processing_options", "data_processing_options_country", "data_processing_options_state"];

/// Stands for a restriction that nobody can read; no destination sends such an event.
const UNREADABLE: &str = "unreadable";

/// Ids of the shop at a platform: a placeholder is none.
const SHOP_IDS: [&str; 3] = ["page_id", "ig_account_id", "whatsapp_business_account_id"];

/// Fields whose text is the address of a page.
const URLS: [&str; 2] = ["event_source_url", "referrer_url"];

/// Fields with a fixed set of words; upper case is forgiven.
const WORDS: &[(&str, &[&str])] = &[
    ("delivery_category", json_fields::DELIVERY_CATEGORIES),
    ("content_type", json_fields::CONTENT_TYPES),
    // `…/conversions-api/business-messaging`, read 2026-09-12.
    ("messaging_channel", &["whatsapp", "messenger", "instagram"]),
    // `…/conversions-api/parameters/server-event`, read 2026-09-12.
    (
        "customer_segmentation",
        &[
            "new_customer_to_business",
            "new_customer_to_business_line",
            "new_customer_to_product_area",
            "new_customer_to_medium",
            "existing_customer_to_business",
            "existing_customer_to_business_line",
            "existing_customer_to_product_area",
            "existing_customer_to_medium",
            "customer_in_loyalty_program",
        ],
    ),
];

/// Every fact of a row.
pub(super) fn facts(
    row: &Row,
    event_time: Timestamp,
    dropped: &mut BTreeMap<String, String>,
) -> Facts {
    let mut facts = Map::new();
    // The row is the shorter of the two lists.
    for (name, value) in row.0.iter().filter(|(_, value)| !value.is_null()) {
        let Some(field) = field::find(name) else { continue };
        if !matches!(field.class, Class::Clear | Class::Fact) {
            continue;
        }
        match fact(field, value, event_time, dropped) {
            // Of URLs only parts are cut, below; of an id nothing can be cut, and it has been judged.
            Ok(Some(value))
                if URLS.contains(&field.name)
                    || (field.class == Class::Clear && field.kind != Kind::Json) =>
            {
                facts.insert(field.name.to_owned(), value);
            }
            Ok(Some(value)) => {
                if let Some(value) = redact::fact(field.name, value, dropped) {
                    facts.insert(field.name.to_owned(), value);
                }
            }
            Ok(None) => {}
            Err(reason) => {
                if RESTRICTIONS.contains(&field.name) {
                    facts.insert(field.name.to_owned(), UNREADABLE.into());
                }
                dropped.insert(field.name.to_owned(), reason.to_owned());
            }
        }
    }
    if row.get("fbclid").is_some_and(|value| scalar(value).is_none()) {
        dropped.insert("fbclid".to_owned(), "wrong_shape".to_owned());
    }
    let given = |value: &Value| scalar(value).is_none_or(|text| !text.trim().is_empty());
    if row.get("fbclid_at").is_some_and(|at| given(at) && timestamp(at).is_none()) {
        dropped.insert("fbclid_at".to_owned(), "no_time_with_zone".to_owned());
    }
    if !facts.contains_key("fbc")
        && let (Some(fbclid), Some(at)) =
            (row.text("fbclid"), row.get("fbclid_at").and_then(timestamp))
    {
        match identity::fbc_from_fbclid(&fbclid, at, event_time) {
            Ok(fbc) => {
                facts.insert("fbc".into(), Value::String(fbc));
            }
            Err(reason) => {
                dropped.insert("fbclid".into(), reason.as_str().to_owned());
            }
        }
    }
    for name in URLS {
        let Some(Value::String(text)) = facts.get_mut(name) else { continue };
        let (left, cuts) = redact::url(text);
        for (part, reason) in cuts {
            dropped.insert(format!("{name}.{part}"), reason.to_owned());
        }
        *text = left;
        if let Some(reason) = person_in(text) {
            facts.remove(name);
            dropped.insert(name.to_owned(), reason.to_owned());
        } else if text.is_empty() || (name == "event_source_url" && !is_web_address(text)) {
            facts.remove(name);
            dropped.insert(name.to_owned(), "not_a_web_address".to_owned());
        }
    }
    Facts(facts.into())
}

/// The order's number alone, which is all that a refused event keeps.
pub(super) fn order_id(row: &Row, event_time: Timestamp) -> Option<Value> {
    let (field, mut dropped) = (field::find("order_id")?, BTreeMap::new());
    let value = fact(field, row.get(field.name)?, event_time, &mut dropped).ok().flatten()?;
    redact::fact(field.name, value, &mut dropped)
}

/// Checks one fact; `None` when the value is empty. Parts of a JSON value that are wrong go to
/// `dropped` by themselves.
fn fact(
    field: &Field,
    value: &Value,
    event_time: Timestamp,
    dropped: &mut BTreeMap<String, String>,
) -> Result<Option<Value>, &'static str> {
    if field.kind == Kind::Json {
        return json_fields::json(field.name, value, dropped);
    }
    let text = scalar(value).ok_or("wrong_shape")?;
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() > LONGEST_TEXT {
        return Err("too_long");
    }
    // Here and not behind the types: `+4915112345678` is a whole number, too.
    if !URLS.contains(&field.name)
        && let Some(reason) = person_in(text)
    {
        return Err(reason);
    }
    let checked = |result: Result<String, DropReason>| match result {
        Ok(text) => Ok(Some(Value::String(text))),
        Err(reason) => Err(reason.as_str()),
    };
    if let Some((_, words)) = WORDS.iter().find(|(name, _)| *name == field.name) {
        return json_fields::word(text, words).map(Some);
    }
    match (field.name, field.kind) {
        ("client_ip_address", _) => checked(identity::client_ip(text)),
        ("client_user_agent", _) => checked(identity::user_agent(text)),
        ("fbc", _) => checked(identity::fbc(text, event_time)),
        ("fbp", _) => checked(identity::fbp(text)),
        ("event_source_url", _) if !is_web_address(text) => Err("not_a_web_address"),
        // Meta refuses the whole request for a lead id of another length.
        ("lead_id", _) if !is_digits(text, 15..=17) => Err("not_15_to_17_digits"),
        ("fb_login_id", _) if !is_digits(text, 1..=19) => Err("not_a_whole_number"),
        (_, Kind::Number) => Amount::parse(text)
            .map(|amount| Some(Value::Number(amount.to_json())))
            .map_err(|_| "not_a_number"),
        // The one word that Meta knows here, in any case; others are the shop's own.
        ("event_source", _) if text.eq_ignore_ascii_case("crm") => Ok(Some("crm".into())),
        ("num_items", _) => {
            json_fields::count(value).map(|n| Some(Value::from(n))).ok_or("not_a_whole_number")
        }
        (_, Kind::Integer) => {
            json_fields::whole(value).map(|n| Some(Value::from(n))).ok_or("not_a_whole_number")
        }
        (_, Kind::Boolean) => {
            json_fields::flag(value).map(|answer| Some(Value::Bool(answer))).ok_or("not_a_boolean")
        }
        _ if field.class == Class::Clear || SHOP_IDS.contains(&field.name) => {
            checked(identity::opaque_id(text))
        }
        _ if text.chars().any(char::is_control) => Err("not_printable"),
        _ => Ok(Some(Value::String(text.to_owned()))),
    }
}

/// Whether a number of so many digits stands here; Meta takes these ids as numbers.
fn is_digits(text: &str, length: std::ops::RangeInclusive<usize>) -> bool {
    let digits = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    length.contains(&text.len()) && digits
}

/// Whether scheme and host of a page stand here.
fn is_web_address(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, rest)| {
        (scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http"))
            && !rest.is_empty()
            && !rest.starts_with(['/', '?', '#', ':'])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What is kept of one field, or why not.
    fn checked(name: &'static str, value: &Value) -> Result<Option<Value>, &'static str> {
        let field = field::find(name).expect("a field");
        fact(field, value, Timestamp(1_790_000_000_000_000), &mut BTreeMap::new())
    }

    #[test]
    fn ids_that_meta_takes_as_numbers_are_numbers() {
        for (name, value, reason) in [
            ("lead_id", "12345678901234", "not_15_to_17_digits"),
            ("lead_id", "123456789012345678", "not_15_to_17_digits"),
            ("lead_id", "012345678901234", "not_15_to_17_digits"),
            ("lead_id", "l:123456789012345", "not_15_to_17_digits"),
            ("fb_login_id", "12a", "not_a_whole_number"),
            ("fb_login_id", "99999999999999999999", "not_a_whole_number"),
        ] {
            assert_eq!(checked(name, &json!(value)), Err(reason), "{value}");
        }
        for (name, value) in
            [("lead_id", json!(123_456_789_012_345_i64)), ("fb_login_id", json!(7))]
        {
            assert!(checked(name, &value).expect(name).is_some());
        }
    }

    #[test]
    fn an_id_that_everybody_has_is_none() {
        for value in ["00000000-0000-0000-0000-000000000000", "undefined", "(not set)"] {
            assert_eq!(checked("madid", &json!(value)), Err("placeholder"), "{value}");
        }
        for name in SHOP_IDS {
            let nil = json!("00000000-0000-0000-0000-000000000000");
            assert_eq!(checked(name, &nil), Err("placeholder"), "{name}");
            assert_eq!(checked(name, &json!("n/a")), Err("placeholder"), "{name}");
            assert_eq!(checked(name, &json!(1234)), Ok(Some("1234".into())), "{name}");
        }
        let own = json!("38400000-8cf0-11bd-b23e-10b96e40000d");
        assert_eq!(checked("madid", &own), Ok(Some(own)));
    }

    #[test]
    fn words_and_pages_are_what_they_should_be() {
        assert_eq!(checked("messaging_channel", &json!(" WhatsApp ")), Ok(Some("whatsapp".into())));
        assert_eq!(checked("event_source", &json!("CRM")), Ok(Some("crm".into())));
        assert_eq!(checked("event_source", &json!("ERP")), Ok(Some("ERP".into())));
        assert_eq!(checked("messaging_channel", &json!("telegram")), Err("unknown_word"));
        assert_eq!(checked("num_items", &json!("3.00")), Ok(Some(json!(3))));
        assert_eq!(checked("num_items", &json!("3.5")), Err("not_a_whole_number"));
        for items in [json!(-1), json!("-2"), json!(-0.5)] {
            assert_eq!(checked("num_items", &items), Err("not_a_whole_number"), "{items}");
        }
        assert_eq!(checked("content_type", &json!("Product")), Ok(Some("product".into())));
        assert_eq!(checked("content_type", &json!("hotel")), Err("unknown_word"));
        for page in [
            "/thanks",
            "shop.example.com/thanks",
            "javascript://x",
            "https://",
            "https:///x",
            "https://?q",
            "http://#top",
        ] {
            assert_eq!(checked("event_source_url", &json!(page)), Err("not_a_web_address"));
        }
    }

    #[test]
    fn a_restriction_that_cannot_be_read_stays_on_record() {
        let row = json!({"data_processing_options": "LDU", "data_processing_options_state": "CA"});
        let row = Row::from_object(row.as_object().expect("an object").clone());
        let mut dropped = BTreeMap::new();
        let facts = facts(&row, Timestamp(0), &mut dropped);
        assert_eq!(facts.text("data_processing_options"), Some(UNREADABLE));
        assert_eq!(facts.text("data_processing_options_state"), Some(UNREADABLE));
        assert_eq!(dropped.len(), 2);
    }
}
