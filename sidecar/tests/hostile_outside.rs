//! Random answers, configurations and alerts for what the sidecar reads from outside: nothing panics,
//! every event of a batch is accounted for, waits are bounded, and no secret is shown.
//!
//! Proptest makes the values: `PROPTEST_RNG_SEED` pins them, and `PROPTEST_CASES` asks for more.

#[path = "../../core/tests/trees/mod.rs"]
mod trees;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use capi_core::destination::{CredentialSlot, Grant, Request, Ticket};
use capi_core::event::{ActionSource, Event, Facts, Identity};
use capi_core::platform;
use capi_core::time::Timestamp;
use capi_sidecar::alert::{self, Claimed, Ends, Health};
use capi_sidecar::config::{AlertFormat, Config, Credential, SETTINGS};
use capi_sidecar::http::Http;

use capi_sidecar::recording::{Accepted, BatchResult};
use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};
use proptest::test_runner::Config as Cases;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use trees::{Choices, answer, edited, tree};

/// Stands in every secret.
const SECRET: &str = "qxS3cretToken";

/// The longest that a batch may rest after an answer.
const LONGEST: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// So many cases, or more where `PROPTEST_CASES` asks for more than proptest's own 256.
fn cases(usual: u32) -> Cases {
    let asked = Cases::default().cases;
    // A seed repeats what a file would keep.
    Cases {
        failure_persistence: None,
        cases: if asked > 256 { asked } else { usual },
        ..Cases::default()
    }
}

fn bytes() -> impl proptest::strategy::Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..96)
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

/// Every event of a batch ends, goes again or waits for its decision, once.
fn is_whole(recording: &capi_sidecar::recording::Recording, batch: &[i64]) {
    let mut all: Vec<i64> = recording.settled.iter().map(|settled| settled.event).collect();
    all.extend(recording.accepted.iter().chain(&recording.again));
    all.sort_unstable();
    assert_eq!(all, batch, "{recording:?}");
    assert!(recording.due_in <= LONGEST, "{:?}", recording.due_in);
    assert!(!format!("{recording:?}").contains(trees::MARK), "{recording:?}");
}

/// A configuration file that says this, and what was made of it.
fn configured(text: &str) -> Result<Config, String> {
    let mut file = tempfile(text);
    let loaded = Config::load(Some(file.path()));
    file.close();
    loaded.map_err(|error| format!("{error} {error:?}"))
}

/// A file that is removed again.
struct File(std::path::PathBuf);

fn tempfile(text: &str) -> File {
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("capi-outside-{}-{number}", std::process::id()));
    let mut file = std::fs::File::create(&path).expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    File(path)
}

impl File {
    fn path(&self) -> &std::path::Path {
        &self.0
    }

    fn close(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A tree as TOML, as far as TOML has such values.
fn toml_of(value: &Value, depth: usize) -> String {
    match value {
        Value::Null => "nan".to_owned(),
        Value::Object(map) if depth < 6 => {
            let inner: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{} = {}", json!(key), toml_of(value, depth + 1)))
                .collect();
            format!("{{ {} }}", inner.join(", "))
        }
        Value::Array(list) if depth < 6 => {
            let inner: Vec<String> =
                list.iter().take(20).map(|value| toml_of(value, depth + 1)).collect();
            format!("[{}]", inner.join(", "))
        }
        Value::Object(_) | Value::Array(_) => "[]".to_owned(),
        other => other.to_string(),
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn every_event_of_a_batch_is_accounted_for(bytes in bytes(), tries in any::<u32>(), age in any::<u32>(), draw in 0.0..=1.0_f64) {
        let choices = &mut Choices::new(&bytes);
        let (platform, answer) = answer(choices);
        let settings = platform::sample(platform).expect("a known platform");
        let built = platform::build(platform, &settings).expect("settings");
        let (sent, unsent) = (1 + choices.below(5) as i64, choices.below(3) as i64);
        let flight = BatchResult { settled: Vec::new(), sent: (1..=sent).collect(), unsent: (sent + 1..=sent + unsent).collect(), tries };
        let batch: Vec<i64> = (1..=sent + unsent).collect();
        let events = events(sent);
        let answered = flight.clone().answered(answer.status, built.verdict(&events, &answer), &[], draw);
        is_whole(&answered, &batch);
        // Only what was accepted is asked for.
        let ticket = Ticket("ticket-1".to_owned());
        let flight = BatchResult { unsent: Vec::new(), ..flight };
        let accepted = Accepted { ticket: ticket.clone(), polls: tries, age: Duration::from_secs(age.into()) };
        let asked = flight.asked(&accepted, answer.status, built.status_verdict(&ticket, &events, &answer), draw);
        is_whole(&asked, &batch[..sent as usize]);
    }

    #[test]
    fn a_configuration_is_read_or_refused_without_a_secret(bytes in bytes()) {
        let choices = &mut Choices::new(&bytes);
        let mut keys: Vec<&str> = SETTINGS.iter().map(|(key, _)| *key).collect();
        keys.extend(["rates", "credentials", "meta-eu", "unheard_of"]);
        let mut text = format!("database_url = \"host=/tmp user=capi password={SECRET}\"\n");
        for _ in 0..choices.below(6) {
            let key = choices.of(&keys);
            let value = match choices.below(5) {
                0 => json!(SECRET),
                1 => json!(format!("postgres://capi:{SECRET}@[::1].evil.example:99999/db")),
                2 => json!(choices.below(70_000)),
                _ => tree(choices, &keys, 2),
            };
            text.push_str(&format!("{key} = {}\n", toml_of(&value, 0)));
        }
        match choices.below(6) {
            0 => text.truncate((0..=choices.below(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)),
            1 => text.push_str(&format!("[credentials]\nMETA_TOKEN = \"{SECRET}\"\n")),
            _ => {}
        }
        match configured(&text) {
            Ok(config) => {
                // What is shown of a configuration has no secret, but for a name that is one.
                let names = text.matches(SECRET).count() > 1 + usize::from(text.contains("META_TOKEN"));
                let shown = format!("{config:?} {}", config.database.place());
                prop_assert!(names || !shown.contains(SECRET), "{shown}");
            }
            Err(error) => prop_assert!(!error.contains(SECRET), "{error}"),
        }
    }

    #[test]
    fn an_alert_is_told_whatever_is_in_it(bytes in bytes(), raised_at in any::<i64>(), cleared_at in any::<Option<i64>>(), now in any::<i64>()) {
        const KEYS: [&str; 14] = ["platform", "reason", "oldest_seconds", "refused", "of", "version", "credential", "open", "tables", "step", "subject", "kind", "<!channel>", "*"];
        let choices = &mut Choices::new(&bytes);
        let kinds = ["blocked", "backlog", "refusals", "credential_expiry", "version_end", "capture_errors", "maintenance", "", "unheard_of"];
        let alert = Claimed {
            alert: i64::MAX,
            kind: choices.of(&kinds).to_owned(),
            subject: choices.of(&["meta-eu", "", "<!channel>", "é\u{202e}\u{0}"]).to_owned(),
            step: choices.of(&["0", "14", "-1", "99999999999999999999", "default_partition", "190/463", ""]).to_owned(),
            detail: tree(choices, &KEYS, 2),
            told: choices.below(2) == 0,
            raised_at,
            cleared_at,
        };
        for format in [AlertFormat::Slack, AlertFormat::Json] {
            prop_assert!(alert.message("shop", format).is_object());
        }
        // What the database tells of everything.
        let health = json!({"instance": "shop", "adopted": true, "capture_errors": {"shop.orders": i64::MAX}, "overflow": ["", "capi.outbox"],
            "untold": false, "alerts": [{"kind": "backlog", "subject": "meta-eu", "step": "late"}], "destinations": [{"name": "meta-eu",
                "platform": "meta", "settings": tree(choices, &KEYS, 2), "credential": "META_TOKEN", "state": choices.of(&["active", "paused", "blocked", "?"]),
                "reason": null, "proven": true, "open_batches": -1, "backlog_seconds": choices.of(&[0, -1, i64::MAX, i64::MIN]),
                "settled_1h": choices.of(&[0, 20, i64::MAX, -1]), "refused_1h": choices.of(&[0, 20, i64::MAX, i64::MIN])}]});
        let health = edited(health, choices);
        let Ok(health) = serde_json::from_value::<Health>(health) else { return Ok(()) };
        let config = configured("database_url = \"host=/tmp\"\n").expect("a configuration");
        let ends = Ends { credential: Some(Timestamp(raised_at)), version: Some(("v1".to_owned(), Timestamp(now))) };
        let ends = BTreeMap::from([("meta-eu".to_owned(), ends)]);
        let _ = alert::judge(&health, &ends, Some(true), &config.alerts, Timestamp(now));
    }
}

static GRANT: Grant = Grant { endpoint: "https://tokens.example.com/token", scope: None };

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn a_token_endpoint_may_answer_anything(bytes in bytes(), number in any::<u64>()) {
        let choices = &mut Choices::new(&bytes);
        let life = [json!(3_600), json!(0), json!(1), json!(-1), json!(1e300), json!("3600"), json!(null),
            json!(u64::MAX), json!(u64::MAX / 2), json!(i64::MAX)];
        let body = json!({"access_token": format!("{SECRET}-{number}"), "expires_in": life[choices.below(life.len())], "token_type": "Bearer"});
        let body = if choices.below(2) == 0 { body } else { edited(body, choices) };
        let mut body = body.to_string().into_bytes();
        match choices.below(10) {
            0 => body.truncate(choices.below(body.len())),
            1 => body = b"[".repeat(70_000),
            2 => body = format!("{{\"access_token\": \"a\\nb\", \"expires_in\": 5, \"x\": \"{}\"}}", "y".repeat(70_000)).into_bytes(),
            _ => {}
        }
        let status = choices.of(&[200, 200, 200, 201, 204, 302, 400, 401, 429, 500]);
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        let answer = [head.into_bytes(), body].concat();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let sent = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            // The token endpoint answers first; whatever comes then is the platform's.
            let seen = Arc::new(Mutex::new(0));
            let count = Arc::clone(&seen);
            tokio::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    let mut buffer = [0; 8_192];
                    let read = stream.read(&mut buffer).await.unwrap_or(0);
                    let is_token = buffer[..read].starts_with(b"POST /token");
                    *count.lock().expect("no panic") += 1;
                    let plain: &[u8] = b"HTTP/1.1 200 X\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
                    let _ = stream.write_all(if is_token { &answer } else { plain }).await;
                }
            });
            let credential = json!({"client_id": number.to_string(), "client_secret": SECRET, "refresh_token": SECRET,
                "token_uri": format!("http://{address}/token")});
            let tls = capi_sidecar::tls::client(None).expect("TLS");
            let http = Http::new(tls, Duration::from_secs(2), Duration::from_secs(5)).expect("a client");
            let request = Request::post(format!("http://{address}/events"), &json!({}), vec![0]);
            http.send(request, CredentialSlot::OAuth(&GRANT), &Credential::to(credential.to_string(), &[&address.to_string()])).await
        });
        match sent {
            Ok(answer) => prop_assert_eq!(answer.status, 200),
            Err(error) => {
                let said = format!("{error} {error:?}");
                prop_assert!(!said.contains(SECRET), "{said}");
            }
        }
    }
}
