//! `capi send-test`: one event to one destination, and what the platform says. A made-up event in
//! the platform's test mode by default; a real one that counts only when it is named and confirmed.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use capi_core::capture::{Captured, Options, Row, capture};
use capi_core::destination::{self, Decision, Destination, Outcome, Request, Response, Verdict};
use capi_core::event::Event;
use capi_core::platform;
use clap::Args;
use serde_json::json;

use super::way_out::explained;
use crate::config::Config;
use crate::http::{Http, SendError};
use crate::queue::{DestinationRow, Session, TestEnd};
use crate::tls;
use crate::worker::now;
use crate::workers::ready;

/// What is sent to whom.
#[derive(Debug, Args)]
pub(super) struct TestOptions {
    /// Name of the destination; it may be paused.
    destination: String,
    /// The platform's code for test events, where its test mode needs one; default: the destination's
    /// `test_event_code`.
    #[arg(long, value_name = "CODE")]
    test_code: Option<String>,
    /// Name of the made-up event.
    #[arg(long, value_name = "NAME", default_value = "Purchase", conflicts_with = "event")]
    event_name: String,
    /// Sends this captured event, by its number in `capi.delivery`, under its own event id: it counts,
    /// unless --test-code is given as well. Needs --yes, and the sidecar's role: an
    /// administrator sees no digest.
    #[arg(long, value_name = "NUMBER", requires = "yes")]
    event: Option<i64>,
    /// Yes, send a real event.
    #[arg(long)]
    yes: bool,
}

/// Why nothing was sent.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unusable(String);

impl Unusable {
    /// Says why.
    pub(super) fn new(why: String) -> Self {
        Self(why)
    }
}

pub(super) async fn send_test(config: &Config, options: &TestOptions) -> anyhow::Result<ExitCode> {
    let explain = |error| explained(error, &config.database);
    let session = Session::open(&config.database).await.map_err(explain)?;
    let handshake = session.handshake().await.map_err(explain)?;
    handshake.check_instance(config.instance.as_deref())?;
    let row = destination_of(session.destinations().await.map_err(explain)?, options)?;
    let (platform, credential) = ready(&row, &config.credentials).map_err(Unusable)?;
    let delivery = &config.delivery;
    let http = Http::new(tls::client(None)?, delivery.connect_timeout, delivery.request_timeout)?;

    let (attempt, event) = match options.event {
        None => (None, made_up(&options.event_name)?),
        Some(number) => {
            let opened = session.test_open(row.destination, number, &config.worker).await;
            let (attempt, event) = opened.map_err(explain)?;
            let event = event.map_err(|column| Unusable(format!("{column} cannot be read")));
            match event {
                Ok(event) => (Some(attempt), event),
                Err(error) => {
                    close(&session, attempt, &unsent("unreadable")).await.map_err(explain)?;
                    return Err(error.into());
                }
            }
        }
    };
    let test = Test::of(options);
    let (end, said, taken) = match test.request(&*platform, &event) {
        Err(Obstacle::Mode(why)) => {
            if let Some(attempt) = attempt {
                close(&session, attempt, &unsent("no_test_mode")).await.map_err(explain)?;
            }
            return Err(Unusable(format!("{}: {why}", row.name)).into());
        }
        Err(Obstacle::Unfit(why)) => {
            let said = format!("not sent: {}", with_meaning(&row.platform, &why));
            (unsent(&why), said, false)
        }
        Ok(request) => {
            std::io::stdout().write_all(summary(&request, &event).as_bytes())?;
            let slot = platform.spec().credential;
            match http.send(request, slot, &credential).await {
                Ok(answer) => {
                    let verdict = test.verdict(&*platform, &event, &answer);
                    let (said, taken) = words(&row.platform, &verdict);
                    (
                        answered(answer.status, verdict),
                        format!("HTTP {}: {said}", answer.status),
                        taken,
                    )
                }
                Err(error) => (unanswered(error), format!("no answer: {error}"), false),
            }
        }
    };
    if let Some(attempt) = attempt {
        close(&session, attempt, &end).await.map_err(explain)?;
    }
    let mut text = String::new();
    writeln!(text, "answer   {said}")?;
    if let Some(id) = &end.request_id {
        writeln!(text, "id       {id}")?;
    }
    if attempt.is_none() {
        writeln!(text, "The event was made up; nothing of it is stored here.")?;
    }
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::from(u8::from(!taken)))
}

async fn close(
    session: &Session,
    attempt: i64,
    end: &TestEnd,
) -> Result<(), crate::queue::QueueError> {
    session.test_close(attempt, end).await.map(drop)
}

fn destination_of(
    all: Vec<DestinationRow>,
    options: &TestOptions,
) -> Result<DestinationRow, Unusable> {
    let known: Vec<String> = all.iter().map(|row| row.name.clone()).collect();
    all.into_iter()
        .find(|row| row.name == options.destination)
        .ok_or_else(|| Unusable(format!("no such destination; there are: {}", known.join(", "))))
}

/// Whether the event is to count.
enum Test<'a> {
    /// In the platform's test mode, with a code if there is one.
    Mode(Option<&'a str>),
    /// As the sidecar sends it.
    Real,
}

/// Why there is no request.
#[derive(Debug, PartialEq, Eq)]
enum Obstacle {
    /// The event is not for this destination, for this reason.
    Unfit(String),
    /// It cannot be sent without counting; the way out.
    Mode(&'static str),
}

impl<'a> Test<'a> {
    fn of(options: &'a TestOptions) -> Self {
        match (options.event, options.test_code.as_deref()) {
            (Some(_), None) => Self::Real,
            (_, code) => Self::Mode(code),
        }
    }

    fn request(&self, platform: &dyn Destination, event: &Event) -> Result<Request, Obstacle> {
        let events = std::slice::from_ref(event);
        let mut plan = platform.plan(events);
        if let Some((_, unfit)) = plan.unfit.pop() {
            let (destination::Unfit::Unrouted(reason) | destination::Unfit::Refused(reason)) =
                unfit;
            return Err(Obstacle::Unfit(reason.0));
        }
        let Self::Mode(code) = self else {
            return plan.requests.pop().ok_or_else(|| Obstacle::Unfit("no_request".to_owned()));
        };
        platform.test_request(events, *code).ok_or_else(|| {
            Obstacle::Mode(match code {
                None if platform.test_request(events, Some("TEST")).is_some() => {
                    "without a code the test would count: give --test-code, from the platform's page \
                     for test events"
                }
                Some(_) if platform.test_request(events, Some("TEST")).is_some() => {
                    "--test-code must be 1 to 64 letters, digits, dashes or underscores"
                }
                _ => {
                    "the platform has no test mode, so a made-up event would count: send a real one \
                     with --event and --yes"
                }
            })
        })
    }

    fn verdict(&self, platform: &dyn Destination, event: &Event, answer: &Response) -> Verdict {
        let events = std::slice::from_ref(event);
        match self {
            Self::Mode(_) => platform.test_verdict(events, answer),
            Self::Real => platform.verdict(events, answer),
        }
    }
}

/// An event of nobody, by the rules that real ones go through.
fn made_up(event_name: &str) -> Result<Event, Unusable> {
    let at = now();
    let row = json!({
        "event_name": event_name,
        "event_id": format!("capi-test-{:016x}", rand::random::<u64>()),
        "event_time": at.0,
        "action_source": "website",
        "event_source_url": "https://shop.example.com/test",
        "value": "1.00",
        "currency": "EUR",
        "email": "erika.mustermann@example.com",
        "first_name": "Erika",
        "last_name": "Mustermann",
        "country": "DE",
        "client_ip_address": "203.0.113.7",
        "client_user_agent": "capi send-test",
        "ga_client_id": "1000000000.1000000000",
        "consent": true,
    });
    let row = row.as_object().cloned().unwrap_or_default();
    match capture(Row::from_object(row), &Options::default(), at) {
        Captured::Event(captured) => Ok(captured.event),
        Captured::Waiting => Err(Unusable("the event would wait for consent".into())),
        Captured::Fault(fault) => Err(Unusable(format!("{}: {}", fault.field, fault.reason))),
    }
}

/// The request without what is in it.
fn summary(request: &Request, event: &Event) -> String {
    let url = request.url.split(['?', '#']).next().unwrap_or_default();
    let bytes = request.body.to_string().len();
    let shared = event.identity.len();
    format!(
        "request  {:?} {url}, {bytes} bytes\nevent    {} {}, {shared} digests\n",
        request.method, event.event_name, event.event_id
    )
}

/// The verdict in words, and whether the platform took the event.
fn words(platform: &str, verdict: &Verdict) -> (String, bool) {
    let because = |what: &str, reason: &str| format!("{what}: {}", with_meaning(platform, reason));
    match &verdict.decision {
        Decision::Each(outcomes) => match outcomes.first() {
            Some(Outcome::Delivered) => ("delivered".into(), true),
            Some(Outcome::Refused(reason)) => (because("refused", &reason.0), false),
            Some(Outcome::Retry(reason)) => (because("not taken this time", &reason.0), false),
            Some(Outcome::Again) | None => ("not taken".into(), false),
        },
        Decision::Accepted { .. } => ("accepted; the platform decides later".into(), true),
        Decision::Retry { reason, .. } => (because("not taken this time", &reason.0), false),
        Decision::Unclear { reason } => {
            (because("not taken, for a reason that is not known", &reason.0), false)
        }
        Decision::Wait { reason, .. } => (because("throttled", &reason.0), false),
        Decision::Split { reason } => (because("refused", &reason.0), false),
        Decision::Blocked { reason } => (because("the account is refused", &reason.0), false),
    }
}

fn with_meaning(platform: &str, reason: &str) -> String {
    match platform::explain(platform, reason) {
        Some(meaning) => format!("{reason} ({meaning})"),
        None => reason.to_owned(),
    }
}

fn answered(status: u16, verdict: Verdict) -> TestEnd {
    let (outcome, reason) = match verdict.decision {
        Decision::Each(outcomes) => match outcomes.into_iter().next() {
            Some(Outcome::Refused(reason) | Outcome::Retry(reason)) => ("each", Some(reason)),
            Some(Outcome::Delivered | Outcome::Again) | None => ("each", None),
        },
        Decision::Accepted { .. } => ("accepted", None),
        Decision::Retry { reason, .. } | Decision::Unclear { reason } => ("retry", Some(reason)),
        Decision::Wait { reason, .. } => ("wait", Some(reason)),
        Decision::Split { reason } => ("split", Some(reason)),
        // Of the test only: the destination is not stopped by it.
        Decision::Blocked { reason } => ("blocked", Some(reason)),
    };
    TestEnd {
        outcome,
        http_status: Some(status.into()),
        request_id: verdict.request_id,
        reason: reason.map(|reason| reason.0),
        answer: verdict.summary,
    }
}

fn unanswered(error: SendError) -> TestEnd {
    let answer = json!({"sent": error.certainty()});
    let reason = Some(error.reason().to_owned());
    TestEnd { outcome: "unknown", http_status: None, request_id: None, reason, answer }
}

fn unsent(reason: &str) -> TestEnd {
    let reason = Some(reason.to_owned());
    TestEnd { outcome: "released", http_status: None, request_id: None, reason, answer: json!({}) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn options(test_code: Option<&str>, event: Option<i64>) -> TestOptions {
        TestOptions {
            destination: "meta-eu".into(),
            test_code: test_code.map(str::to_owned),
            event_name: "Purchase".into(),
            event,
            yes: event.is_some(),
        }
    }

    fn built(platform: &str, settings: &Value) -> Box<dyn Destination> {
        platform::build(platform, settings).expect("settings")
    }

    #[test]
    fn a_made_up_event_needs_a_code_where_it_would_count() {
        let event = made_up("Purchase").expect("an event");
        let plain = built("meta", &json!({"pixel_id": "1", "tag": {"id": "2"}}));
        let request = |options: &TestOptions| Test::of(options).request(&*plain, &event);
        let refused = request(&options(None, None)).expect_err("no code");
        assert!(matches!(refused, Obstacle::Mode(why) if why.contains("--test-code")));
        let real = request(&options(None, Some(7))).expect("a real event counts anyway");
        assert!(real.body.get("test_event_code").is_none());
        for event in [None, Some(7)] {
            let coded = request(&options(Some("TEST1"), event)).expect("a code");
            assert_eq!(coded.body["test_event_code"], "TEST1");
        }
        let set = built("meta", &json!({"pixel_id": "1", "test_event_code": "TEST2"}));
        let coded = Test::of(&options(None, None)).request(&*set, &event).expect("a code");
        assert_eq!(coded.body["test_event_code"], "TEST2");
    }

    #[test]
    fn every_platform_takes_the_made_up_event_in_its_test_mode_or_has_none() {
        let event = made_up("Purchase").expect("an event");
        for platform in platform::platforms() {
            // These know a test by a code, and take none without.
            let coded = ["meta", "reddit", "tiktok"].contains(&platform);
            let settings = platform::sample(platform).expect("a sample");
            let built = built(platform, &settings);
            let plain = Test::Mode(None).request(&*built, &event);
            match platform {
                "linkedin" => assert!(
                    matches!(plain, Err(Obstacle::Mode(why)) if why.contains("no test mode"))
                ),
                _ if coded => {
                    let why = plain.expect_err(platform);
                    assert!(matches!(why, Obstacle::Mode(why) if why.contains("--test-code")));
                    Test::Mode(Some("TEST1")).request(&*built, &event).expect(platform);
                }
                _ => {
                    let real = Test::Real.request(&*built, &event).expect(platform);
                    assert_ne!(plain.expect(platform), real, "{platform}: it would count");
                }
            }
        }
        let reddit = built("reddit", &json!({"pixel_id": "1"}));
        let wrong = Test::Mode(Some("no id")).request(&*reddit, &event).expect_err("a space");
        assert!(matches!(wrong, Obstacle::Mode(why) if why.starts_with("--test-code must be")));
        let only = built("meta", &json!({"pixel_id": "1", "only": ["Lead"]}));
        let unfit = Test::Mode(Some("TEST1")).request(&*only, &event);
        assert_eq!(unfit, Err(Obstacle::Unfit("not_in_only".into())));
    }

    #[test]
    fn what_is_shown_holds_no_person() {
        let event = made_up("Lead").expect("an event");
        let meta = built("meta", &json!({"pixel_id": "1"}));
        let request = Test::Mode(Some("TEST1")).request(&*meta, &event).expect("a request");
        let digest = event.identity.digests("email", "meta")[0].as_str().to_owned();
        let shown = summary(&request, &event);
        assert!(shown.contains("Lead capi-test-"), "{shown}");
        assert!(!shown.contains(&digest) && !shown.contains("203.0.113.7"), "{shown}");
    }

    #[test]
    fn every_verdict_has_words() {
        let reason = || destination::Reason::new("190");
        for (decision, taken) in [
            (Decision::Each(vec![Outcome::Delivered]), true),
            (Decision::Each(vec![Outcome::Refused(reason())]), false),
            (Decision::Split { reason: reason() }, false),
            (Decision::Blocked { reason: reason() }, false),
        ] {
            let verdict = Verdict { decision, hold: None, request_id: None, summary: json!({}) };
            let (said, was_taken) = words("meta", &verdict);
            assert_eq!(was_taken, taken, "{said}");
            assert_eq!(said.contains("190"), !taken, "{said}");
        }
    }
}
