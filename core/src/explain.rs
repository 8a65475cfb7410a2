//! What becomes of the fields of a row: used, dropped and why, or missing. For one row
//! ([`fields`], [`outcome`]) and counted over many ([`Survey`]).

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::capture::{self, Captured, Fault, NewEvent, Options, Row, capture};
use crate::consent::refuses;
use crate::destination::Unfit;
use crate::event::Event;
use crate::field::{Class, FIELDS};
use crate::hash::Digest;
use crate::identity::DropReason;
use crate::platform;
use crate::time::Timestamp;

/// What became of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// At least one value goes to the platform.
    Used,
    /// Given, and none of its values goes.
    Dropped,
    /// Not given.
    Missing,
}

impl Status {
    /// The word in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::Dropped => "dropped",
            Self::Missing => "missing",
        }
    }
}

/// What became of one field of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldUse {
    /// The field.
    pub field: &'static str,
    /// What became of it.
    pub status: Status,
    /// Values that go to the platform: more than one only for arrays.
    pub values: usize,
    /// Why a value was dropped: a word, never the value; for a part of it, `path: word`.
    pub reason: Option<String>,
    /// Whether the platform finds a person by it.
    pub matches: bool,
}

/// What would become of a row as a whole; reasons are words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// `sent`, `capture_error`, `waiting`, `suppressed`, `expired`, `refused` or `unrouted`.
    pub status: &'static str,
    /// The field that is to blame, where one is.
    pub field: Option<&'static str>,
    /// Why it is not sent.
    pub reason: Option<String>,
}

impl Outcome {
    fn new(status: &'static str, reason: &str) -> Self {
        Self { status, field: None, reason: Some(reason.to_owned()) }
    }
}

/// What becomes of the fields by which `platform` finds a person, in the order of `capi.field`,
/// and of every other field of which something was dropped. Consent is taken as given and a fault
/// of the event as mended: [`outcome`] tells of those.
pub fn fields(row: &Row, options: &Options, now: Timestamp, platform: &str) -> Vec<FieldUse> {
    let mut uses = Vec::new();
    // Of what is no event even then, nothing is known.
    let Some(NewEvent { event, dropped, .. }) = identified(row, options, now) else { return uses };
    for known in FIELDS {
        let values = match known.class {
            Class::Digest => event.identity.digests(known.name, platform).len(),
            Class::Clear | Class::Fact => usize::from(event.facts.get(known.name).is_some()),
            Class::Event | Class::Control => 0,
        };
        let matches = match known.class {
            Class::Digest => true,
            Class::Clear => known.platforms.contains(&platform),
            _ => false,
        };
        let reason = dropped
            .iter()
            .find(|(path, _)| base(path) == known.name)
            .map(|(path, reason)| match path == known.name {
                true => reason.clone(),
                false => format!("{path}: {reason}"),
            })
            .or_else(|| {
                let is_elsewhere = known.class == Class::Digest && values == 0;
                is_elsewhere.then(|| other_form(&event, row, known.name)).flatten()
            });
        let status = match (&reason, values) {
            (_, 1..) => Status::Used,
            (Some(_), 0) => Status::Dropped,
            (None, 0) => Status::Missing,
        };
        let concerns = known.platforms.is_empty() || known.platforms.contains(&platform);
        if matches || (reason.is_some() && concerns) {
            uses.push(FieldUse { field: known.name, status, values, reason, matches });
        }
    }
    uses
}

/// The field of a path such as `contents[].quantity` or `custom.email`.
fn base(path: &str) -> &str {
    path.split(['.', '[']).next().unwrap_or(path)
}

/// Why an identifier that other platforms get is not there for this one.
fn other_form(event: &Event, row: &Row, field: &str) -> Option<String> {
    let given = event.identity.iter().any(|(key, _)| key.split('/').next() == Some(field));
    let is_digest = |value: &Value| value.as_str().is_some_and(|t| Digest::recognise(t).is_some());
    let hashed = match row.0.get(field) {
        Some(Value::Array(values)) => values.iter().all(is_digest),
        Some(value) => is_digest(value),
        None => false,
    };
    let reason = if hashed { DropReason::DigestOfOtherForm } else { DropReason::NotInForm };
    given.then(|| reason.as_str().to_owned())
}

/// The row's event with consent, and with faults of the event itself mended.
fn identified(row: &Row, options: &Options, now: Timestamp) -> Option<NewEvent> {
    let options = Options { consent_not_required: true, ..options.clone() };
    let mut row = row.clone();
    row.0.remove("consent");
    // One fault is reported at a time, so each round mends one; none comes back.
    for _ in 0..8 {
        match capture(row.clone(), &options, now) {
            Captured::Event(event) => return Some(*event),
            Captured::Fault(Fault { field, .. }) => {
                let mended = match field {
                    "event_time" => Value::from(now.0),
                    "action_source" => "other".into(),
                    "value" | "currency" => {
                        // No event but a purchase needs them.
                        row.0.remove("value");
                        row.0.remove("currency");
                        row.0.insert("event_name", "Lead".into());
                        continue;
                    }
                    _ => "Lead".into(),
                };
                row.0.insert(field, mended);
            }
            Captured::Waiting => break,
        }
    }
    None
}

/// What would become of a row: on `platform`, whatever the settings of a destination; without
/// one, up to the outbox.
pub fn outcome(row: Row, options: &Options, now: Timestamp, platform: Option<&str>) -> Outcome {
    let NewEvent { event, refused, .. } = match capture(row, options, now) {
        Captured::Event(event) => *event,
        Captured::Waiting => return Outcome::new("waiting", "consent_unknown"),
        Captured::Fault(Fault { field, reason }) => {
            return Outcome { field: Some(field), ..Outcome::new("capture_error", reason) };
        }
    };
    let sent = Outcome { status: "sent", field: None, reason: None };
    let Some(platform) = platform else { return sent };
    if !platform::platforms().contains(&platform) {
        return Outcome::new("unrouted", "no_such_destination");
    }
    // No destination has an empty name: exceptions for single ones stay out of account.
    if refuses(&refused, platform, "") {
        return Outcome::new("suppressed", "consent_refused");
    }
    let age = now.micros_since(event.event_time);
    let limit = platform::max_age_of(platform, &event);
    if limit.is_some_and(|limit| age > i64::try_from(limit.as_micros()).unwrap_or(i64::MAX)) {
        return Outcome::new("expired", "too_old");
    }
    match platform::unfit_of(platform, &event) {
        None => sent,
        Some(Unfit::Refused(reason)) => Outcome::new("refused", &reason.0),
        Some(Unfit::Unrouted(reason)) => Outcome::new("unrouted", &reason.0),
    }
}

/// The product ids of a row, each once: those of `contents` and `content_ids`.
pub fn content_ids(row: &Row) -> Vec<String> {
    let list = |field| row.0.get(field).and_then(Value::as_array).into_iter().flatten();
    let of_items = list("contents").filter_map(|item| item.get("id"));
    let mut ids: Vec<String> = of_items
        .chain(list("content_ids"))
        .filter_map(|id| match id {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// What a reason of this page, of `dropped_fields` or of a receipt means, in one sentence with the
/// way out. The field may be a path, the platform none.
pub fn advice(field: Option<&str>, platform: &str, reason: &str) -> Option<&'static str> {
    let own = match reason {
        "consent_unknown" => Some("the row waits until the view returns true or false for consent"),
        "no_such_destination" => {
            Some("this version cannot send to the platform; its identifiers are stored already")
        }
        _ => None,
    };
    let (field, reason) = match reason.split_once(": ") {
        Some((path, word)) => (Some(path), word),
        None => (field, reason),
    };
    own.or_else(|| capture::explain(field.unwrap_or_default(), reason))
        .or_else(|| platform::explain(platform, reason))
}

/// What a sample of rows comes to.
#[derive(Debug, Default)]
pub struct Survey {
    /// Rows that were added.
    pub rows: u64,
    /// By field.
    pub fields: BTreeMap<&'static str, Tally>,
    /// Rows by what would become of them: status, field and reason.
    pub outcomes: BTreeMap<(&'static str, Option<&'static str>, Option<String>), u64>,
    ids: HashMap<(String, String), u64>,
}

/// How often a field is there.
#[derive(Debug, Default)]
pub struct Tally {
    /// Whether the platform finds a person by it; of other fields only drops are counted.
    pub matches: bool,
    /// Rows in which it has a value, good or bad.
    pub present: u64,
    /// Rows in which a value of it goes to the platform.
    pub used: u64,
    /// Rows by the reason why a value was dropped.
    pub reasons: BTreeMap<String, u64>,
}

impl Survey {
    /// Adds a row as `platform` would see it; without one, as the outbox does.
    pub fn add(&mut self, row: Row, options: &Options, now: Timestamp, platform: Option<&str>) {
        self.rows += 1;
        for field in fields(&row, options, now, platform.unwrap_or("meta")) {
            let tally = self.fields.entry(field.field).or_default();
            tally.matches = field.matches;
            tally.present += u64::from(field.status != Status::Missing);
            tally.used += u64::from(field.status == Status::Used);
            if let Some(reason) = field.reason {
                *tally.reasons.entry(reason).or_default() += 1;
            }
        }
        let text = |field| row.0.get(field).and_then(Value::as_str).map(str::to_owned);
        if let (Some(name), Some(id)) = (text("event_name"), text("event_id")) {
            *self.ids.entry((name, id)).or_default() += 1;
        }
        let Outcome { status, field, reason } = outcome(row, options, now, platform);
        *self.outcomes.entry((status, field, reason)).or_default() += 1;
    }

    /// Rows whose event name and id another row has too: only one of them can be captured.
    pub fn repeated_ids(&self) -> u64 {
        self.ids.values().filter(|rows| **rows > 1).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: Timestamp = Timestamp(1_790_000_000_000_000);

    fn row(changes: Value) -> Row {
        let mut row = json!({
            "event_name": "Purchase", "event_id": "order-1", "event_time": NOW.0 - 1_000_000,
            "action_source": "website", "event_source_url": "https://shop.example.com/thanks",
            "value": "10", "currency": "EUR", "consent": true,
        });
        let (Value::Object(row), Value::Object(changes)) = (&mut row, changes) else {
            panic!("objects expected")
        };
        row.extend(changes);
        Row::from_object(std::mem::take(row))
    }

    fn field(row: &Row, platform: &str, name: &str) -> (Status, usize, Option<String>) {
        let uses = fields(row, &Options::default(), NOW, platform);
        let found = uses.into_iter().find(|found| found.field == name).expect("the field is there");
        (found.status, found.values, found.reason)
    }

    #[test]
    fn tells_what_is_used_dropped_and_missing() {
        let row = row(json!({
            "email": ["jane@example.com", "n/a"], "phone": "0000000", "state": "Bavaria",
            "browser": {"ip": "10.0.0.1", "fbp": "fb.1.1789999999999.1"},
        }));
        let why = |word: &str| Some(word.to_owned());
        assert_eq!(field(&row, "meta", "email"), (Status::Used, 1, why("placeholder")));
        assert_eq!(field(&row, "meta", "phone"), (Status::Dropped, 0, why("placeholder")));
        assert_eq!(field(&row, "meta", "city"), (Status::Missing, 0, None));
        assert_eq!(field(&row, "meta", "fbp"), (Status::Used, 1, None));
        assert_eq!(
            field(&row, "meta", "client_ip_address"),
            (Status::Dropped, 0, why("private_address"))
        );
        assert_eq!(field(&row, "meta", "state").0, Status::Used);
        assert_eq!(field(&row, "pinterest", "state"), (Status::Dropped, 0, why("not_in_form")));
    }

    #[test]
    fn parts_that_are_dropped_are_told_with_their_field() {
        let row = row(json!({
            "contents": [{"id": "a", "quantity": "many"}], "app_data": {"extinfo": ["i2"], "foo": 1},
        }));
        let (status, values, reason) = field(&row, "meta", "contents");
        assert_eq!((status, values), (Status::Used, 1));
        assert!(reason.is_some_and(|r| r.starts_with("contents[].quantity: ")));
        let (_, _, reason) = field(&row, "meta", "app_data");
        let reason = reason.expect("app_data has parts that are wrong");
        assert!(advice(Some("app_data"), "meta", &reason).is_some(), "{reason}");
    }

    #[test]
    fn nothing_is_sent_where_nothing_can_be() {
        let row = row(json!({"email": "jane@example.com"}));
        let outcome = outcome(row, &Options::default(), NOW, Some("microsoft"));
        assert_eq!(outcome.status, "unrouted");
    }

    #[test]
    fn a_digest_serves_its_own_form_only() {
        let row = row(json!({"email": Digest::of("jane@example.com").as_str()}));
        assert_eq!(field(&row, "meta", "email").0, Status::Used);
        let (status, _, reason) = field(&row, "google_ads", "email");
        assert_eq!((status, reason.as_deref()), (Status::Dropped, Some("digest_of_other_form")));
    }

    #[test]
    fn a_faulty_event_still_tells_of_its_identifiers() {
        for fault in [
            json!({"currency": null}),
            json!({"value": "many", "currency": "ZZZ"}),
            json!({"event_time": null, "action_source": "shop", "event_id": "", "event_name": ""}),
            json!({"consent": null}),
            json!({"consent": "perhaps"}),
        ] {
            let mut row = row(fault);
            row.0.insert("email", "jane@example.com".into());
            assert_eq!(field(&row, "meta", "email").0, Status::Used);
            assert_ne!(outcome(row, &Options::default(), NOW, Some("meta")).status, "sent");
        }
    }

    #[test]
    fn the_outcome_is_what_would_happen() {
        let of = |changes: Value| {
            let mut row = row(changes);
            row.0.entry("email").or_insert("jane@example.com".into());
            let outcome = outcome(row, &Options::default(), NOW, Some("meta"));
            (outcome.status, outcome.reason.unwrap_or_default())
        };
        assert_eq!(of(json!({})), ("sent", String::new()));
        assert_eq!(of(json!({"consent": null})), ("waiting", "consent_unknown".into()));
        assert_eq!(of(json!({"consent": false})), ("suppressed", "consent_refused".into()));
        assert_eq!(of(json!({"email": null})), ("refused", "missing_identity".into()));
        let old = NOW.0 - 8 * 86_400_000_000;
        assert_eq!(of(json!({"event_time": old})), ("expired", "too_old".into()));
        assert_eq!(of(json!({"currency": "ZZZ"})), ("capture_error", "unknown_currency".into()));
    }

    #[test]
    fn a_survey_counts_rows() {
        let mut survey = Survey::default();
        for changes in [
            json!({"email": "jane@example.com", "event_id": "1"}),
            json!({"email": "n/a", "event_id": "2"}),
            json!({"event_id": "2", "fbp": "fb.1.1789999999999.1"}),
        ] {
            survey.add(row(changes), &Options::default(), NOW, Some("meta"));
        }
        let email = &survey.fields["email"];
        assert_eq!((survey.rows, email.present, email.used), (3, 2, 1));
        assert_eq!(email.reasons["placeholder"], 1);
        assert_eq!(survey.repeated_ids(), 2);
        assert_eq!(survey.outcomes[&("sent", None, None)], 2);
    }

    #[test]
    fn product_ids_come_once_each_and_as_text() {
        let row = row(json!({"contents": [{"id": "b"}, {"id": 7}, {"quantity": 1}],
            "content_ids": ["b", "a", null]}));
        assert_eq!(content_ids(&row), ["7", "a", "b"]);
        assert_eq!(content_ids(&Row::default()), [""; 0]);
    }

    #[test]
    fn there_is_advice_on_whatever_is_said() {
        for (field, reason) in [
            (Some("email"), "placeholder"),
            (Some("currency"), "missing"),
            (Some("contents[].quantity"), "not_a_whole_number"),
            (None, "consent_unknown"),
            (None, "consent_refused"),
            (None, "too_old"),
            (None, "no_such_destination"),
            (None, "missing_identity"),
            (None, "insufficient_identity"),
            (None, "missing_event_source_url"),
        ] {
            assert!(advice(field, "meta", reason).is_some(), "{reason}");
        }
        assert_eq!(advice(None, "meta", "xyzzy"), None);
    }
}
