//! What the builders send is taken by the stand-ins of the other platforms: the orders that all
//! platforms share (`core/tests/orders`) go through capture, builder and HTTP client, credential
//! included, into `capi fake` on loopback. Both halves judge by the vendors' pages and know nothing
//! of each other; what is delivered must be counted there, to the last cent.
//!
//! Each order goes alone and in a batch with the others; both must do.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use capi_core::capture::{Captured, Options, Row, capture};
use capi_core::destination::{self, Decision, Destination, Outcome, Request, Response, Verdict};
use capi_core::event::Event;
use capi_core::time::Timestamp;
use capi_sidecar::fake::{DEMO_TOKEN, FakeOptions, FakeState, Platform, serve_state};
use capi_sidecar::http::Http;
use capi_sidecar::tls;
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

/// Orders of Meta's that are tried on every platform; `orders/all` are the others.
const OF_META: [&str; 14] = [
    "website_purchase_with_everything",
    "website_purchase_of_a_guest",
    "website_purchase_for_nothing",
    "website_add_to_cart_of_a_stranger",
    "website_initiate_checkout",
    "website_view_content",
    "website_complete_registration",
    "website_start_trial",
    "website_search",
    "website_hashed_by_the_shop",
    "website_many_addresses",
    "website_limited_data_use_in_california",
    "store_purchase",
    "own_event",
];

/// The orders are of the day before this, and go as if it were now.
const THEIR_NOW: &str = "2026-09-22T12:00:00Z";

/// Fewest orders that every platform takes.
const LEAST: usize = 10;

/// Most questions about one ticket; the stand-in says twice at most that it is not done.
const QUESTIONS: usize = 5;

/// A key that opens nothing but the stand-in.
const KEY: &str = include_str!("../src/fake/tests/service_account.pem");

/// Where a platform is and what opens it.
struct Place {
    state: FakeState,
    http: Http,
    base: String,
    credential: SecretString,
}

impl Place {
    async fn of(platform: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let credential: SecretString = match platform {
            "google_ads" => json!({"client_email": "shop@project.example.com",
                "private_key": KEY, "token_uri": format!("{base}/token")})
            .to_string()
            .into(),
            "linkedin" => json!({"client_id": "client", "client_secret": "a secret",
                "refresh_token": "a refresh token",
                "token_uri": format!("{base}/oauth/v2/accessToken")})
            .to_string()
            .into(),
            _ => DEMO_TOKEN.into(),
        };
        let name = Platform::parse(platform).expect("a platform of the stand-in");
        let credentials = BTreeMap::from([(name, credential.clone())]);
        let state = FakeState::new(&FakeOptions { credentials, ..FakeOptions::default() });
        tokio::spawn(serve_state(state.clone(), listener));
        let tls = tls::client(None).expect("TLS");
        let timeout = Duration::from_secs(20);
        let http = Http::new(tls, timeout, timeout).expect("a client");
        Self { state, http, base, credential }
    }

    fn destination(&self, platform: &str) -> Box<dyn Destination> {
        let mut settings = settings(platform);
        let place = if platform == "webhook" { "/webhook/shop" } else { "" };
        settings["endpoint"] = json!(format!("{}{place}", self.base));
        destination::build(platform, &settings).expect("settings")
    }

    async fn answer(&self, platform: &dyn Destination, request: Request) -> Response {
        let slot = platform.spec().credential;
        self.http.send(request, slot, &self.credential).await.expect("an answer")
    }

    /// Sends one request and asks on until the platform has decided.
    async fn decision(
        &self,
        platform: &dyn Destination,
        request: Request,
        events: &[Event],
    ) -> Verdict {
        let answer = self.answer(platform, request).await;
        let mut verdict = platform.verdict(events, &answer);
        for _ in 0..QUESTIONS {
            let Decision::Accepted { ticket, .. } = &verdict.decision else { break };
            let ticket = ticket.clone();
            let question = platform.status_request(&ticket).expect("a question");
            let answer = self.answer(platform, question).await;
            verdict = platform.status_verdict(&ticket, events, &answer);
        }
        verdict
    }

    /// What the stand-in has to say about the last requests, for whoever reads a failure.
    async fn last_request(&self) -> String {
        let url = format!("{}/_fake/requests?limit=1", self.base);
        let slot = destination::CredentialSlot::Bearer;
        let answer = self.http.send(Request::get(url), slot, &DEMO_TOKEN.into()).await;
        let body: Value = serde_json::from_slice(&answer.expect("an answer").body).expect("JSON");
        let last = &body["requests"][0];
        format!("{} {} {}", last["refused"], last["answer"], last["body"])
    }
}

fn settings(platform: &str) -> Value {
    match platform {
        "tiktok" => json!({"event_source_id": "C4ABCDEF"}),
        "ga4" => json!({"measurement_id": "G-ABC123"}),
        "google_ads" => json!({"customer_id": "1234567890", "events": {"Purchase": "987654321",
                "Lead": "987654322", "AddToCart": "987654323", "InitiateCheckout": "987654324",
                "ViewContent": "987654325", "CompleteRegistration": "987654326"}}),
        "pinterest" => json!({"ad_account_id": "549755885175"}),
        "snapchat" => json!({"pixel_id": "a1b2c3d4-1111-4222-8333-444455556666"}),
        "reddit" => json!({"pixel_id": "a2_example"}),
        "linkedin" => json!({"events": {"Purchase": "urn:lla:llaPartnerConversion:104012",
                "Lead": "104013", "AddToCart": "104014", "InitiateCheckout": "104015",
                "ViewContent": "104016", "CompleteRegistration": "104017",
                "StartTrial": "104018"}}),
        "webhook" => json!({}),
        _ => panic!("{platform} has no sample settings"),
    }
}

fn now() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Timestamp(i64::try_from(since_1970.as_micros()).expect("in range"))
}

fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|_| panic!("{}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The orders by name, as events of an outbox, at their distance from `now`.
fn orders(now: Timestamp) -> Vec<(String, Event)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/orders");
    let browser = read(&folder.join("browser.json"));
    let mut paths: Vec<PathBuf> =
        OF_META.iter().map(|name| folder.join(format!("meta/{name}.json"))).collect();
    let own = fs::read_dir(folder.join("all")).expect("the folder of orders");
    paths.extend(own.map(|file| file.expect("a file").path()));
    paths.sort();
    let shift = now.micros_since(Timestamp::parse(THEIR_NOW).expect("a time"));
    let event = |path: &PathBuf| {
        let mut file = read(path);
        let Value::Object(mut row) = file["row"].take() else { panic!("a row") };
        if row["action_source"] == "website" && !row.contains_key("browser") {
            row.insert("browser".into(), browser.clone());
        }
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        // Many orders share an id, which the platforms would take for copies.
        for key in ["event_id", "order_id"] {
            own_id(&mut row, key, &name);
        }
        let time = row["event_time"].as_str().expect("a time");
        let Timestamp(time) = Timestamp::parse(time).expect("a time");
        row.insert("event_time".into(), json!(time + shift));
        let options = Options::from_json(&file["options"]);
        let Captured::Event(new) = capture(Row::from_object(row), &options, now) else {
            panic!("{name} is no event");
        };
        let stored = serde_json::to_string(&new.event).expect("JSON");
        (name, serde_json::from_str(&stored).expect("an event"))
    };
    paths.iter().map(event).collect()
}

fn own_id(row: &mut Map<String, Value>, key: &str, order: &str) {
    if let Some(Value::String(id)) = row.get_mut(key) {
        *id = format!("{id}-{order}");
    }
}

/// Millionths of a decimal.
fn millionths(text: &str) -> i128 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    assert!(fraction.len() <= 6, "{text} is finer than a millionth");
    format!("{whole}{fraction:0<6}").parse().expect("a decimal")
}

/// What the events are worth by currency. Google Ads is told what is left of an order.
fn worth(platform: &str, events: &[Event]) -> BTreeMap<String, i128> {
    let mut sums = BTreeMap::new();
    for event in events {
        let value = if platform == "google_ads" && event.event_name == "Refund" {
            event.facts.get("remaining_value").map(Value::to_string)
        } else {
            event.value.as_ref().map(|value| value.as_str().to_owned())
        };
        if let (Some(value), Some(currency)) = (value, &event.currency) {
            *sums.entry(currency.as_str().to_owned()).or_default() += millionths(&value);
        }
    }
    sums
}

/// Sends the events of one plan; how many of them were fit, and what is wrong.
async fn send(place: &Place, platform: &str, events: &[Event], wrong: &mut Vec<String>) -> usize {
    let destination = place.destination(platform);
    let mut sent = Vec::new();
    for request in destination.plan(events).requests {
        let part: Vec<Event> = request.events.iter().map(|&at| events[at].clone()).collect();
        let verdict = place.decision(&*destination, request, &part).await;
        let is_delivered = match &verdict.decision {
            Decision::Each(each) => {
                each.len() == part.len() && each.iter().all(|one| *one == Outcome::Delivered)
            }
            _ => false,
        };
        if !is_delivered {
            let last = place.last_request().await;
            wrong.push(format!("{:?} {} {last}", verdict.decision, verdict.summary));
        }
        sent.extend(part);
    }
    let book = &place.state.summary()["platforms"][platform];
    let count = |key: &str| book[key].as_u64().unwrap_or_default();
    if count("unique_events") != sent.len() as u64 {
        let last = place.last_request().await;
        wrong.push(format!("{} events were sent, {book} arrived, {last}", sent.len()));
    }
    for key in ["duplicates", "vanished", "refused_events", "refused_requests"] {
        if count(key) != 0 {
            wrong.push(format!("{key}: {}", count(key)));
        }
    }
    let arrived: BTreeMap<String, i128> = book["values"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(code, sum)| (code.clone(), millionths(sum.as_str().expect("a sum"))))
        .collect();
    let worth = worth(platform, &sent);
    if arrived != worth {
        wrong.push(format!("{worth:?} was sent, {arrived:?} arrived"));
    }
    sent.len()
}

async fn agree(platform: &str) {
    let place = Place::of(platform).await;
    let destination = place.destination(platform);
    let now = now();
    let mut orders = orders(now);
    assert_eq!(orders.len(), 22);
    orders.retain(|(_, event)| !destination::expired(&*destination, event, now));
    let (mut found, mut total) = (Vec::new(), 0);
    for (name, event) in &orders {
        let mut wrong = Vec::new();
        total += send(&place, platform, std::slice::from_ref(event), &mut wrong).await;
        found.extend(wrong.into_iter().map(|line| format!("{name}: {line}")));
        place.state.reset();
    }
    let events: Vec<Event> = orders.into_iter().map(|(_, event)| event).collect();
    let together = send(&place, platform, &events, &mut found).await;
    assert!(found.is_empty(), "{platform}:\n{}", found.join("\n"));
    assert_eq!(total, together, "alone and together");
    assert!(total >= LEAST, "{platform}: only {total} orders are sent");
}

#[tokio::test]
async fn google_ads() {
    agree("google_ads").await;
}

#[tokio::test]
async fn ga4() {
    agree("ga4").await;
}

#[tokio::test]
async fn tiktok() {
    agree("tiktok").await;
}

#[tokio::test]
async fn pinterest() {
    agree("pinterest").await;
}

#[tokio::test]
async fn snapchat() {
    agree("snapchat").await;
}

#[tokio::test]
async fn reddit() {
    agree("reddit").await;
}

#[tokio::test]
async fn linkedin() {
    agree("linkedin").await;
}

#[tokio::test]
async fn webhook() {
    agree("webhook").await;
}
