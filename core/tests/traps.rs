//! What must never be hashed: nothing, a placeholder, a digest. Their digests would tie strangers
//! together or match nobody, so they appear nowhere, whatever a conversion view returns.
//!
//! The inputs are built around the traps: separators, spaces of all kinds, invisible characters,
//! full-width letters, mixed case, arrays, numbers. The words are written down here and not taken
//! from the rules, so that both can disagree.

use std::collections::BTreeSet;

use capi_core::capture::{Captured, Options, Row, capture};
use capi_core::hash::Digest;
use capi_core::platform;
use capi_core::time::Timestamp;
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop, prop_assert, prop_assume, prop_oneof, proptest,
};
use proptest::test_runner::TestCaseError;
use serde_json::{Map, Value, json};

const NOW: Timestamp = Timestamp(1_790_000_000_000_000);

/// SHA-256 of nothing.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

const IDENTIFIERS: [&str; 11] = [
    "email",
    "phone",
    "first_name",
    "last_name",
    "gender",
    "date_of_birth",
    "city",
    "state",
    "zip",
    "country",
    "external_id",
];

/// Words that stand for no value in every field.
const WORDS: [&str; 21] = [
    "n/a",
    "null null",
    "undefined undefined",
    "#n/a",
    "none",
    "undefined",
    "unknown",
    "test",
    "anonymous",
    "tbd",
    "asdf",
    "xxx",
    "(none)",
    "(null)",
    "<null>",
    "(not set)",
    "not set",
    "not provided",
    "not available",
    "no name",
    "[object object]",
];

/// Spaces, separators and characters that nobody sees.
const BETWEEN: [&str; 22] = [
    "-", " ", ":", ".", "_", "/", "'", ",", "\t", "\n", "--", "\u{a0}", "\u{2009}", "\u{3000}",
    "\u{200b}", "\u{feff}", "\u{ad}", "\u{2060}", "\u{3164}", "\u{2800}", "\u{fe0f}", "\u{1}",
];

const AROUND: [&str; 9] = ["", " ", "\u{a0}", "\t", "\n", "\u{200b}", "\u{feff}", "'", "\""];

/// The digests of all identifiers in all forms, and the request to Meta as text, if there is one.
fn outcome(fields: &[(&str, Value)]) -> (BTreeSet<String>, String) {
    let mut row = json!({
        "event_name": "Purchase", "event_id": "order-1", "event_time": NOW.0 - 1_000_000,
        "action_source": "website", "event_source_url": "https://shop.example.com/thanks",
        "value": 1, "currency": "EUR", "fbp": "fb.1.1789900000000.1098115397",
    });
    for (field, value) in fields {
        row[*field] = value.clone();
    }
    let Value::Object(row) = row else { unreachable!("an object is built above") };
    let options = Options { consent_not_required: true, ..Options::default() };
    let Captured::Event(new) = capture(Row::from_object(row), &options, NOW) else {
        return (BTreeSet::new(), String::new());
    };
    let digests = new.event.identity.iter().flat_map(|(_, digests)| digests);
    let digests = digests.map(|d| d.as_str().to_owned()).collect();
    let meta = platform::build("meta", &json!({"pixel_id": "1"})).expect("settings");
    let mut plan = meta.plan(&[new.event]);
    let body = plan.requests.pop().map(|request| request.body.to_string()).unwrap_or_default();
    (digests, body)
}

/// Digests that mean nobody, whatever the input.
fn nobody() -> BTreeSet<String> {
    let words = WORDS.iter().chain(&[" ", "\u{a0}", "\u{200b}", "\u{feff}", "\u{3000}", "-", "."]);
    let mut out: BTreeSet<String> =
        words.map(|word| Digest::of(word).as_str().to_owned()).collect();
    out.insert(EMPTY.to_owned());
    out.insert(Digest::of(EMPTY).as_str().to_owned());
    out
}

fn holds_none_of(
    forbidden: &BTreeSet<String>,
    fields: &[(&str, Value)],
) -> Result<(), TestCaseError> {
    let (digests, body) = outcome(fields);
    for digest in forbidden {
        prop_assert!(!digests.contains(digest), "captured: {fields:?}");
        prop_assert!(!body.contains(digest.as_str()), "sent: {fields:?}");
    }
    Ok(())
}

fn full_width(text: &str) -> String {
    let wide = |c: char| match c {
        '!'..='~' => char::from_u32(c as u32 + 0xFEE0).unwrap_or(c),
        c => c,
    };
    text.chars().map(wide).collect()
}

/// Mixes upper case into a text.
fn mixed(text: &str, upper: &[bool]) -> String {
    let letter = |(c, up): (char, &bool)| if *up { c.to_ascii_uppercase() } else { c };
    text.chars().zip(upper.iter().cycle()).map(letter).collect()
}

fn around() -> impl Strategy<Value = (&'static str, &'static str)> {
    (prop::sample::select(&AROUND[..]), prop::sample::select(&AROUND[..]))
}

/// 64 hexadecimal digits: of nothing, of a word, of anything.
fn digest() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(EMPTY.to_owned()),
        prop::sample::select(&WORDS[..]).prop_map(|word| Digest::of(word).as_str().to_owned()),
        "[0-9a-f]{64}",
        "[a-z]{3,9}@example.com".prop_map(|text| Digest::of(&text).as_str().to_owned()),
    ]
}

/// What a source may have made of a digest: case, suffix, separators, wrapping.
fn disguised() -> impl Strategy<Value = (String, String)> {
    let suffix = prop::sample::select(&["", "", ".AQ", ".AQQCAQIB"][..]);
    let upper = prop::collection::vec(any::<bool>(), 1..9);
    let every = prop_oneof![Just(0_usize), 1_usize..33];
    let between = prop::sample::select(&BETWEEN[..]);
    (digest(), suffix, upper, every, between, around()).prop_map(
        |(digest, suffix, upper, every, between, (before, after))| {
            let mut text = String::new();
            for (at, c) in mixed(&digest, &upper).chars().enumerate() {
                if every > 0 && at > 0 && at % every == 0 {
                    text.push_str(between);
                }
                text.push(c);
            }
            (digest, format!("{before}{text}{suffix}{after}"))
        },
    )
}

fn field() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&IDENTIFIERS[..])
}

/// A value as it is, or among others.
fn wrapped(text: &str) -> impl Strategy<Value = Value> + use<> {
    let list = json!([null, text, "", 0, true, {}]);
    prop_oneof![Just(Value::from(text)), Just(json!([text])), Just(list)]
}

/// A text that says nothing.
fn nothing() -> impl Strategy<Value = Value> {
    prop_oneof![
        "[ \t\n\u{a0}\u{2009}\u{3000}]{0,5}".prop_map(Value::from),
        "[\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}\u{ad} ]{1,4}".prop_map(Value::from),
        "[-._'/,;:!?#*+ ]{1,5}".prop_map(Value::from),
        Just(Value::Null),
        Just(json!({})),
        Just(json!([])),
        Just(json!([null, "", " ", []])),
    ]
}

fn word() -> impl Strategy<Value = String> {
    let upper = prop::collection::vec(any::<bool>(), 1..5);
    (prop::sample::select(&WORDS[..]), upper, around()).prop_map(
        |(word, upper, (before, after))| format!("{before}{}{after}", mixed(word, &upper)),
    )
}

fn rows() -> impl Strategy<Value = Vec<(&'static str, Value)>> {
    let value = prop_oneof![
        3 => disguised().prop_flat_map(|(_, text)| wrapped(&text)),
        1 => disguised().prop_map(|(_, text)| full_width(&text)).prop_flat_map(|text| wrapped(&text)),
        2 => nothing(),
        2 => word().prop_flat_map(|text| wrapped(&text)),
        1 => word().prop_map(|word| full_width(&word)).prop_flat_map(|text| wrapped(&text)),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => ".{0,30}".prop_map(Value::from),
    ];
    prop::collection::vec((field(), value), 1..6)
}

/// The identifiers whose rule takes letters and digits of any kind, so that a digest in disguise
/// looks like a value to them.
const OPEN: [&str; 6] = ["first_name", "last_name", "city", "state", "zip", "external_id"];

/// Whether there is punctuation between the digits. In an external id it makes another value of
/// them: two UUIDs with a hyphen between are an id.
fn is_punctuated(text: &str) -> bool {
    let digits = text.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let stem = digits.rsplit_once('.').filter(|(_, suffix)| matches!(suffix.len(), 2 | 8));
    stem.map_or(digits, |(stem, _)| stem).chars().any(|c| c.is_ascii_punctuation())
}

/// What comes of a digest, in whatever disguise, is that digest or nothing.
fn only_the_digest(field: &str, digest: &str, value: &Value) -> Result<(), TestCaseError> {
    let (digests, body) = outcome(&[(field, value.clone())]);
    for found in &digests {
        prop_assert!(found == digest, "{field}: {value}");
        prop_assert!(!nobody().contains(found), "{field}: {value}");
    }
    holds_none(&nobody(), &body, field)
}

fn holds_none(forbidden: &BTreeSet<String>, body: &str, field: &str) -> Result<(), TestCaseError> {
    prop_assert!(!forbidden.iter().any(|digest| body.contains(digest.as_str())), "{field}");
    Ok(())
}

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    /// In any case, with the suffix of Meta's builder, with white space around it.
    #[test]
    fn a_plain_digest_is_taken_as_it_is_or_not_at_all(
        field in field(),
        digest in digest(),
        upper in prop::collection::vec(any::<bool>(), 1..9),
        suffix in prop::sample::select(&["", ".AQ", ".AQQCAQIB"][..]),
        space in prop::sample::select(&["", " ", "\t", "\n", "\u{a0}", "\u{3000}"][..]),
        in_array in any::<bool>(),
    ) {
        let text = format!("{space}{}{suffix}{space}", mixed(&digest, &upper));
        let value = if in_array { json!([text]) } else { json!(text) };
        only_the_digest(field, &digest, &value)?;
    }

    /// A rule that knows the shape of its value sees through every disguise.
    #[test]
    fn a_disguised_digest_is_no_email_address_number_day_or_country(
        field in prop::sample::select(
            &["email", "phone", "gender", "date_of_birth", "country"][..]),
        (digest, text) in disguised(),
        wide in any::<bool>(),
    ) {
        let text = if wide { full_width(&text) } else { text };
        only_the_digest(field, &digest, &json!(text))?;
    }

    /// In any case, with white space around it, alone or among others.
    #[test]
    fn a_placeholder_leaves_nothing(
        field in field(),
        word in prop::sample::select(&WORDS[..]),
        upper in prop::collection::vec(any::<bool>(), 1..5),
        space in prop::sample::select(&["", " ", "\t", "\u{a0}"][..]),
    ) {
        let text = format!("{space}{}{space}", mixed(word, &upper));
        for value in [json!(text), json!([text, null, ""])] {
            let (digests, _) = outcome(&[(field, value)]);
            prop_assert!(digests.is_empty(), "{field}: {text:?}");
        }
    }

    /// Nothing, placeholders and the digest of nothing: their digests are nowhere, whatever else
    /// the row holds.
    #[test]
    fn digests_of_nobody_are_nowhere(row in rows()) {
        holds_none_of(&nobody(), &row)?;
    }

    /// Of a text that is a digest but for separators, quotes and what nobody sees, nothing comes
    /// but that digest.
    #[test]
    fn a_disguised_digest_is_never_hashed_again(
        field in prop::sample::select(&OPEN[..]),
        (digest, text) in disguised(),
        in_array in any::<bool>(),
    ) {
        prop_assume!(field != "external_id" || !is_punctuated(&text));
        let value = if in_array { json!([text]) } else { json!(text) };
        only_the_digest(field, &digest, &value)?;
    }

    /// The same in full-width letters, as an input method for Chinese or Japanese writes them.
    #[test]
    fn a_full_width_digest_is_never_hashed_again(
        field in prop::sample::select(&OPEN[..]),
        (digest, text) in disguised(),
    ) {
        prop_assume!(field != "external_id" || !is_punctuated(&text));
        only_the_digest(field, &digest, &json!(full_width(&text)))?;
    }

    /// A placeholder in quotes, with a full stop, with another separator, in full-width letters or
    /// with an invisible character is still one.
    #[test]
    fn a_decorated_placeholder_leaves_nothing(
        field in prop::sample::select(&OPEN[..]),
        word in prop::sample::select(&["none", "unknown", "undefined", "not set", "anonymous"][..]),
        (before, after) in around(),
        between in prop::sample::select(&["-", "_", "\u{a0}", " "][..]),
        wide in any::<bool>(),
    ) {
        let text = format!("{before}{}{after}", word.replace(' ', between));
        let text = if wide { full_width(&text) } else { text };
        let (digests, _) = outcome(&[(field, json!(text))]);
        prop_assert!(digests.is_empty(), "{field}: {text:?}");
    }
}

/// Nothing but `fbp` is left of a request that was given only this.
fn leaves_nothing(text: &str) {
    for field in IDENTIFIERS {
        let (digests, body) = outcome(&[(field, json!(text))]);
        assert!(digests.is_empty(), "{field}: {text:?}");
        let sent: Value = serde_json::from_str(&body).expect("a request");
        let user_data = sent["data"][0]["user_data"].as_object().map(Map::len);
        assert_eq!(user_data, Some(1), "{field}: {text:?}");
    }
}

#[test]
fn nothing_the_digest_of_nothing_and_placeholders_leave_nothing() {
    let suffix = format!("{}.AQQCAQIB", EMPTY.to_uppercase());
    for text in [EMPTY, &suffix, "", " ", "\u{a0}", "-", "---", "N/A", "Unknown", "(not set)"] {
        leaves_nothing(text);
    }
    for text in ["undefined undefined", "null null", "None None", "n/a n/a", "unknown unknown"] {
        leaves_nothing(text);
    }
}

#[test]
fn ids_in_clear_are_no_digest_of_nothing_either() {
    for field in ["madid", "subscription_id", "page_scoped_user_id", "ctwa_clid", "ig_sid"] {
        for text in [EMPTY, "undefined", "(not set)", " n/a "] {
            let (_, body) = outcome(&[(field, json!(text))]);
            assert!(!body.is_empty() && !body.contains(field), "{field}: {text:?}");
        }
    }
}

#[test]
fn the_digest_of_nothing_in_disguise_leaves_nothing() {
    let hyphens = format!("{}-{}-{}", &EMPTY[..4], &EMPTY[4..8], &EMPTY[8..]);
    for field in IDENTIFIERS.iter().filter(|field| **field != "external_id") {
        assert!(outcome(&[(field, json!(hyphens))]).0.is_empty(), "{field}");
    }
    leaves_nothing(&EMPTY.chars().flat_map(|c| [c, ' ']).collect::<String>());
    leaves_nothing(&format!("\"{EMPTY}\""));
    leaves_nothing(&format!("\u{feff}{EMPTY}"));
    for text in ["\u{200b}", "\u{feff}", "\u{ad}", "\u{200b}\u{200d}"] {
        leaves_nothing(text);
    }
    for text in
        ["\u{3164}", "\u{2800}", "\u{115f}\u{1160}", "\u{ffa0}", "\u{180e}", "\u{fe0f}", "\u{1}"]
    {
        leaves_nothing(text);
    }
}
