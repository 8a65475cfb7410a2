//! An event that an application hands over as JSON, with the names of a conversion view's columns.
//! There is no table behind it: its key is the application's own, or the event id.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::conversion::{Captured, Fault, LONGEST_ID, NO_KEY, Options, capture};
use super::person::person_in;
use super::row::{Row, scalar};
use crate::field::{self, Kind};
use crate::time::Timestamp;

/// The member that is no field: what the event is about, e.g. a cart.
const KEY: &str = "key";

/// An event that was handed over, judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Emitted {
    /// The key, as the outbox and the record of a failure have it.
    pub key: String,
    /// The event's name for the record of a failure.
    pub event_name: Option<String>,
    /// The event's id, where it has a usable one.
    pub event_id: Option<String>,
    /// Members that are no fields, as they were given: for the caller, not for the record.
    pub unknown: BTreeSet<String>,
    /// What became of the event.
    pub captured: Captured,
}

/// Judges what an application handed over.
///
/// An event without a time happened now. Otherwise the rules are those of a view's row.
pub fn emitted(event: Value, options: &Options, now: Timestamp) -> Emitted {
    let mut judged = Emitted {
        key: NO_KEY.to_owned(),
        event_name: None,
        event_id: None,
        unknown: BTreeSet::new(),
        captured: Captured::Fault(Fault { field: "event", reason: "not_an_object" }),
    };
    let Value::Object(mut object) = event else { return judged };
    let [key, id, name] = [KEY, "event_id", "event_name"].map(|name| plain(&object, name));
    let fault = [&key, &id, &name].into_iter().find_map(|text| text.clone().err());
    judged.event_id = id.unwrap_or_default();
    judged.event_name = name.unwrap_or_default();
    if let Some(key) = key.unwrap_or_default().or_else(|| judged.event_id.clone()) {
        judged.key = key;
    }
    object.remove(KEY);
    judged.unknown = object.keys().filter(|name| field::find(name).is_none()).cloned().collect();
    if let Some(fault) = fault {
        judged.captured = Captured::Fault(fault);
        return judged;
    }
    let mut row = Row::from_object(object);
    for (name, value) in &mut row.0 {
        // A row's number counts microseconds; an application's could count anything.
        let is_time = field::find(name).is_some_and(|field| field.kind == Kind::Timestamp);
        if is_time && value.is_number() {
            *value = Value::Bool(false);
        }
    }
    if row.get("event_time").is_none() {
        row.0.insert("event_time", Value::from(now.0));
    }
    judged.captured = capture(row, options, now);
    if let Captured::Event(event) = &mut judged.captured
        && !judged.unknown.is_empty()
        && event.refused != ["*"]
    {
        // Names may be anything, so that only their number could be told; the caller gets them.
        event.dropped.insert("*".to_owned(), "unknown_field".to_owned());
    }
    judged
}

/// A text that is kept in clear; `None` where it is missing, which is judged later.
fn plain(object: &Map<String, Value>, field: &'static str) -> Result<Option<String>, Fault> {
    let value = object.get(field).filter(|value| !value.is_null());
    let Some(value) = value else { return Ok(None) };
    let text = scalar(value).ok_or(Fault { field, reason: "wrong_shape" })?;
    match () {
        () if text.trim().is_empty() => Ok(None),
        () if text.len() > LONGEST_ID => Err(Fault { field, reason: "too_long" }),
        () if text.chars().any(char::is_control) => Err(Fault { field, reason: "not_printable" }),
        () => match person_in(&text) {
            Some(reason) => Err(Fault { field, reason }),
            None => Ok(Some(text.into_owned())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: Timestamp = Timestamp(1_790_000_000_000_000);

    fn of(event: Value) -> Emitted {
        emitted(event, &Options::default(), NOW)
    }

    fn cart() -> Value {
        json!({"event_name": "AddToCart", "event_id": "cart-7-1", "action_source": "website", "consent": true})
    }

    fn cart_with(changes: Value) -> Value {
        let (Value::Object(mut cart), Value::Object(changes)) = (cart(), changes) else {
            panic!("objects expected")
        };
        cart.extend(changes);
        Value::Object(cart)
    }

    fn fault(event: Value) -> (&'static str, &'static str, String) {
        let judged = of(event);
        match judged.captured {
            Captured::Fault(fault) => (fault.field, fault.reason, judged.key),
            other => panic!("a fault was expected: {other:?}"),
        }
    }

    #[test]
    fn an_event_without_time_is_now_and_its_key_is_the_callers_or_its_id() {
        let judged = of(cart());
        let Captured::Event(event) = judged.captured else { panic!("an event") };
        assert_eq!((event.event.event_time, judged.key.as_str()), (NOW, "cart-7-1"));
        assert_eq!(of(cart_with(json!({"key": 7}))).key, "7");
        assert_eq!(of(cart_with(json!({"key": "  "}))).key, "cart-7-1");
    }

    #[test]
    fn times_say_their_offset() {
        let at = of(cart_with(json!({"event_time": "2026-09-21T12:00:00Z"})));
        assert!(matches!(at.captured, Captured::Event(_)));
        for time in [json!(1_789_999_999), json!(1_789_999_999_000_u64), json!("2026-09-21 12:00")]
        {
            let found = fault(cart_with(json!({"event_time": time})));
            assert_eq!((found.0, found.1), ("event_time", "no_time_with_zone"), "{time}");
        }
    }

    #[test]
    fn what_is_kept_in_clear_is_no_person() {
        for field in ["key", "event_id", "event_name"] {
            let (at, reason, key) = fault(cart_with(json!({field: "jane.doe@example.com"})));
            assert_eq!((at, reason), (field, "email_address"));
            assert!(!key.contains('@'), "{field}: {key}");
        }
        let (_, _, key) = fault(json!({"event_id": "jane%40example.com"}));
        assert_eq!(key, NO_KEY);
    }

    #[test]
    fn unknown_members_are_told_to_the_caller_and_counted_by_a_word_only() {
        let judged = of(cart_with(json!({"emial": "x@example.com", "email": "x@example.com"})));
        assert_eq!(judged.unknown, BTreeSet::from(["emial".to_owned()]));
        let Captured::Event(event) = judged.captured else { panic!("an event") };
        assert_eq!(event.dropped["*"], "unknown_field");
        assert!(!format!("{:?}", event.dropped).contains("emial"));
    }

    #[test]
    fn what_is_no_object_is_no_event() {
        for event in [json!(null), json!("x"), json!(1), json!([[]])] {
            assert_eq!(fault(event), ("event", "not_an_object", NO_KEY.to_owned()));
        }
        for name in ["event_name", "event_id", "action_source"] {
            let Value::Object(mut cart) = cart() else { unreachable!() };
            cart.remove(name);
            let (at, reason, _) = fault(Value::Object(cart));
            assert_eq!((at, reason), (name, "missing"));
        }
    }

    #[test]
    fn without_an_answer_to_consent_nothing_is_made_of_it() {
        let judged = of(cart_with(json!({"consent": null, "email": "x@example.com"})));
        assert_eq!(judged.captured, Captured::Waiting);
        let refused =
            of(cart_with(json!({"consent": false, "emial": 1, "email": "x@example.com"})));
        let Captured::Event(event) = refused.captured else { panic!("an event") };
        assert!(event.event.identity.is_empty() && event.dropped.is_empty());
    }
}
