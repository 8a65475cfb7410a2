//! From a row to an event, or why it is none yet, or none at all.

use std::collections::BTreeMap;

use serde_json::Value;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

use super::person::person_in;
use super::row::{Row, scalar, timestamp};
use super::{browser, facts};
use crate::consent::{self, Consent};
use crate::event::{ActionSource, Event, Facts, Identity};
use crate::identity::{self, Context, DateOrder, DropReason, Form, HashedPhone, Identifier};
use crate::money::{Amount, Currency};
use crate::time::Timestamp;

/// What the source says about its rows.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Country of rows that name none: ISO alpha-2 in lower case.
    pub default_country: Option<String>,
    /// Whether rows without consent wait; false only for `consent => 'not_required'`.
    pub consent_not_required: bool,
    /// How rows write dates that are not in ISO order: `date_order`, which is `dmy`, `mdy` or
    /// `ymd`.
    pub date_order: Option<DateOrder>,
    /// The form of hashed phones: `hashed_phone`, which is `digits` or `plus`.
    pub hashed_phone: HashedPhone,
}

impl Options {
    /// Reads the options that `capi.track` stored.
    pub fn from_json(options: &Value) -> Self {
        let text = |key: &str| options.get(key).and_then(Value::as_str);
        Self {
            default_country: text("default_country").and_then(|c| identity::country_code(c).ok()),
            consent_not_required: text("consent") == Some("not_required"),
            date_order: text("date_order").and_then(DateOrder::parse),
            hashed_phone: text("hashed_phone").and_then(HashedPhone::parse).unwrap_or_default(),
        }
    }
}

/// What became of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Captured {
    /// An event for the outbox; its id is not yet given.
    Event(Box<NewEvent>),
    /// Consent is not yet known: the row waits until it changes.
    Waiting,
    /// The row cannot be an event.
    Fault(Fault),
}

/// An event as captured, before the outbox gives it an id.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// The event; `id` is 0.
    pub event: Event,
    /// Platforms or destinations that may not have it, see [`Consent::refused`].
    pub refused: Vec<String>,
    /// Fields that were given and not used, with the reason.
    pub dropped: BTreeMap<String, String>,
}

impl NewEvent {
    /// Leaves of the event what a refused one has: nothing of the person.
    pub fn blank(&mut self) {
        self.event.identity = Identity::default();
        self.event.facts.0.retain(|field, _| field == "order_id");
        self.dropped.clear();
        self.refused = Consent::Refused.refused();
    }
}

/// Why a row cannot be an event. Holds no value of the row but its event name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The field.
    pub field: &'static str,
    /// The rule that it breaks, in one word.
    pub reason: &'static str,
}

/// Clocks differ a little: an event that lies this far ahead is taken to be now.
const CLOCK_TOLERANCE_US: i64 = 10 * 60 * 1_000_000;

/// Stands on record for a key that may not be written down.
pub const NO_KEY: &str = "-";

/// Longest event id and name, in bytes. Platforms publish no limit; this bounds index and log.
pub(super) const LONGEST_ID: usize = 256;

/// Makes an event of a row.
pub fn capture(mut row: Row, options: &Options, now: Timestamp) -> Captured {
    let consent = match given_consent(&row, options) {
        Ok(Consent::Unknown) => return Captured::Waiting,
        Ok(consent) => consent,
        Err(fault) => return Captured::Fault(fault),
    };
    let mut dropped = BTreeMap::new();
    let mut event = match event(&row, now, &mut dropped) {
        Ok(event) => event,
        Err(fault) => return Captured::Fault(fault),
    };
    if consent == Consent::Refused {
        // The books must balance; nothing of the person is needed for that.
        if let Some(order_id) = facts::order_id(&row, event.event_time) {
            event.facts.0.insert("order_id".into(), order_id);
        }
        dropped.clear();
    } else {
        browser::unpack(&mut row, &mut dropped);
        event.identity = identity(&row, options, event.event_time, &mut dropped);
        event.facts = facts::facts(&row, event.event_time, &mut dropped);
        if let Some(kinds) = row.get("consent").and_then(consent::kinds) {
            event.facts.0.insert(consent::FACT.into(), kinds);
        }
        if row.get("consent").is_some_and(consent::has_other_names) {
            dropped.insert("consent".to_owned(), "no_name_of_a_destination".to_owned());
        }
    }
    let refused = consent.refused();
    Captured::Event(Box::new(NewEvent { event, refused, dropped }))
}

/// What a row refuses, whatever else it says: an event of it that is there must hear of that. A consent that
/// cannot be read is none.
pub fn refusal(row: &Row, options: &Options) -> Vec<String> {
    given_consent(row, options).unwrap_or(Consent::Refused).refused()
}

fn given_consent(row: &Row, options: &Options) -> Result<Consent, Fault> {
    match row.get("consent") {
        None if options.consent_not_required => Ok(Consent::Given),
        None => Ok(Consent::Unknown),
        Some(Value::Object(map)) if map.len() > consent::MOST_NAMES => {
            Err(Fault { field: "consent", reason: "too_many" })
        }
        Some(value) => Consent::parse(value)
            .map_err(|_| Fault { field: "consent", reason: "neither_yes_nor_no" }),
    }
}

fn event(
    row: &Row,
    now: Timestamp,
    dropped: &mut BTreeMap<String, String>,
) -> Result<Event, Fault> {
    let event_name = identifier_text(row, "event_name")?;
    if holds_unseen(&event_name) {
        return Err(Fault { field: "event_name", reason: "not_printable" });
    }
    let event_id = identifier_text(row, "event_id")?;
    let event_time = match row.get("event_time") {
        None => return Err(Fault { field: "event_time", reason: "missing" }),
        Some(value) => {
            timestamp(value).ok_or(Fault { field: "event_time", reason: "no_time_with_zone" })?
        }
    };
    if event_time.micros_since(now) > CLOCK_TOLERANCE_US {
        return Err(Fault { field: "event_time", reason: "in_the_future" });
    }
    let action_source = row
        .text("action_source")
        .ok_or(Fault { field: "action_source", reason: "missing" })
        .and_then(|text| {
            ActionSource::parse(&text)
                .ok_or(Fault { field: "action_source", reason: "unknown_action_source" })
        })?;
    // An object or array is no amount and no code; without this it would be as if not given.
    for (field, reason) in [("value", "not_a_number"), ("currency", "unknown_currency")] {
        if row.get(field).is_some_and(|value| scalar(value).is_none()) {
            return Err(Fault { field, reason });
        }
    }
    let value = match row.text("value") {
        None => None,
        // A sum would be a phone number without its `+`.
        Some(text) if person_in(&text).is_some() => {
            return Err(Fault { field: "value", reason: "not_a_number" });
        }
        Some(text) => Some(
            Amount::parse(&text).map_err(|_| Fault { field: "value", reason: "not_a_number" })?,
        ),
    };
    let currency = match row.text("currency") {
        None => None,
        Some(text) => Some(
            Currency::parse(&text)
                .map_err(|_| Fault { field: "currency", reason: "unknown_currency" })?,
        ),
    };
    if event_name == "Purchase" {
        // Never 0, never USD: a wrong number is worse than a late one.
        for (field, missing) in [("value", value.is_none()), ("currency", currency.is_none())] {
            if missing {
                return Err(Fault { field, reason: "missing" });
            }
        }
    }
    let value = match (value, currency) {
        (Some(_), None) => {
            dropped.insert("value".into(), "no_currency".into());
            None
        }
        (value, _) => value,
    };
    Ok(Event {
        id: 0,
        event_name,
        event_id,
        event_time: event_time.min(now),
        action_source,
        value,
        currency,
        identity: Identity::default(),
        facts: Facts::default(),
    })
}

/// A name or id: present, printable, bounded; kept as it is, since the pixel sends the same.
fn identifier_text(row: &Row, field: &'static str) -> Result<String, Fault> {
    let text = row.text(field).ok_or(Fault { field, reason: "missing" })?;
    match () {
        () if text.len() > LONGEST_ID => Err(Fault { field, reason: "too_long" }),
        () if text.chars().any(char::is_control) => Err(Fault { field, reason: "not_printable" }),
        () => match person_in(&text) {
            Some(reason) => Err(Fault { field, reason }),
            None => Ok(text.into_owned()),
        },
    }
}

/// Why the row of this key can be no event: keys are kept in clear.
pub fn key_fault(key: &str) -> Option<Fault> {
    person_in(key).map(|reason| Fault { field: "key", reason })
}

/// Whether the name of an event may stand on the record of a failure.
pub fn is_recordable(name: &str) -> bool {
    name.len() <= LONGEST_ID && !name.chars().any(char::is_control) && person_in(name).is_none()
}

/// The name or id of a row's event, where capture takes it.
pub fn event_text(row: &Row, field: &'static str) -> Option<String> {
    identifier_text(row, field).ok()
}

/// Whether a name holds what nobody sees, such as a space of no width: `Purchase` with one behind
/// it would be an event of its own to every platform. What joins or varies letters and signs that
/// are not ASCII is seen by its effect.
fn holds_unseen(name: &str) -> bool {
    let mut before = ' ';
    name.chars().any(|c| {
        let joins = matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}');
        let shows_nothing = c.general_category() == GeneralCategory::Format
            || matches!(c, '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}')
            || matches!(c, '\u{180b}'..='\u{180f}' | '\u{2028}' | '\u{2029}' | '\u{2800}')
            || matches!(c, '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}')
            || matches!(c, '\u{e0000}'..='\u{e0fff}');
        let unseen = shows_nothing && (!joins || before.is_ascii());
        before = c;
        unseen
    })
}

/// The digests of a row; says what was dropped and why.
pub(crate) fn identity(
    row: &Row,
    options: &Options,
    event_time: Timestamp,
    dropped: &mut BTreeMap<String, String>,
) -> Identity {
    let code = |field: &str| row.text(field).and_then(|text| identity::country_code(&text).ok());
    let country = code("country").or_else(|| options.default_country.clone());
    let phone_country = code("phone_country");
    let zip = Some(row.texts("zip").join(","));
    let context = Context {
        country: country.as_deref(),
        phone_country: phone_country.as_deref(),
        zip: zip.as_deref(),
        latest_birth: event_time.date(),
        date_order: options.date_order,
        hashed_phone: options.hashed_phone,
        ..Context::default()
    };
    if row.holds_nested("phone_country") {
        dropped.insert("phone_country".to_owned(), "wrong_shape".to_owned());
    }
    let mut digests = BTreeMap::new();
    for identifier in Identifier::ALL {
        let name = identifier.as_str();
        let texts = row.texts(name);
        if row.holds_nested(name) {
            dropped.insert(name.to_owned(), "wrong_shape".to_owned());
        }
        if texts.is_empty() {
            continue;
        }
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        let hashed = identity::hash_all(identifier, &texts, &context);
        // That there are more says more than what is wrong with one of them.
        let too_many = hashed.dropped.iter().find(|r| **r == DropReason::TooMany);
        let bad = || hashed.dropped.iter().find(|r| **r != DropReason::Empty);
        if let Some(reason) = too_many.or_else(bad) {
            dropped.insert(name.to_owned(), reason.as_str().to_owned());
        }
        if !hashed.digests.is_empty() {
            digests.insert(Form::Plain.key(identifier), hashed.digests);
        }
        for (form, of_form) in hashed.forms {
            digests.insert(form.key(identifier), of_form);
        }
    }
    digests.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field;
    use crate::hash::Digest;
    use proptest::prelude::{Strategy, any, prop, proptest};
    use serde_json::json;

    const NOW: Timestamp = Timestamp(1_790_000_000_000_000);

    fn row(changes: Value) -> Row {
        let mut row = json!({
            "event_name": "Purchase",
            "event_id": "order-42",
            "event_time": NOW.0 - 1_000_000,
            "action_source": "website",
            "value": "129.90",
            "currency": "eur",
            "email": " Jane.Doe@Example.com ",
            "phone": "030 23125 123",
            "country": "Germany",
            "consent": true,
        });
        let (Value::Object(row), Value::Object(changes)) = (&mut row, changes) else {
            panic!("objects expected")
        };
        row.extend(changes);
        Row::from_object(std::mem::take(row))
    }

    fn captured(changes: Value) -> NewEvent {
        match capture(row(changes), &Options::default(), NOW) {
            Captured::Event(event) => *event,
            other => panic!("an event was expected: {other:?}"),
        }
    }

    fn fault(changes: Value) -> Fault {
        match capture(row(changes), &Options::default(), NOW) {
            Captured::Fault(fault) => fault,
            other => panic!("a fault was expected: {other:?}"),
        }
    }

    #[test]
    fn a_city_loses_the_postal_code_that_is_one_of_several() {
        for zip in [json!("98121"), json!(["10115", "98121"]), json!(["98121-4892", null])] {
            let changes = json!({"city": "Seattle 98121", "zip": zip});
            let options = Options { consent_not_required: true, ..Options::default() };
            let Captured::Event(new) = capture(row(changes), &options, NOW) else {
                panic!("an event")
            };
            assert_eq!(new.event.identity.get("city"), Some(&[Digest::of("seattle")][..]));
        }
    }

    #[test]
    fn an_order_becomes_an_event_without_clear_text() {
        let NewEvent { event, refused, dropped } = captured(json!({}));
        assert_eq!(event.value.as_ref().map(Amount::as_str), Some("129.90"));
        assert_eq!(event.currency.map(|c| c.as_str().to_owned()), Some("EUR".into()));
        assert_eq!(
            event.identity.digests("email", "meta"),
            [crate::hash::Digest::of("jane.doe@example.com")]
        );
        assert!(refused.is_empty());
        assert_eq!(dropped, BTreeMap::new());
        let stored = serde_json::to_string(&(event.identity, event.facts)).expect("json");
        assert!(!stored.to_lowercase().contains("jane") && !stored.contains("23125"), "{stored}");
    }

    #[test]
    fn money_is_never_made_up() {
        for (field, reason, value) in [
            ("value", "missing", json!(null)),
            ("currency", "missing", json!(null)),
            ("currency", "missing", json!(" ")),
            ("currency", "unknown_currency", json!("ZZZ")),
            ("value", "not_a_number", json!("NaN")),
        ] {
            assert_eq!(fault(json!({field: value})), Fault { field, reason });
        }
        assert_eq!(
            captured(json!({"value": 0})).event.value.as_ref().map(Amount::as_str),
            Some("0")
        );
        let lead = captured(json!({"event_name": "Lead", "currency": null}));
        assert_eq!(lead.event.value, None);
        assert_eq!(lead.dropped["value"], "no_currency");
    }

    #[test]
    fn a_name_holds_nothing_that_nobody_sees() {
        for unseen in
            ['\u{200b}', '\u{feff}', '\u{ad}', '\u{200c}', '\u{3164}', '\u{e0061}', '\u{7}']
        {
            let name = format!("Purchase{unseen}");
            let expected = Fault { field: "event_name", reason: "not_printable" };
            assert_eq!(fault(json!({"event_name": name})), expected, "{unseen:?}");
        }
        for name in ["Möbel gekauft", "خرید\u{200c}ها", "❤\u{fe0f} gemerkt", "購入"] {
            assert_eq!(captured(json!({"event_name": name})).event.event_name, name);
        }
    }

    #[test]
    fn event_time_is_the_business_time() {
        let old = NOW.0 - 40 * 86_400_000_000;
        assert_eq!(captured(json!({"event_time": old})).event.event_time, Timestamp(old));
        let little = NOW.0 + CLOCK_TOLERANCE_US;
        assert_eq!(captured(json!({"event_time": little})).event.event_time, NOW);
        let reason = |time: Value| fault(json!({"event_time": time})).reason;
        assert_eq!(reason(json!(little + 1)), "in_the_future");
        assert_eq!(reason(json!("2026-01-01T10:00:00")), "no_time_with_zone");
        assert_eq!(reason(json!(null)), "missing");
    }

    #[test]
    fn consent_decides() {
        let of =
            |consent: Value| capture(row(json!({"consent": consent})), &Options::default(), NOW);
        assert_eq!(of(json!(null)), Captured::Waiting);
        assert!(matches!(of(json!("perhaps")), Captured::Fault(Fault { field: "consent", .. })));
        let free = Options { consent_not_required: true, ..Options::default() };
        assert!(matches!(capture(row(json!({"consent": null})), &free, NOW), Captured::Event(_)));

        let refused = captured(json!({"consent": false, "order_id": "42", "fbp": "x",
            "client_ip_address": "203.0.113.7", "event_source_url": "https://shop.example.com"}));
        assert_eq!(refused.refused, ["*"]);
        assert!(refused.event.identity.is_empty());
        assert_eq!(Value::Object(refused.event.facts.0.into()), json!({"order_id": "42"}));
        assert!(refused.event.value.is_some(), "the books still balance");

        let some = captured(json!({"consent": {"meta": true, "tiktok": false}}));
        assert_eq!(some.refused, ["*", "!meta"]);
        assert!(!some.event.identity.is_empty());
    }

    #[test]
    fn a_bad_field_drops_the_field_and_says_why() {
        let event = captured(json!({"email": "n/a", "client_ip_address": "10.0.0.1",
            "fbc": "nonsense", "num_items": "many", "contents": "none", "city": ""}));
        let reasons: Vec<(&str, &str)> =
            event.dropped.iter().map(|(f, r)| (f.as_str(), r.as_str())).collect();
        assert_eq!(
            reasons,
            [
                ("client_ip_address", "private_address"),
                ("contents", "wrong_shape"),
                ("email", "placeholder"),
                ("fbc", "malformed"),
                ("num_items", "not_a_whole_number"),
            ]
        );
        assert!(event.event.identity.digests("phone", "meta").len() == 1);
    }

    #[test]
    fn a_number_that_postgres_cannot_store_drops_the_field() {
        let custom: Value = serde_json::from_str("{\"a\": [1e400000]}").expect("JSON");
        let event = captured(json!({"custom": custom}));
        assert_eq!(event.dropped["custom"], "number_out_of_range");
        assert!(captured(json!({"custom": {"a": 1.5e300}})).dropped.is_empty());
    }

    #[test]
    fn nobody_is_born_after_the_event() {
        let event = captured(json!({"date_of_birth": "2090-01-01"}));
        assert_eq!(event.dropped["date_of_birth"], "impossible_date");
    }

    #[test]
    fn browser_fills_what_has_no_column_of_its_own() {
        let event = captured(json!({
            "browser": {"ip": "203.0.113.7:443", "user_agent": "UA", "gclid": "G"},
            "client_user_agent": "own column",
        }));
        assert_eq!(event.event.facts.text("client_ip_address"), Some("203.0.113.7"));
        assert_eq!(event.event.facts.text("client_user_agent"), Some("own column"));
        assert_eq!(event.event.facts.text("gclid"), Some("G"));
    }

    #[test]
    fn an_email_address_in_a_url_is_cut_off() {
        for (given, stored) in [
            ("https://shop.example.com/c?email=jane%40example.com", "https://shop.example.com/c"),
            ("https://shop.example.com/c#jane@example.com", "https://shop.example.com/c"),
            ("https://shop.example.com/c?utm_source=x", "https://shop.example.com/c?utm_source=x"),
        ] {
            let event = captured(json!({"event_source_url": given}));
            assert_eq!(event.event.facts.text("event_source_url"), Some(stored));
        }
    }

    #[test]
    fn an_identifier_of_another_shape_is_on_record() {
        let nested = json!({"address": "jane@example.com"});
        for field in ["email", "phone", "country", "date_of_birth", "external_id", "phone_country"]
        {
            let event = captured(json!({field: nested}));
            assert_eq!(event.dropped[field], "wrong_shape", "{field}");
        }
        let event = captured(json!({"email": ["jane@example.com", nested]}));
        assert_eq!(event.dropped["email"], "wrong_shape");
        assert_eq!(event.event.identity.digests("email", "meta").len(), 1);
        let event = captured(json!({"browser": {"fbp": nested}, "fbclid": nested}));
        assert_eq!(event.dropped["fbp"], "wrong_shape");
        assert_eq!(event.dropped["fbclid"], "wrong_shape");
        let event = captured(json!({"fbclid": "AbC", "fbclid_at": "2026-09-01 10:00"}));
        assert_eq!(event.dropped["fbclid_at"], "no_time_with_zone");
        for (field, reason) in [("value", "not_a_number"), ("currency", "unknown_currency")] {
            let wrong = fault(json!({"event_name": "Lead", field: nested}));
            assert_eq!(wrong, Fault { field, reason });
        }
    }

    #[test]
    fn arrays_of_identifiers_are_taken_one_by_one() {
        let event = captured(json!({"email": ["a@example.com", "A@example.com", "none", null]}));
        assert_eq!(event.event.identity.digests("email", "meta").len(), 1);
    }

    #[test]
    fn a_source_declares_its_dates_and_hashed_phones() {
        let options = json!({"date_order": "dmy", "hashed_phone": "plus"});
        let digest = crate::hash::Digest::of("+4930901820");
        let row = row(json!({"date_of_birth": "02/03/1997", "phone": digest.as_str()}));
        let captured = capture(row, &Options::from_json(&options), NOW);
        let Captured::Event(new) = captured else { panic!("an event was expected") };
        let identity = new.event.identity;
        let day = crate::hash::Digest::of("19970302");
        assert_eq!(identity.digests("date_of_birth", "meta"), [day]);
        assert_eq!(identity.digests("phone", "tiktok"), [digest]);
        assert!(identity.digests("phone", "meta").is_empty());
    }

    fn anything() -> impl Strategy<Value = Value> {
        let leaf = proptest::prop_oneof![
            proptest::prelude::Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,40}".prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 12, 4, |inner| {
            proptest::prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z_]{1,8}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Whatever a view yields, capture neither panics nor stores an empty digest.
        #[test]
        fn no_row_panics(values in prop::collection::vec((0..field::FIELDS.len(), anything()), 0..8)) {
            let mut row = row(json!({}));
            for (n, value) in values {
                row.0.insert(field::FIELDS[n].name, value);
            }
            if let Captured::Event(new) = capture(row, &Options::default(), NOW) {
                let stored = serde_json::to_string(&new.event.identity).expect("json");
                assert!(!stored.contains("e3b0c44298fc1c149afbf4c8996fb924"));
            }
        }
    }
}
