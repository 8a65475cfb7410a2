//! Random answers to every reader of what comes from outside: no reader panics, every event is
//! accounted for, and nothing of a text that may quote a person is kept.
//!
//! Each target runs for a second, or as many as `FUZZ_SECONDS` says; see `fuzz.rs`.

mod trees;

use std::time::Duration;

use bolero::check;
use capi_core::destination::{Decision, Outcome, Response, Ticket, Verdict};
use capi_core::event::{ActionSource, Event, Facts, Identity, packed};
use capi_core::platform::{self, audience};
use capi_core::time::Timestamp;
use capi_core::{capture::Options, consent::Consent};
use serde_json::Value;
use trees::{Choices, MARK, answer, tree};

/// The longest that an answer may hold anything up.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

fn duration() -> Duration {
    let seconds = std::env::var("FUZZ_SECONDS").ok();
    Duration::from_secs(seconds.and_then(|text| text.parse().ok()).unwrap_or(1))
}

fn settings(platform: &str) -> Value {
    platform::sample(platform).unwrap_or_else(|| panic!("{platform} has no sample settings"))
}

fn events(count: i64) -> Vec<Event> {
    (1..=count)
        .map(|id| Event {
            id,
            event_name: "Purchase".to_owned(),
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

fn is_reason(reason: &str) {
    assert!((1..=200).contains(&reason.len()), "a reason of {} bytes", reason.len());
    assert!(!reason.contains(char::is_whitespace), "a reason is a word: {reason:?}");
}

/// The law of every answer.
fn accounts_for_all(platform: &str, sent: usize, verdict: &Verdict) {
    match &verdict.decision {
        Decision::Each(outcomes) => {
            assert_eq!(outcomes.len(), sent, "{platform}: one outcome per event");
            for outcome in outcomes {
                if let Outcome::Refused(reason) | Outcome::Retry(reason) = outcome {
                    is_reason(&reason.0);
                }
            }
            let again = outcomes.iter().filter(|o| **o == Outcome::Again).count();
            assert!(again == 0 || again < sent, "{platform}: all go at once, for ever");
        }
        Decision::Accepted { ticket, after } => {
            assert!(
                (1..=500).contains(&ticket.0.len()),
                "{platform}: a ticket of {} bytes",
                ticket.0.len()
            );
            assert!(*after <= LONGEST, "{platform}: {after:?}");
        }
        Decision::Retry { reason, after } => {
            is_reason(&reason.0);
            // The worker's backoff has a bound of its own.
            let _ = after;
        }
        Decision::Wait { reason, after } => {
            is_reason(&reason.0);
            assert!(*after <= LONGEST, "{platform}: {after:?}");
        }
        Decision::Split { reason } => {
            is_reason(&reason.0);
            assert!(sent > 1, "{platform}: a lone event cannot be split");
        }
        Decision::Blocked { reason } | Decision::Unclear { reason } => is_reason(&reason.0),
    }
    assert!(verdict.hold.is_none_or(|hold| hold <= LONGEST), "{platform}: {:?}", verdict.hold);
    assert!(
        verdict.request_id.as_ref().is_none_or(|id| (1..=100).contains(&id.len())),
        "{platform}: request id"
    );
    let kept = format!("{} {:?} {:?}", verdict.summary, verdict.decision, verdict.request_id);
    assert!(!kept.contains(MARK), "{platform}: a quoted text is kept: {kept}");
    let size = verdict.summary.to_string().len();
    assert!(size <= 8_192, "{platform}: {size} bytes of an answer are kept");
}

/// A success that names another number of events than were sent does not deliver all of them.
fn counts(platform: &str, sent: usize, answer: &Response, verdict: &Verdict) {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let named = match platform {
        "meta" => body["events_received"].as_u64(),
        "pinterest" => body["num_events_received"].as_u64(),
        _ => None,
    };
    let delivered = matches!(&verdict.decision, Decision::Each(all) if all.iter().all(|o| *o == Outcome::Delivered));
    if let Some(named) = named.filter(|_| delivered) {
        assert_eq!(named, sent as u64, "{platform}: another number of events");
    }
}

#[test]
fn platforms() {
    check!().with_test_time(duration()).with_max_len(64).for_each(|bytes: &[u8]| {
        let choices = &mut Choices::new(bytes);
        let (recorded_of, answer) = answer(choices);
        // Now and then another platform's: an endpoint that is somebody else's.
        let all = platform::platforms();
        let platform = if choices.below(4) == 0 { choices.of(&all) } else { recorded_of };
        let built = platform::build(platform, &settings(platform)).expect("settings");
        let events = events(choices.of(&[1, 2, 3, 7]));
        let verdict = built.verdict(&events, &answer);
        accounts_for_all(platform, events.len(), &verdict);
        counts(platform, events.len(), &answer, &verdict);
        let ticket = Ticket("ticket-1".to_owned());
        accounts_for_all(platform, events.len(), &built.status_verdict(&ticket, &events, &answer));
        accounts_for_all(platform, events.len(), &built.test_verdict(&events, &answer));
        assert!(!format!("{answer:?}").contains(MARK), "an answer shows what it quotes");
    });
}

#[test]
fn audiences() {
    check!().with_test_time(duration()).with_max_len(64).for_each(|bytes: &[u8]| {
        let choices = &mut Choices::new(bytes);
        let (_, answer) = answer(choices);
        let verdict = audience::Audience::verdict(choices.of(&[1, 2, 10_000]), &answer);
        if let audience::Decision::Wait { after, .. } = &verdict.decision {
            assert!(*after <= LONGEST, "{after:?}");
        }
        assert!(!format!("{verdict:?}").contains(MARK), "a quoted text is kept: {verdict:?}");
    });
}

#[test]
fn settings_and_options() {
    const KEYS: [&str; 22] = [
        "pixel_id",
        "endpoint",
        "events",
        "only",
        "limited_use",
        "api_version",
        "measurement_id",
        "customer_id",
        "tag",
        "Purchase",
        "test_event_code",
        "only_if",
        "default_country",
        "consent",
        "date_order",
        "meta",
        "*",
        "operating_account",
        "login_customer_id",
        "audience_id",
        "value_column",
        "refunds",
    ];
    check!().with_test_time(duration()).with_max_len(96).for_each(|bytes: &[u8]| {
        let choices = &mut Choices::new(bytes);
        let random = tree(choices, &KEYS, 3);
        for platform in platform::platforms() {
            // One odd setting beside those that are needed, or nothing but odd ones.
            let mut mixed = settings(platform);
            if let (Value::Object(mixed), Value::Object(random)) = (&mut mixed, &random) {
                mixed.extend(random.clone());
            }
            for settings in [&mixed, &random] {
                match platform::build(platform, settings) {
                    Ok(built) => drop(built.plan(&events(3))),
                    Err(error) => assert!(!error.to_string().contains(MARK), "{platform}: {error}"),
                }
                let built = audience::Audience::build(platform, settings, &random);
                assert!(!format!("{:?}", built.err()).contains(MARK), "{platform}");
            }
        }
        let _ = Options::from_json(&random);
        let _ = Consent::parse(&random);
    });
}

/// What a database gives, which may be hostile or broken.
#[test]
fn packed_events() {
    let mut packer = packed::Packer::default();
    packer.event(&events(1)[0]).expect("a small event");
    let good = packer.into_bytes();
    check!().with_test_time(duration()).with_max_len(64).for_each(move |bytes: &[u8]| {
        let mut packed = good.clone();
        let choices = &mut Choices::new(bytes);
        for _ in 0..choices.below(6) {
            let at = choices.below(packed.len().max(1));
            match choices.below(4) {
                0 => packed.truncate(at),
                1 if at < packed.len() => packed[at] = choices.below(256) as u8,
                2 => packed
                    .splice(at.min(packed.len())..at.min(packed.len()), [0xFF; 4])
                    .for_each(drop),
                _ => packed.extend_from_slice(&good[..at.min(good.len())]),
            }
        }
        for packed in [packed, bytes.to_vec()] {
            let packed = packed.into();
            if let Err(column) = packed::unpack(&packed) {
                assert!(!column.is_empty());
            }
            let _ = packed::unpack_piece(packed);
        }
    });
}
