//! Custom audiences: whom a row of a view makes a member, under which digests, and who must stay
//! out. What a platform is told of them is the platform's file.
//!
//! Identifiers are normalised and hashed by the code that captures events, so that a person has the
//! same digests in both. Nothing here holds clear text for longer than a row takes.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::capture::{self, Options, Row};
use crate::consent::{Consent, refuses};
use crate::event::Identity;
use crate::hash::{Digest, fingerprint, salted};
use crate::identity::{self, Context, Identifier, Normalized};
use crate::money::Amount;
use crate::time::Timestamp;

/// What a member is stored as: one digest or nothing per part, in this order.
pub const PARTS: [&str; 13] = [
    "email",
    "phone",
    "external_id",
    "first_name",
    "last_name",
    "gender",
    "birth_year",
    "birth_month",
    "birth_day",
    "city",
    "state",
    "zip",
    "country",
];

/// How many of the first [`PARTS`] belong to one person alone. One of them must be there: by them
/// somebody is removed and forgotten.
pub const STRONG: usize = 3;

/// The column that says when somebody has consented last; no field of conversion views.
pub const CONSENT_AT: &str = "consent_at";

/// Fields whose columns an audience reads. Others of its view are left alone.
pub const COLUMNS: [&str; 14] = [
    "consent",
    "value",
    "email",
    "phone",
    "phone_country",
    "external_id",
    "first_name",
    "last_name",
    "gender",
    "date_of_birth",
    "city",
    "state",
    "zip",
    "country",
];

/// Whose list it is.
#[derive(Clone, Debug)]
pub struct Audience {
    /// The destination's platform.
    pub platform: String,
    /// The destination's name: consent may speak of it alone.
    pub destination: String,
    /// How rows are written.
    pub options: Options,
    /// Whether the members have values.
    pub valued: bool,
}

/// Somebody who may be a member, unless he has withdrawn or was forgotten.
#[derive(Clone, Debug)]
pub struct Person {
    digests: [Option<Digest>; PARTS.len()],
    /// What the member is worth.
    pub value: Option<Amount>,
    /// Every digest of an email address, phone or id of the row.
    pub known_by: Vec<Digest>,
    /// When consent was given last, where the row says so.
    pub consent_at: Option<Timestamp>,
}

/// Why somebody stays out: words of this module and of the database.
pub const REASONS: &[(&str, &str)] = &[
    ("consent_refused", "consent is false, for all or for this platform or destination"),
    ("consent_unknown", "consent is null: nobody was asked yet"),
    ("consent_unreadable", "consent says neither yes nor no; give true, false or null"),
    ("missing_identity", "neither email address nor phone nor external_id was usable"),
    (
        "missing_value",
        "the view has a column value and the row has none; coalesce it, or leave it out",
    ),
    ("not_a_value", "value is no decimal number, or negative"),
    ("withdrawn", "capi.withdraw, or a row that was captured, says no for this person"),
    ("forgotten", "capi.forget or capi.forget_person was called for this person"),
    ("repeated", "another row is of the same person; the one of greater value counts"),
];

/// Who the row is, or why nobody may be told of him.
pub fn person(
    mut row: Map<String, Value>,
    audience: &Audience,
    now: Timestamp,
) -> Result<Person, &'static str> {
    let consent_at = row.remove(CONSENT_AT).and_then(|value| match value {
        Value::Number(micros) => micros.as_i64().map(Timestamp),
        Value::String(text) => {
            text.parse().ok().map(Timestamp).or_else(|| Timestamp::parse(&text).ok())
        }
        _ => None,
    });
    let row = Row::from_object(row);
    match row.0.get("consent").map_or(Ok(Consent::Unknown), Consent::parse) {
        Err(_) => return Err("consent_unreadable"),
        Ok(Consent::Unknown) => return Err("consent_unknown"),
        Ok(consent) if refuses(&consent.refused(), &audience.platform, &audience.destination) => {
            return Err("consent_refused");
        }
        Ok(_) => {}
    }
    let identity = capture::identity(&row, &audience.options, now, &mut BTreeMap::new());
    let first = |name: &str| identity.digests(name, &audience.platform).first().cloned();
    let birth = birth(&row, audience, now);
    let digests = PARTS.map(|part| match part {
        "birth_year" => birth.as_ref().map(|day| Digest::of(&day[..4])),
        "birth_month" => birth.as_ref().map(|day| Digest::of(&day[4..6])),
        "birth_day" => birth.as_ref().map(|day| Digest::of(&day[6..])),
        field => first(field),
    });
    if digests[..STRONG].iter().all(Option::is_none) {
        return Err("missing_identity");
    }
    let value = audience.valued.then(|| value(&row)).transpose()?;
    Ok(Person { known_by: known_by(&identity), digests, value, consent_at })
}

/// Digests in every form: what was forgotten was stored in some of them.
fn known_by(identity: &Identity) -> Vec<Digest> {
    let is_strong = |form: &str| PARTS[..STRONG].contains(&form.split('/').next().unwrap_or(form));
    let strong = identity.iter().filter(|(form, _)| is_strong(form));
    let mut digests: Vec<Digest> = strong.flat_map(|(_, digests)| digests).cloned().collect();
    digests.sort();
    digests.dedup();
    digests
}

/// The eight digits of a day of birth. One that the source has hashed as a whole has no parts.
fn birth(row: &Row, audience: &Audience, now: Timestamp) -> Option<String> {
    let text = row.text("date_of_birth")?;
    let context = Context {
        latest_birth: now.date(),
        date_order: audience.options.date_order,
        ..Context::default()
    };
    match identity::normalize(Identifier::DateOfBirth, &text, &audience.platform, &context) {
        Ok(Normalized::Text(day)) if day.len() == 8 && day.is_ascii() => Some(day),
        _ => None,
    }
}

fn value(row: &Row) -> Result<Amount, &'static str> {
    let text = row.text("value").ok_or("missing_value")?;
    match Amount::parse(&text) {
        Ok(amount) if !amount.as_str().starts_with('-') => Ok(amount),
        _ => Err("not_a_value"),
    }
}

impl Person {
    /// The digests in the order of [`PARTS`], an empty text where there is none.
    pub fn digests(&self) -> impl Iterator<Item = &str> {
        self.digests.iter().map(|digest| digest.as_ref().map_or("", Digest::as_str))
    }

    /// What makes the member one and the same: the strong identifiers, under the salt of the
    /// installation and the number of the audience, so that no two lists can be laid side by side.
    pub fn key(&self, salt: &[u8], audience: i32) -> [u8; 16] {
        let number = audience.to_string();
        let mut parts = vec![number];
        parts.extend(self.digests[..STRONG].iter().map(|digest| {
            let digest = digest.as_ref().map(|digest| salted(salt, digest));
            digest.iter().flatten().map(|byte| format!("{byte:02x}")).collect()
        }));
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        fingerprint(&parts)
    }

    /// Another one when something changes that the platform should hear of.
    pub fn content(&self) -> [u8; 16] {
        let value = self.value.as_ref().map_or("", |value| canonical(value.as_str()));
        let parts: Vec<&str> = self.digests().chain([value]).collect();
        fingerprint(&parts)
    }
}

/// A decimal without trailing zeros: 10.50 is worth 10.5.
fn canonical(value: &str) -> &str {
    match value.contains('.') {
        true => value.trim_end_matches('0').trim_end_matches('.'),
        false => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const NOW: Timestamp = Timestamp(1_790_000_000_000_000);

    fn audience(valued: bool) -> Audience {
        Audience {
            platform: "meta".into(),
            destination: "meta-eu".into(),
            options: Options::default(),
            valued,
        }
    }

    fn read(row: Value, valued: bool) -> Result<Person, &'static str> {
        let Value::Object(row) = row else { panic!("an object") };
        person(row, &audience(valued), NOW)
    }

    fn part(person: &Person, name: &str) -> String {
        let at = PARTS.iter().position(|part| *part == name).expect("a part");
        person.digests().nth(at).expect("one per part").to_owned()
    }

    #[test]
    fn digests_are_those_of_events() {
        let row = json!({
            "consent": true, "email": " Erika.Mustermann@Example.com", "phone": "030 23125 042",
            "first_name": "Erika", "last_name": "Mustermann", "gender": "female",
            "date_of_birth": "1985-02-16", "city": "Berlin", "state": "BE", "zip": "10115",
            "country": "DE", "external_id": "K-17",
        });
        let Value::Object(object) = row.clone() else { panic!("an object") };
        let member = read(row, false).expect("a person");
        let mut dropped = BTreeMap::new();
        let identity =
            capture::identity(&Row::from_object(object), &Options::default(), NOW, &mut dropped);
        for field in PARTS.iter().filter(|part| !part.starts_with("birth_")) {
            assert_eq!(
                part(&member, field),
                identity.digests(field, "meta")[0].as_str(),
                "{field}"
            );
        }
        assert_eq!(part(&member, "birth_year"), Digest::of("1985").as_str());
        assert_eq!(part(&member, "birth_month"), Digest::of("02").as_str());
        assert_eq!(part(&member, "birth_day"), Digest::of("16").as_str());
        assert_eq!(dropped, BTreeMap::new());
    }

    #[test]
    fn whoever_has_not_said_yes_stays_out() {
        let with = |consent: Value| {
            read(json!({"consent": consent, "email": "jo@example.com"}), false).map(|_| ())
        };
        assert_eq!(with(json!(true)), Ok(()));
        assert_eq!(with(json!("granted")), Ok(()));
        assert_eq!(with(json!({"meta": true})), Ok(()));
        assert_eq!(with(json!({"meta-eu": true, "tiktok": false})), Ok(()));
        for no in [json!(false), json!("no"), json!({"tiktok": true}), json!({"meta": false})] {
            assert_eq!(with(no), Err("consent_refused"));
        }
        for silence in [json!(null), json!(""), json!({"meta": null})] {
            assert_eq!(with(silence), Err("consent_unknown"));
        }
        assert_eq!(with(json!("perhaps")), Err("consent_unreadable"));
        let silent = read(json!({"email": "jo@example.com"}), false).map(|_| ());
        assert_eq!(silent, Err("consent_unknown"));
    }

    #[test]
    fn somebody_must_be_found_again() {
        let weak = json!({"consent": true, "first_name": "Jo", "last_name": "Doe", "zip": "10115"});
        assert_eq!(read(weak, false).map(|_| ()), Err("missing_identity"));
        let placeholder = json!({"consent": true, "phone": "000000", "email": "n/a"});
        assert_eq!(read(placeholder, false).map(|_| ()), Err("missing_identity"));
    }

    #[test]
    fn values_are_decimals_and_not_negative() {
        let worth = |value: Value| {
            let row = json!({"consent": true, "email": "jo@example.com", "value": value});
            read(row, true).map(|person| person.value.expect("a value").as_str().to_owned())
        };
        assert_eq!(worth(json!("44.50")), Ok("44.50".into()));
        assert_eq!(worth(json!(0)), Ok("0".into()));
        assert_eq!(worth(json!(null)), Err("missing_value"));
        assert_eq!(worth(json!("-0.01")), Err("not_a_value"));
        assert_eq!(worth(json!("NaN")), Err("not_a_value"));
        let row = json!({"consent": true, "email": "jo@example.com", "value": "x"});
        assert!(read(row, false).expect("values are not asked for").value.is_none());
    }

    #[test]
    fn a_member_is_known_by_strong_identifiers_and_under_a_salt() {
        let row = |email: &str, city: &str| json!({"consent": true, "email": email, "phone": "+49 30 23125042", "city": city});
        let berlin = read(row("jo@example.com", "Berlin"), false).expect("a person");
        let bonn = read(row("jo@example.com", "Bonn"), false).expect("a person");
        let other = read(row("jo@example.org", "Berlin"), false).expect("a person");
        assert_eq!(berlin.key(b"salt", 1), bonn.key(b"salt", 1));
        assert_ne!(berlin.content(), bonn.content());
        assert_ne!(berlin.key(b"salt", 1), other.key(b"salt", 1));
        assert_ne!(berlin.key(b"salt", 1), berlin.key(b"salt", 2), "lists cannot be joined");
        assert_ne!(berlin.key(b"salt", 1), berlin.key(b"pepper", 1));
    }

    #[test]
    fn every_digest_of_a_row_can_forget_it() {
        let row = json!({"consent": true, "email": ["jo@example.com", "j.o@gmail.com"],
            "phone": "+49 30 23125042", "city": "Berlin"});
        let person = read(row, false).expect("a person");
        for text in ["jo@example.com", "j.o@gmail.com", "jo@gmail.com", "493023125042"] {
            assert!(person.known_by.contains(&Digest::of(text)), "{text}");
        }
        assert!(!person.known_by.contains(&Digest::of("berlin")), "a city is many people's");
    }

    proptest! {
        #[test]
        fn no_row_panics_and_no_clear_text_comes_out(
            email in "\\PC{0,40}", phone in "[-+0-9 ()/]{0,20}", born in "[-0-9./]{0,12}",
            value in "[-0-9.eN]{0,12}", consent in prop::sample::select(vec!["true", "no", "", "x"]),
        ) {
            let row = json!({"email": email, "phone": phone, "date_of_birth": born,
                "external_id": email, "value": value, "consent": consent});
            if let Ok(person) = read(row, true) {
                prop_assert_eq!(consent, "true");
                prop_assert_eq!(person.digests().count(), PARTS.len());
                for digest in person.digests() {
                    let is_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
                    prop_assert!(digest.is_empty() || digest.len() == 64 && digest.bytes().all(is_hex));
                }
            }
        }
    }
}
