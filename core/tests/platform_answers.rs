//! Recorded answers of every platform but Meta, whose tests stand beside its code: what each file of
//! `core/src/platform/{platform}/answers/` means, and that nothing of an answer's text is kept.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use capi_core::destination::{Decision, Outcome, Response, Ticket};
use capi_core::event::{ActionSource, Event, Facts, Identity};
use capi_core::platform;
use capi_core::time::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// A recorded answer and what it means.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    /// For the reader.
    source: String,
    /// To which request: `events`, `status` or `test`.
    #[serde(default)]
    to: To,
    sent: i64,
    /// Name of the events.
    #[serde(default = "purchase")]
    event_name: String,
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Value,
    text: Option<String>,
    expect: String,
    request_id: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum To {
    #[default]
    Events,
    Status,
    Test,
}

fn purchase() -> String {
    "Purchase".into()
}

fn settings(platform: &str) -> Value {
    platform::sample(platform).unwrap_or_else(|| panic!("{platform} has no sample settings"))
}

/// Answers that every platform must have on record.
const KINDS: [&str; 8] = [
    "success",
    "partial",
    "validation",
    "bad_token",
    "throttled",
    "server_error",
    "garbage",
    "empty",
];

fn events(count: i64, event_name: &str) -> Vec<Event> {
    (1..=count)
        .map(|id| Event {
            id,
            event_name: event_name.to_owned(),
            event_id: format!("order-{id}"),
            event_time: Timestamp(1_790_000_000_000_000),
            action_source: ActionSource::Website,
            value: None,
            currency: None,
            identity: Identity::default(),
            facts: Facts::default(),
        })
        .collect()
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
        Decision::Accepted { ticket, after } => {
            format!("accepted {} {}", ticket.0, after.as_secs())
        }
        Decision::Retry { reason, .. } => format!("retry {reason}"),
        Decision::Wait { reason, after } => format!("wait {reason} {}", after.as_secs()),
        Decision::Split { reason } => format!("split {reason}"),
        Decision::Blocked { reason } => format!("blocked {reason}"),
        Decision::Unclear { reason } => format!("unclear {reason}"),
    }
}

/// Reasons of a decision.
fn reasons(decision: &Decision) -> Vec<String> {
    match decision {
        Decision::Each(outcomes) => outcomes
            .iter()
            .filter_map(|outcome| match outcome {
                Outcome::Refused(reason) | Outcome::Retry(reason) => Some(reason.0.clone()),
                _ => None,
            })
            .collect(),
        Decision::Accepted { .. } => Vec::new(),
        Decision::Retry { reason, .. }
        | Decision::Wait { reason, .. }
        | Decision::Split { reason }
        | Decision::Unclear { reason }
        | Decision::Blocked { reason } => vec![reason.0.clone()],
    }
}

#[test]
fn recorded_answers_mean_what_their_files_say() {
    for platform in platform::platforms().into_iter().filter(|platform| *platform != "meta") {
        let built = platform::build(platform, &settings(platform)).expect("settings");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("src/platform")
            .join(platform)
            .join("answers");
        let mut names = Vec::new();
        for file in fs::read_dir(folder).expect(platform) {
            let path = file.expect("a file").path();
            let name = path.display().to_string();
            let text = fs::read_to_string(&path).expect("a file");
            let recorded: Recorded =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(!recorded.source.is_empty(), "{name}");
            let body = recorded.text.unwrap_or_else(|| match recorded.body {
                Value::Null => String::new(),
                body => body.to_string(),
            });
            let headers = recorded.headers.into_iter().collect();
            let answer = Response { status: recorded.status, headers, body: body.into_bytes() };
            let events = events(recorded.sent, &recorded.event_name);
            let verdict = match recorded.to {
                To::Events => built.verdict(&events, &answer),
                To::Status => built.status_verdict(&Ticket("ticket-1".into()), &events, &answer),
                To::Test => built.test_verdict(&events, &answer),
            };
            assert_eq!(in_words(&verdict.decision), recorded.expect, "{name}");
            if let Decision::Each(outcomes) = &verdict.decision {
                assert_eq!(outcomes.len(), events.len(), "{name}");
            }
            if recorded.request_id.is_some() {
                assert_eq!(verdict.request_id, recorded.request_id, "{name}");
            }
            if let Decision::Blocked { reason } = &verdict.decision {
                let file = path.file_stem().expect("a name").to_string_lossy();
                let of_token = file.starts_with("bad_token") || file == "token";
                assert_eq!(built.is_about_credential(&reason.0), of_token, "{name}: {reason}");
            }
            for reason in reasons(&verdict.decision) {
                let text = platform::explain(platform, &reason);
                assert!(text.is_some_and(|text| text.len() > 20), "{name}: {reason} has no text");
            }
            // Where an answer may quote what was sent, the files have an email address or this word.
            let kept = format!("{} {:?}", verdict.summary, verdict.decision);
            assert!(!kept.contains("jane") && !kept.contains("quoted"), "{name} {kept}");
            names.push(path.file_stem().expect("a name").to_string_lossy().into_owned());
        }
        for kind in KINDS {
            assert!(names.iter().any(|name| name.starts_with(kind)), "{platform}: no {kind}");
        }
    }
}

#[test]
fn every_reason_for_not_sending_has_a_sentence() {
    for platform in platform::platforms() {
        for reason in [
            "no_refunds",
            "no_limited_use",
            "not_in_only",
            "no_event_mapping",
            "no_such_event",
            "perhaps_delivered",
            "http_401",
            "http_404",
            "http_429",
            "http_503",
            "unreadable_answer",
            "missing_event_id",
            "missing_value",
            "missing_currency",
        ] {
            assert!(platform::explain(platform, reason).is_some(), "{platform}: {reason}");
        }
        assert_eq!(platform::explain(platform, "nonsense"), None);
    }
}
