//! One fuzz target per parser: bytes become edits of real values, and the laws must hold.
//!
//! Every target runs for a second, or as many as `FUZZ_SECONDS` says; 0 replays what was found
//! before and stops. With `cargo bolero test <target>` the same targets are led by coverage.

mod laws;

use std::time::Duration;

use bolero::check;
use capi_core::capture::Options;
use capi_core::identity::rules::find;
use capi_core::identity::{Context, DateOrder, HashedPhone, Identifier};
use capi_core::time::Timestamp;
use serde_json::{Value, json};

/// What people, programs and attackers put into columns.
const TOKENS: [&str; 64] = [
    "",
    " ",
    "\t",
    "\n",
    "\0",
    "\u{7f}",
    "\u{a0}",
    "\u{200b}",
    "\u{feff}",
    "\u{3000}",
    "\u{301}",
    "\u{fe0f}",
    "\u{202e}",
    "\u{200d}",
    "\u{3164}",
    "\u{2800}",
    "\u{34f}",
    "´",
    "ʼ",
    "−",
    "ー",
    "İ",
    "ß",
    "ﬁ",
    "Σ",
    "K",
    "é",
    "e\u{301}",
    "정",
    "東京",
    "１２",
    "٣",
    "½",
    "-",
    "–",
    "'",
    "\"",
    "\\x",
    "0x",
    "sha256:",
    ".",
    ",",
    ":",
    "/",
    "@",
    "+",
    "00",
    "(0)",
    " ext. 4",
    "#",
    "%",
    "null",
    "N/A",
    "test",
    "Jr.",
    "Dr. ",
    "USA",
    "California",
    "fb.1.",
    ".AQ",
    "gmail.com",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "1e400",
    "-0",
];

/// A day after the examples of the rule book, so that their clicks are in time.
const NOW: Timestamp = Timestamp(1_700_100_000_000_000);

/// Builds a text: one of the seeds, then a few edits of three bytes each; a text that is edited
/// everywhere has nothing left of a real value.
fn text(bytes: &[u8], seeds: &[&str]) -> String {
    let mut bytes = bytes.iter().copied();
    let seed = usize::from(bytes.next().unwrap_or(0));
    let mut text: Vec<char> = match seed % (seeds.len() + 1) {
        // Nothing of a real value: the bytes themselves.
        0 => return String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned(),
        n => seeds[n - 1].chars().collect(),
    };
    let edits = bytes.next().unwrap_or(0) % 6;
    for _ in 0..edits {
        let (Some(edit), Some(at), Some(what)) = (bytes.next(), bytes.next(), bytes.next()) else {
            break;
        };
        let at = usize::from(at) % (text.len() + 1);
        let what = usize::from(what);
        match edit % 7 {
            0 => text.truncate(at),
            1 if at < text.len() => drop(text.remove(at)),
            2 => text.splice(at..at, TOKENS[what % TOKENS.len()].chars()).for_each(drop),
            3 => text.insert(at, char::from((what % 128) as u8)),
            4 if at < text.len() => text[at] = char::from((what % 128) as u8),
            5 => {
                let end = (at + what % 8).min(text.len());
                let copy: Vec<char> = text[at..end].to_vec();
                text.splice(at..at, copy).for_each(drop);
            }
            _ => {
                let upper: Vec<char> = text.iter().flat_map(|c| c.to_uppercase()).collect();
                text = upper;
            }
        }
        text.truncate(5_000);
    }
    text.into_iter().collect()
}

/// The examples of a field's rule.
fn examples(field: &str) -> Vec<&'static str> {
    let rule = find(field).expect("a rule");
    rule.examples.iter().map(|example| example.input).collect()
}

fn contexts() -> [Context<'static>; 4] {
    let nowhere = Context { event_time: Some(NOW), ..Context::default() };
    [
        nowhere,
        Context { country: Some("us"), zip: Some("94105-1234"), ..nowhere },
        Context { country: Some("fr"), date_order: Some(DateOrder::DayFirst), ..nowhere },
        Context {
            country: Some("ca"),
            phone_country: Some("de"),
            hashed_phone: HashedPhone::Plus,
            clicked_at: Some(NOW),
            ..nowhere
        },
    ]
}

fn duration() -> Duration {
    let seconds = std::env::var("FUZZ_SECONDS").ok();
    Duration::from_secs(seconds.and_then(|text| text.parse().ok()).unwrap_or(1))
}

macro_rules! targets {
    ($($name:ident($seeds:expr) |$text:ident| $law:block)*) => {$(
        #[test]
        fn $name() {
            let seeds = $seeds;
            // `BOLERO_RANDOM_ITERATIONS` aside, only the time ends a target.
            check!().with_test_time(duration()).with_max_len(64).for_each(move |bytes: &[u8]| {
                let $text = &*text(bytes, &seeds);
                $law
            });
        }
    )*};
}

fn laws_of(identifier: Identifier, value: &str) {
    for context in contexts() {
        laws::identifier(identifier, value, &context);
    }
}

fn laws_of_clear(field: &str, value: &str) {
    for context in contexts() {
        laws::clear_field(field, value, &context);
    }
}

targets! {
    email(examples("email")) |value| { laws_of(Identifier::Email, value); }
    phone(examples("phone")) |value| { laws_of(Identifier::Phone, value); }
    name(examples("last_name")) |value| {
        laws_of(Identifier::FirstName, value);
        laws_of(Identifier::LastName, value);
    }
    gender(examples("gender")) |value| { laws_of(Identifier::Gender, value); }
    date_of_birth(examples("date_of_birth")) |value| { laws_of(Identifier::DateOfBirth, value); }
    city(examples("city")) |value| { laws_of(Identifier::City, value); }
    state(examples("state")) |value| { laws_of(Identifier::State, value); }
    zip(examples("zip")) |value| { laws_of(Identifier::Zip, value); }
    country(examples("country")) |value| {
        laws_of(Identifier::Country, value);
        laws::country(value);
    }
    external_id(examples("external_id")) |value| { laws_of(Identifier::ExternalId, value); }
    fbc(examples("fbc")) |value| { laws_of_clear("fbc", value); }
    fbp(examples("fbp")) |value| { laws_of_clear("fbp", value); }
    fbclid(examples("fbclid")) |value| { laws_of_clear("fbclid", value); }
    client_ip(examples("client_ip_address")) |value| { laws_of_clear("client_ip_address", value); }
    user_agent(examples("client_user_agent")) |value| { laws_of_clear("client_user_agent", value); }
    other_ids(examples("gclid")) |value| {
        for field in ["gclid", "lead_id", "fb_login_id", "event_id", "subscription_id"] {
            laws_of_clear(field, value);
        }
    }
    digest(digests()) |value| { laws::recognised(value); }
    currency(examples("currency")) |value| {
        laws::currency(value);
        laws_of_clear("currency", value);
    }
    amount(examples("value")) |value| {
        laws::amount(value);
        laws_of_clear("value", value);
    }
    timestamp(vec!["2023-11-14T22:13:20.123456+00:00", "0001-01-01 00:00:00-23:59", "9999-12-31T23:59:60Z"]) |value| {
        laws::timestamp(value);
    }
    consent(vec!["true", "\"granted\"", "{\"meta\": true, \"*\": \"denied\"}", "null"]) |value| {
        laws::consent(&serde_json::from_str(value).unwrap_or_else(|_| value.into()));
    }
    web_request(requests()) |value| { laws::web_request(value, NOW); }
    capture_row(rows().iter().map(String::as_str).collect::<Vec<_>>()) |value| {
        // Text that is no JSON any more is at least a hostile value of every kind.
        let row = serde_json::from_str(value).unwrap_or_else(|_| hostile(value));
        for options in [json!({}), json!({"date_order": "mdy", "hashed_phone": "plus",
            "default_country": "US", "consent": "not_required"})]
        {
            laws::row(&row, &Options::from_json(&options), NOW);
        }
    }
}

fn requests() -> Vec<&'static str> {
    vec![
        "_fbp=fb.1.1700000000123.1; _fbc=fb.1.1700000000123.AbC; _ga=GA1.1.1.1700000000; _ttp=a",
        "_ga_A=GS1.1.1700000001.5.1; _ga_B=GS2.1.s1700000002$o7$g1; _gcl_aw=GCL.1700000000.Cj0",
        "{\"_fbp\": [\"fb.1.1700000000123.1\"], \"_epik\": \"dj0%20\"}",
        "https://x/?fbclid=AbC-_&gclid=Cj0&ScCid=a%2Db&wbraid=1+2&msclkid=0#top",
        "203.0.113.7:443, 10.0.0.1",
    ]
}

fn digests() -> Vec<&'static str> {
    vec![
        "f4e19df2e6c609fbd59a42b9063d0fadf44260218531ea21ad8c575f205c0453",
        " F4E19DF2E6C609FBD59A42B9063D0FADF44260218531EA21AD8C575F205C0453.AQQCAQIB ",
        "\\xf4e19df2e6c609fbd59a42b9063d0fadf44260218531ea21ad8c575f205c0453",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ]
}

/// Rows of a conversion view, as JSON; they live as long as the test.
fn rows() -> &'static [String] {
    static ROWS: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
    ROWS.get_or_init(|| {
        let row = json!({
            "event_name": "Purchase", "event_id": "order-42", "event_time": NOW.0 - 1_000_000,
            "action_source": "website", "value": "129.90", "currency": "eur", "consent": true,
            "email": ["Jane.Doe+x@gmail.com", "jane@example.com"], "phone": "030 23125 123",
            "country": "Germany", "first_name": "Jane", "last_name": "O'Doe, Jr.", "zip": "10115",
            "city": "Berlin 10115", "date_of_birth": "02/03/1997", "external_id": " User 42 ",
            "fbclid": "AbC-_", "fbclid_at": NOW.0 - 9_000_000, "contents": [{"id": "sku-1"}],
            "browser": {"ip": "203.0.113.7:443", "user_agent": "UA", "fbp": "fb.1.1700000000123.1"},
        });
        let lead = json!({
            "event_name": "Lead", "event_id": 7, "event_time": "2023-11-14T22:13:20Z",
            "action_source": "app", "consent": {"meta": true, "tiktok": null}, "gender": "F",
            "state": "CA", "custom": {"a": [1, null]}, "event_source_url": "https://x/?e=a@b.c",
        });
        vec![row.to_string(), lead.to_string()]
    })
}

/// A row all of whose identifiers and ids are this text.
fn hostile(value: &str) -> Value {
    let mut row: Value = serde_json::from_str(&rows()[0]).expect("JSON");
    let fields = capi_core::field::FIELDS.iter().map(|field| field.name);
    let kept =
        ["event_name", "event_id", "event_time", "action_source", "value", "currency", "consent"];
    for field in fields.filter(|field| !kept.contains(field)) {
        row[field] = value.into();
    }
    row
}

#[test]
fn seeds_are_reached() {
    assert_eq!(text(&[1], &["abc"]), "abc");
    assert_eq!(text(&[1, 1, 0, 1, 0], &["abc"]), "a");
    assert_eq!(text(&[0, b'x', b'y'], &["abc"]), "xy");
}
