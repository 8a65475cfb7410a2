//! Recorded answers, and the tables of codes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{plain, purchase};
use crate::destination::{Decision, Destination, Outcome, Response};
use crate::platform::explain;

/// A recorded answer and what it means.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    #[allow(dead_code, reason = "for the reader of the file")]
    source: String,
    sent: i64,
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Value,
    text: Option<String>,
    expect: String,
    request_id: Option<String>,
    hold: Option<u64>,
}

fn in_words(decision: &Decision) -> String {
    match decision {
        Decision::Each(outcomes) => {
            let words = outcomes.iter().map(|outcome| match outcome {
                Outcome::Delivered => " delivered".to_owned(),
                Outcome::Refused(reason) => format!(" refused:{reason}"),
                Outcome::Retry(reason) => format!(" retry:{reason}"),
                Outcome::Again => " again".to_owned(),
            });
            format!("each{}", words.collect::<String>())
        }
        Decision::Accepted { .. } => "accepted".to_owned(),
        Decision::Retry { reason, .. } => format!("retry {reason}"),
        Decision::Wait { reason, after } => format!("wait {reason} {}", after.as_secs()),
        Decision::Split { reason } => format!("split {reason}"),
        Decision::Blocked { reason } => format!("blocked {reason}"),
        Decision::Unclear { reason } => format!("unclear {reason}"),
    }
}

#[test]
fn recorded_answers_mean_what_their_files_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/platform/meta/answers");
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder of answers") {
        let path = entry.expect("a file").path();
        let name = path.display();
        let file = fs::read_to_string(&path).expect("a file");
        let recorded: Recorded = serde_json::from_str(&file).expect("a recorded answer");
        let body = recorded.text.unwrap_or_else(|| recorded.body.to_string());
        let headers = recorded.headers.into_iter().collect();
        let answer = Response { status: recorded.status, headers, body: body.into_bytes() };
        let events: Vec<_> = (1..=recorded.sent).map(purchase).collect();
        let verdict = plain().verdict(&events, &answer);
        assert_eq!(in_words(&verdict.decision), recorded.expect, "{name}");
        assert_eq!(verdict.hold, recorded.hold.map(Duration::from_secs), "{name}");
        if recorded.request_id.is_some() {
            assert_eq!(verdict.request_id, recorded.request_id, "{name}");
        }
        let summary = verdict.summary.to_string();
        assert!(!summary.contains("text") && !summary.contains("Tids"), "{name} {summary}");
        names.push(path.file_stem().expect("a name").to_string_lossy().into_owned());
    }
    assert!(names.len() > 30, "only {} recorded answers were found", names.len());
    // What every platform must have on record: core/tests/platform_answers.rs.
    for (kind, name) in [
        ("success", "taken"),
        ("partial", "taken_fewer"),
        ("validation", "identity_too_broad"),
        ("bad token", "token_expired"),
        ("throttled", "throttled_app"),
        ("server error", "server_error"),
        ("garbage", "garbage"),
        ("empty", "empty"),
    ] {
        assert!(names.iter().any(|known| known == name), "no answer of the kind {kind}");
    }
}

#[test]
fn the_summary_holds_codes_and_counts() {
    let body = json!({"error": {"message": "jane@example.com", "type": "OAuthException",
        "code": 100, "error_subcode": 2_804_003, "is_transient": false,
        "error_user_msg": "jane@example.com", "fbtrace_id": "A1"}});
    let headers = vec![("x-app-usage".into(), r#"{"call_count":12}"#.into())];
    let answer = Response { status: 400, headers, body: body.to_string().into_bytes() };
    let verdict = plain().verdict(&[purchase(1)], &answer);
    assert_eq!(
        verdict.summary,
        json!({"fbtrace_id": "A1", "code": 100, "subcode": 2_804_003, "is_transient": false,
               "usage_percent": 12.0})
    );
}

#[test]
fn a_trace_id_that_is_none_is_dropped() {
    let body = json!({"events_received": 1, "fbtrace_id": "jane@example.com"});
    let answer = Response { status: 200, headers: Vec::new(), body: body.to_string().into_bytes() };
    assert_eq!(plain().verdict(&[purchase(1)], &answer).request_id, None);
}

/// One row of `answers/meta-codes.csv`.
fn codes() -> impl Iterator<Item = (i64, Option<i64>, u16, String, String)> {
    let file = include_str!("../codes.csv");
    file.lines().skip(1).map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        let [code, subcode, status, many, alone] = cells[..] else { panic!("{line}") };
        (
            code.parse().expect(line),
            (!subcode.is_empty()).then(|| subcode.parse().expect(line)),
            status.parse().expect(line),
            many.to_owned(),
            alone.to_owned(),
        )
    })
}

fn error(status: u16, error: &Value) -> Response {
    let body = json!({ "error": error }).to_string().into_bytes();
    Response { status, headers: Vec::new(), body }
}

fn word(sent: i64, answer: &Response) -> String {
    let events: Vec<_> = (1..=sent).map(purchase).collect();
    let decision = in_words(&plain().verdict(&events, answer).decision);
    decision.split([' ', ':']).take(2).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_documented_code_and_subcode_has_its_class_and_its_sentence() {
    let mut count = 0;
    for (code, subcode, status, many, alone) in codes() {
        let reason = match subcode {
            Some(subcode) => format!("{code}/{subcode}"),
            None => code.to_string(),
        };
        let body = json!({"code": code, "error_subcode": subcode, "is_transient": false,
            "message": "text", "error_user_title": "Tidsstempel", "error_user_msg": "texte"});
        let answer = error(status, &body);
        let in_full = |word: &str| match word {
            "refused" => "each refused".to_owned(),
            word => format!("{word} {reason}"),
        };
        assert_eq!(word(3, &answer), in_full(&many), "{reason} among three");
        assert_eq!(word(1, &answer), in_full(&alone), "{reason} alone");
        let sentence = explain("meta", &reason).expect("a sentence");
        assert!(sentence.len() > 20 && !sentence.ends_with('.'), "{reason}");
        count += 1;
    }
    assert!(count >= 80, "only {count} rows");
}

#[test]
fn a_word_of_metas_that_it_will_pass_is_believed_unless_it_is_about_calls() {
    for (code, subcode, status, many, _) in codes() {
        let body = json!({"code": code, "error_subcode": subcode, "is_transient": true});
        let expected = if many == "wait" { "wait" } else { "retry" };
        let word = word(3, &error(status, &body));
        assert!(word.starts_with(expected), "{code} {subcode:?}: {word}");
    }
}

#[test]
fn every_reason_for_not_sending_has_a_sentence_and_no_two_are_alike() {
    use crate::platform::meta::fit::REASONS;
    for (at, (reason, text)) in REASONS.iter().enumerate() {
        assert_eq!(explain("meta", reason), Some(*text));
        assert!(REASONS[..at].iter().all(|(other, _)| other != reason), "{reason} twice");
        assert!(reason.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{reason}");
    }
    for reason in ["too_old", "consent_refused", "events_received_short", "unreadable_answer"] {
        assert!(explain("meta", reason).is_some(), "{reason}");
    }
    for reason in ["http_400", "http_429", "http_502", "100/1", "-3/99", "answer_timeout"] {
        assert!(explain("meta", reason).is_some(), "{reason}");
    }
    for reason in ["", "nonsense", "100/x", "http_", "987654", "190/463/1"] {
        assert_eq!(explain("meta", reason), None, "{reason}");
    }
    assert_eq!(explain("myspace", "190"), None);
}

#[test]
fn the_summary_names_the_blamed_field_and_the_version_that_answered() {
    let body = json!({"error": {"code": 100, "error_subcode": 2_804_016, "error_data":
        {"blame_field_specs": [["data", "1", "user_data", "em", "jane@example.com"],
            ["data", "1", "jane@example.com"], ["data", "1", "custom_data", "Jane"]]}}});
    let headers = vec![
        ("x-ad-api-version-warning".into(), "text of a warning".into()),
        ("facebook-api-version".into(), "v26.0".into()),
    ];
    let answer = Response { status: 400, headers, body: body.to_string().into_bytes() };
    let events = [purchase(1), purchase(2)];
    let verdict = plain().verdict(&events, &answer);
    assert_eq!(
        verdict.summary,
        json!({"code": 100, "subcode": 2_804_016, "blamed": ["custom_data", "user_data.em"],
            "version_warning": true, "api_version": "v26.0"})
    );
    assert_eq!(in_words(&verdict.decision), "each again refused:100/2804016");
}
