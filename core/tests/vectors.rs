//! Every published vector against the rules; none is left out.
//!
//! `vectors/meta-vectors.jsonl` and `vectors/platform-vectors.jsonl` hold values from the
//! platforms' own documents and test suites. They contradict each other, so the rules page
//! (`docs/reference/identifiers.md`) decides, and `vectors/disagreements.jsonl` lists where it decides
//! against a vector, quoting its sentence. The test fails on a disagreement that is not listed,
//! on a listed one that is none any more, and on a quotation that the page does not have.

#[path = "../vectors/mapping.rs"]
mod mapping;

use std::collections::{BTreeMap, BTreeSet};

use capi_core::hash::Digest;
use capi_core::identity::rules::{FieldValue, normalize_field};
use capi_core::identity::{Context, Identifier, PLATFORMS as KNOWN_PLATFORMS};
use mapping::Subject;
use serde::Deserialize;
use time::{Date, Month};

const META: &str = include_str!("../vectors/meta-vectors.jsonl");
const PLATFORMS: &str = include_str!("../vectors/platform-vectors.jsonl");
const DISAGREEMENTS: &str = include_str!("../vectors/disagreements.jsonl");
const PAGE: &str = include_str!("../../docs/reference/identifiers.md");

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

/// What the rules make of a vector: its text, or none where it is dropped or is no field.
fn ours(vector: &Vector) -> Result<Option<String>, String> {
    let field = match mapping::subject(&vector.field) {
        Subject::Field(field) => field,
        Subject::Hash => {
            let digest = Digest::of(&vector.input);
            let same = Some(digest.as_str()) == vector.sha256.as_deref()
                && Digest::recognise(digest.as_str()) == Some(digest);
            return if same { Ok(Some(vector.input.clone())) } else { Err("other digest".into()) };
        }
        Subject::NoField => {
            assert_eq!(Identifier::parse(&vector.field), None);
            return Ok(None);
        }
    };
    let platform = mapping::platform(vector.platform.as_deref());
    assert!(KNOWN_PLATFORMS.contains(&platform), "{platform}");
    // The day on which the vectors were collected: nobody is born later.
    let collected = Date::from_calendar_date(2026, Month::September, 12).expect("a day");
    let context = Context { latest_birth: Some(collected), ..Context::default() };
    let Ok(value) = normalize_field(field, &vector.input, platform, &context) else {
        return Ok(None);
    };
    // What we send in clear, some platforms take hashed too; the text must be the same.
    let digest = match &value {
        FieldValue::Hashed(hashed) => Some(hashed.digest().as_str().to_owned()),
        FieldValue::Clear(_) => None,
    };
    let text = Some(value.into_string());
    let same_text = text == vector.normalized;
    if same_text && digest.is_some() && vector.sha256.is_some() && digest != vector.sha256 {
        return Err("the text is the same and the digest is not".to_owned());
    }
    if vector.sha256.is_none() && vector.normalized.is_some() && vector.platform.is_some() {
        assert!(digest.is_none(), "{field} is hashed for {platform}, which takes it in clear");
    }
    Ok(text)
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
        let ours = ours(&vector);
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
    assert_eq!(run, META.lines().count() + PLATFORMS.lines().count());
}

#[test]
fn every_disagreement_quotes_the_page() {
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let page = plain(PAGE);
    for row in read::<Disagreement>(DISAGREEMENTS) {
        assert!(row.rule.len() > 20, "{} {}", row.field, row.input);
        assert!(page.contains(&plain(&row.rule)), "not on the page: {}", row.rule);
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
