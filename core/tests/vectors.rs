//! Every published vector of a field that the project has, against the rules.
//!
//! `vectors/meta-vectors.jsonl` and `vectors/platform-vectors.jsonl` hold values from the
//! platforms' own documents and test suites. They contradict each other, so the rules page
//! (`docs/identifiers.md`) decides, and `vectors/disagreements.jsonl` lists where it decides
//! against a vector, quoting the sentence. The test fails on a disagreement that is not listed
//! and on a listed one that is none any more.

use std::collections::{BTreeMap, BTreeSet};

use capi_core::hash::Digest;
use capi_core::identity::date_of_birth::DateOfBirth;
use capi_core::identity::{Context, Identifier, Normalized, normalize};
use capi_core::money::Currency;
use serde::Deserialize;
use time::{Date, Month};

const META: &str = include_str!("../vectors/meta-vectors.jsonl");
const PLATFORMS: &str = include_str!("../vectors/platform-vectors.jsonl");
const DISAGREEMENTS: &str = include_str!("../vectors/disagreements.jsonl");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    platform: Option<String>,
    field: String,
    input: String,
    /// Null or empty where the source drops the value or raises an error.
    normalized: Option<String>,
    /// Null also where the source sends the value in clear.
    sha256: Option<String>,
    #[allow(dead_code)]
    source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Disagreement {
    file: String,
    platform: Option<String>,
    field: String,
    input: String,
    expected_by_vector: Option<String>,
    ours: Option<String>,
    rule: String,
}

/// File, platform, field, input, expected: what tells vectors apart.
type Key = (&'static str, String, String, String, Option<String>);

/// What the rules make of a vector, or `None` where the project has no such field.
fn ours(vector: &Vector) -> Option<Result<Option<String>, String>> {
    let platform = match vector.platform.as_deref() {
        None | Some("meta") => "meta",
        Some("google_data_manager" | "google_ads") => "google_ads",
        Some("ga4_mp") => "ga4",
        Some("microsoft_uet") => "microsoft",
        Some(other) => other,
    };
    let identifier = match vector.field.as_str() {
        "em" | "email" => Identifier::Email,
        "ph" | "phone" => Identifier::Phone,
        "fn" | "first_name" | "given_name" => Identifier::FirstName,
        "ln" | "last_name" | "family_name" => Identifier::LastName,
        "ge" | "gender" => Identifier::Gender,
        "db" => Identifier::DateOfBirth,
        "ct" | "city" => Identifier::City,
        "st" | "state" => Identifier::State,
        "zp" | "zip" => Identifier::Zip,
        "country" => Identifier::Country,
        "external_id" => Identifier::ExternalId,
        "currency" => {
            let code = Currency::parse(&vector.input).ok();
            return Some(Ok(code.map(|code| code.as_str().to_owned())));
        }
        _ => return None,
    };
    if vector.field == "db" && born_later(&vector.input) {
        return Some(Ok(None));
    }
    if vector.normalized.is_some() && vector.sha256.is_none() && platform != "meta" {
        // Sent in clear: no form of a digest.
        return None;
    }
    let ours = normalize(identifier, &vector.input, platform, &Context::default()).ok();
    Some(match (&ours, &vector.sha256) {
        (Some(value), Some(expected)) => {
            let text = ours.clone().map(Normalized::into_string);
            let same_text = text == vector.normalized;
            if same_text && value.digest().as_str() != expected {
                Err("the text is the same and the digest is not".to_owned())
            } else {
                Ok(text)
            }
        }
        _ => Ok(ours.map(Normalized::into_string)),
    })
}

/// Whether somebody would be born after the day on which the vectors were collected.
fn born_later(input: &str) -> bool {
    let today = Date::from_calendar_date(2026, Month::September, 12).expect("a day");
    DateOfBirth::parse(input, None, None).is_ok()
        && DateOfBirth::parse(input, None, Some(today)).is_err()
}

/// The vector's text; an empty one is none.
fn expected(vector: &Vector) -> Option<String> {
    vector.normalized.clone().filter(|text| !text.is_empty())
}

fn key(file: &'static str, vector: &Vector) -> Key {
    let platform = vector.platform.clone().unwrap_or_default();
    (file, platform, vector.field.clone(), vector.input.clone(), expected(vector))
}

fn read<T: for<'de> Deserialize<'de>>(text: &str) -> Vec<T> {
    text.lines().map(|line| serde_json::from_str(line).expect("one JSON object a line")).collect()
}

fn vectors() -> Vec<(&'static str, Vector)> {
    let meta = read(META).into_iter().map(|vector| ("meta-vectors.jsonl", vector));
    let platforms = read(PLATFORMS).into_iter().map(|vector| ("platform-vectors.jsonl", vector));
    meta.chain(platforms).collect()
}

#[test]
fn the_rules_disagree_with_vectors_only_where_listed() {
    let listed: BTreeMap<Key, Disagreement> = read::<Disagreement>(DISAGREEMENTS)
        .into_iter()
        .map(|row| {
            let file = ["meta-vectors.jsonl", "platform-vectors.jsonl"]
                .into_iter()
                .find(|file| *file == row.file)
                .expect("a file of vectors");
            let platform = row.platform.clone().unwrap_or_default();
            let expected = row.expected_by_vector.clone();
            ((file, platform, row.field.clone(), row.input.clone(), expected), row)
        })
        .collect();
    let mut met = BTreeSet::new();
    let mut wrong = Vec::new();
    let mut run = 0;
    for (file, vector) in vectors() {
        let Some(ours) = ours(&vector) else { continue };
        run += 1;
        let key = key(file, &vector);
        match (ours, listed.get(&key)) {
            (Ok(ours), None) if ours == key.4 => {}
            (Ok(ours), Some(row)) if ours == row.ours && ours != key.4 => {
                met.insert(key);
            }
            (ours, row) => {
                let row = row.map(|row| &row.ours);
                wrong.push(serde_json::json!({
                    "file": key.0, "platform": key.1, "field": key.2, "input": key.3,
                    "expected_by_vector": key.4, "ours": ours.unwrap_or_else(Some), "listed": row,
                }));
            }
        }
    }
    wrong.extend(
        listed.keys().filter(|key| !met.contains(key)).map(|key| serde_json::json!({"stale": key})),
    );
    let lines: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} rows to review:\n{}", lines.len(), lines.join("\n"));
    assert!(run > 2_800, "only {run} vectors were run");
}

#[test]
fn every_disagreement_quotes_a_rule() {
    for row in read::<Disagreement>(DISAGREEMENTS) {
        assert!(row.rule.len() > 20, "{} {}", row.field, row.input);
        assert_ne!(row.ours, row.expected_by_vector);
    }
}

#[test]
fn digests_of_the_vectors_are_digests_of_their_texts() {
    for (_, vector) in vectors() {
        let (Some(text), Some(sha256)) = (&vector.normalized, &vector.sha256) else { continue };
        let of_text = if text.is_empty() { None } else { Some(Digest::of(text)) };
        let passed_on = Digest::recognise(text).is_some_and(|digest| digest.as_str() == sha256);
        // One SDK hashes the empty string; no rule of the project does.
        let of_nothing = text.is_empty() && sha256.starts_with("e3b0c44298fc1c14");
        assert!(
            passed_on || of_nothing || of_text.is_some_and(|digest| digest.as_str() == sha256),
            "{} {}",
            vector.field,
            vector.input
        );
    }
}
