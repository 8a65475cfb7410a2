//! What the builders send is taken by the stand-ins of the other platforms: the orders that all
//! platforms share (`core/tests/orders`) go through capture, builder and HTTP client, credential
//! included, into `capi-standin` on loopback. Both halves judge by the vendors' pages and know nothing
//! of each other; what is delivered must be counted there, to the last cent.
//!
//! Each order goes alone, without each of its fields in turn, with each of its identifiers alone, as
//! a test, and in a batch with the others.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use capi_core::capture::{Captured, Options, Row, capture};
use capi_core::destination::{self, Decision, Destination, Outcome, Request, Response, Verdict};
use capi_core::event::Event;
use capi_core::field::{Class, FIELDS, Field};
use capi_core::platform;
use capi_core::time::Timestamp;
use capi_sidecar::config::Credential;
use capi_sidecar::http::Http;
use capi_sidecar::tls;
use capi_sidecar::worker::chain;
use capi_standin::{DEMO_TOKEN, Platform, Standin, StandinOptions, serve_state};
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
const KEY: &str = include_str!("../../tests/standin/service_account.pem");

/// Host and port of a URL.
fn host(url: &str) -> &str {
    url.split('/').nth(2).expect("a host")
}

/// Where a platform is and what opens it.
struct Place {
    state: Standin,
    http: Http,
    base: String,
    credential: Credential,
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
        let state = Standin::new(&StandinOptions { credentials, ..StandinOptions::default() });
        tokio::spawn(serve_state(state.clone(), listener));
        let tls = tls::client(None).expect("TLS");
        let timeout = Duration::from_secs(20);
        let http = Http::new(tls, timeout, timeout).expect("a client");
        let credential = Credential::to(credential, &[host(&base)]);
        Self { state, http, base, credential }
    }

    fn destination(&self, platform: &str, mut settings: Value) -> Box<dyn Destination> {
        let place = if platform == "webhook" { "/webhook/shop" } else { "" };
        settings["endpoint"] = json!(format!("{}{place}", self.base));
        platform::build(platform, &settings).expect("settings")
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
        let url = format!("{}/_standin/requests?limit=1", self.base);
        let slot = destination::CredentialSlot::Bearer;
        let credential = Credential::to(DEMO_TOKEN, &[host(&self.base)]);
        let answer = self.http.send(Request::get(url), slot, &credential).await;
        let body: Value = serde_json::from_slice(&answer.expect("an answer").body).expect("JSON");
        let last = &body["requests"][0];
        format!("{} {} {}", last["refused"], last["answer"], last["body"])
    }
}

fn settings(platform: &str) -> Value {
    platform::sample(platform).unwrap_or_else(|| panic!("{platform} has no sample settings"))
}

fn now() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Timestamp(i64::try_from(since_1970.as_micros()).expect("in range"))
}

fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|_| panic!("{}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A row and the options of its capture.
#[derive(Clone)]
struct Order {
    name: String,
    options: Value,
    row: Map<String, Value>,
}

/// The orders, at their distance from `now`.
fn orders(now: Timestamp) -> Vec<Order> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/orders");
    let browser = read(&folder.join("browser.json"));
    let mut paths: Vec<PathBuf> =
        OF_META.iter().map(|name| folder.join(format!("meta/{name}.json"))).collect();
    let own = fs::read_dir(folder.join("all")).expect("the folder of orders");
    paths.extend(own.map(|file| file.expect("a file").path()));
    paths.sort();
    let shift = now.micros_since(Timestamp::parse(THEIR_NOW).expect("a time"));
    let order = |path: &PathBuf| {
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
        Order { name, options: file["options"].take(), row }
    };
    paths.iter().map(order).collect()
}

impl Order {
    /// The event as it comes out of the outbox; none where the row makes none.
    fn event(&self, now: Timestamp) -> Option<Event> {
        let options = Options::from_json(&self.options);
        let Captured::Event(new) = capture(Row::from_object(self.row.clone()), &options, now)
        else {
            return None;
        };
        let stored = serde_json::to_string(&new.event).expect("JSON");
        Some(serde_json::from_str(&stored).expect("an event"))
    }

    /// The order without a field, for each of its fields, those of `browser` included; and with no
    /// identifier but one.
    fn less(&self) -> Vec<Self> {
        let mut spread = self.clone();
        if let Some(Value::Object(browser)) = spread.row.remove("browser") {
            for (key, value) in browser {
                let name = match key.as_str() {
                    "ip" => "client_ip_address",
                    "user_agent" => "client_user_agent",
                    name => name,
                };
                spread.row.entry(name).or_insert(value);
            }
        }
        let of = |kind: &str, field: &str, row: Map<String, Value>| {
            let name = format!("{} {kind} {field}", self.name);
            Self { name, options: self.options.clone(), row }
        };
        let without = |field: &String| {
            let mut row = spread.row.clone();
            row.remove(field);
            of("without", field, row)
        };
        let person = |name: &str| {
            let is = |field: &&Field| field.name == name;
            let class = FIELDS.iter().find(is).map(|field| field.class);
            matches!(class, Some(Class::Digest | Class::Clear))
        };
        let only = |field: &String| {
            let mut row = spread.row.clone();
            row.retain(|key, _| key == field || !person(key));
            of("with no one but", field, row)
        };
        let fields: Vec<&String> = spread.row.keys().collect();
        let known: Vec<&String> = fields.iter().copied().filter(|name| person(name)).collect();
        fields.into_iter().map(without).chain(known.into_iter().map(only)).collect()
    }
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

fn is_delivered(verdict: &Verdict, count: usize) -> bool {
    match &verdict.decision {
        Decision::Each(each) => {
            each.len() == count && each.iter().all(|one| *one == Outcome::Delivered)
        }
        _ => false,
    }
}

/// Sends the events of one plan; how many of them were fit, and what is wrong.
async fn send(
    place: &Place,
    destination: &dyn Destination,
    events: &[Event],
    wrong: &mut Vec<String>,
) -> usize {
    let platform = destination.spec().platform;
    let mut sent = Vec::new();
    for request in destination.plan(events).requests {
        let part: Vec<Event> = request.events.iter().map(|&at| events[at].clone()).collect();
        let verdict = place.decision(destination, request, &part).await;
        if !is_delivered(&verdict, part.len()) {
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

/// Sends the test of one event, where the platform has tests.
async fn test(place: &Place, destination: &dyn Destination, event: &Event) -> Option<String> {
    let events = std::slice::from_ref(event);
    let request = destination.test_request(events, Some("TEST123"))?;
    let answer = place.answer(destination, request).await;
    let verdict = destination.test_verdict(events, &answer);
    let platform = destination.spec().platform;
    let book = &place.state.summary()["platforms"][platform];
    // TikTok keeps tests apart by their code, and a webhook says in the body that it is one.
    let is_kept = matches!(platform, "tiktok" | "webhook");
    let is_right = is_delivered(&verdict, 1)
        && book["unique_events"].as_u64().unwrap_or_default() == u64::from(is_kept);
    let last = place.last_request().await;
    (!is_right).then(|| format!("test: {:?} {book} {last}", verdict.decision))
}

/// Sends all orders to the stand-in of the platform, which must take them; `least` of them are fit.
async fn agree(platform: &str, settings: Value, least: usize) {
    let place = Place::of(platform).await;
    let destination = place.destination(platform, settings);
    let destination = &*destination;
    let now = now();
    let orders = orders(now);
    assert_eq!(orders.len(), 22);
    let fit = |order: &Order| {
        let event = order.event(now)?;
        (!destination::expired(destination, &event, now)).then_some(event)
    };
    let (mut found, mut alone) = (Vec::new(), 0);
    for order in &orders {
        assert!(order.event(now).is_some(), "{} is no event", order.name);
        let whole = std::iter::once(order.clone());
        for (at, order) in whole.chain(order.less()).enumerate() {
            let Some(event) = fit(&order) else { continue };
            let mut wrong = Vec::new();
            let sent = send(&place, destination, std::slice::from_ref(&event), &mut wrong).await;
            place.state.reset();
            wrong.extend(test(&place, destination, &event).await);
            place.state.reset();
            found.extend(wrong.into_iter().map(|line| format!("{}: {line}", order.name)));
            if at == 0 {
                alone += sent;
            }
        }
    }
    let events: Vec<Event> = orders.iter().filter_map(fit).collect();
    let together = send(&place, destination, &events, &mut found).await;
    assert!(found.is_empty(), "{platform}:\n{}", found.join("\n"));
    assert_eq!(alone, together, "alone and together");
    assert!(together >= least, "{platform}: only {together} orders are sent");
}

/// A place at which nobody listens.
async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

#[tokio::test]
async fn no_credential_shows_in_an_error_or_in_debug() {
    const WORD: &str = "s3cretWord";
    let base = nowhere().await;
    let timeout = Duration::from_secs(20);
    let http = Http::new(tls::client(None).expect("TLS"), timeout, timeout).expect("a client");
    let whole = json!({"client_id": WORD, "client_secret": WORD, "refresh_token": WORD,
        "token_uri": format!("{base}/token")});
    let account = json!({"client_email": WORD, "private_key": WORD, "token_uri": base});
    // Of a good form, one that no header can hold, exchanged for a token, and of a bad form.
    let credentials = [
        WORD.to_owned(),
        format!("{WORD}\n"),
        whole.to_string(),
        account.to_string(),
        format!("{{{WORD}"),
    ];
    for platform in platform::platforms() {
        let mut settings = match platform {
            "meta" => json!({"pixel_id": "1234567890"}),
            platform => settings(platform),
        };
        settings["endpoint"] = json!(base);
        let destination = platform::build(platform, &settings).expect("settings");
        for credential in &credentials {
            let request = Request::post(format!("{base}/events"), &json!({"n": 1}), vec![0]);
            let credential = Credential::to(credential.as_str(), &[host(&base)]);
            let sent = http.send(request, destination.spec().credential, &credential).await;
            let error = sent.expect_err("nobody listens");
            let shown = format!("{error} {error:?} {} {http:?} {credential:?}", chain(&error));
            assert!(!shown.contains(WORD), "{platform}: {shown}");
        }
    }
}

#[tokio::test]
async fn google_ads() {
    agree("google_ads", settings("google_ads"), LEAST).await;
}

#[tokio::test]
async fn ga4() {
    agree("ga4", settings("ga4"), LEAST).await;
}

#[tokio::test]
async fn tiktok() {
    agree("tiktok", settings("tiktok"), LEAST).await;
}

#[tokio::test]
async fn tiktok_offline() {
    let mut settings = settings("tiktok");
    settings["event_source"] = json!("offline");
    agree("tiktok", settings, 3).await;
}

#[tokio::test]
async fn pinterest() {
    agree("pinterest", settings("pinterest"), LEAST).await;
}

#[tokio::test]
async fn snapchat() {
    agree("snapchat", settings("snapchat"), LEAST).await;
}

#[tokio::test]
async fn reddit() {
    agree("reddit", settings("reddit"), LEAST).await;
}

#[tokio::test]
async fn linkedin() {
    agree("linkedin", settings("linkedin"), LEAST).await;
}

#[tokio::test]
async fn webhook() {
    agree("webhook", settings("webhook"), LEAST).await;
}
