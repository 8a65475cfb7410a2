//! Every rule of the other platforms in `docs/contributing/standin.md` with examples: what is accepted, and what is
//! refused by that rule and with the answer that the page names.

mod analytics;
mod google;
mod linkedin;
mod pinterest;
mod reddit;
mod snapchat;
mod tiktok;
mod tokens;
mod webhook;

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::{DEMO_TOKEN, DIGEST, Local, now};
use crate::{Platform, StandinOptions};

const PAGE: &str = include_str!("../../../../docs/contributing/standin.md");

/// One request.
#[derive(Debug, Clone)]
struct Shot {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Shot {
    /// A POST of JSON.
    fn json(path: &str, headers: &[(&'static str, &str)], body: &impl ToString) -> Self {
        let shot = Self {
            method: "POST",
            path: path.to_owned(),
            headers: vec![("content-type", "application/json".to_owned())],
            body: body.to_string(),
        };
        headers.iter().fold(shot, |shot, (name, value)| shot.with(name, value))
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self
    }

    fn at(self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self }
    }

    fn method(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    fn saying(self, body: &str) -> Self {
        Self { body: body.to_owned(), ..self }
    }

    fn request(&self) -> Request<Body> {
        let request = Request::builder().method(self.method).uri(&self.path);
        let request = self
            .headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, value));
        request.body(Body::from(self.body.clone())).expect("a request")
    }
}

fn bearer() -> String {
    format!("Bearer {DEMO_TOKEN}")
}

/// The examples of one platform, most of them one change away from a good body.
struct Book {
    base: Value,
    shoot: fn(&Value) -> Shot,
    rules: BTreeMap<&'static str, (Vec<Shot>, Vec<Shot>)>,
}

impl Book {
    fn new(base: Value, shoot: fn(&Value) -> Shot) -> Self {
        Self { base, shoot, rules: BTreeMap::new() }
    }

    fn good(&self) -> Shot {
        (self.shoot)(&self.base)
    }

    fn shots<const G: usize, const B: usize>(
        &mut self,
        rule: &'static str,
        good: [Shot; G],
        bad: [Shot; B],
    ) {
        let (goods, bads) = self.rules.entry(rule).or_default();
        goods.extend(good);
        bads.extend(bad);
    }

    /// One value of the body, set to good ones and to bad ones; `absent` removes it.
    fn vary<const G: usize, const B: usize>(
        &mut self,
        rule: &'static str,
        pointer: &str,
        good: [Value; G],
        bad: [Value; B],
    ) {
        let shot = |value| (self.shoot)(&set(&self.base, pointer, value));
        let (good, bad) = (good.map(shot), bad.map(shot));
        self.shots(rule, good, bad);
    }

    /// The body as it is, which is good, and one with a change that is not.
    fn bad(&mut self, rule: &'static str, pointer: &str, bad: Value) {
        let bad = (self.shoot)(&set(&self.base, pointer, bad));
        let good = self.good();
        self.shots(rule, [good], [bad]);
    }
}

/// The body with one change; the text `absent` removes the value.
fn set(body: &Value, pointer: &str, value: Value) -> Value {
    let mut body = body.clone();
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    match body.pointer_mut(parent).expect("a parent") {
        Value::Object(object) if value == "absent" => {
            object.remove(key);
        }
        Value::Object(object) => {
            object.insert(key.to_owned(), value);
        }
        Value::Array(list) => list[key.parse::<usize>().expect("a position")] = value,
        _ => panic!("{pointer} leads nowhere"),
    }
    body
}

fn many(event: &Value, number: usize) -> Value {
    vec![event.clone(); number].into()
}

/// Names of platforms that have rules of their own.
const PLATFORMS: [&str; 10] = [
    "google_ads",
    "google_oauth",
    "ga4",
    "tiktok",
    "webhook",
    "pinterest",
    "snapchat",
    "reddit",
    "linkedin",
    "linkedin_oauth",
];

/// Whether a rule of the page belongs to one of them.
pub(super) fn is_of_platform(rule: &str) -> bool {
    PLATFORMS.iter().any(|name| rule.split('.').next() == Some(*name))
}

fn books() -> Vec<Book> {
    vec![
        google::book(),
        tokens::google(),
        analytics::book(),
        tiktok::book(),
        webhook::book(),
        pinterest::book(),
        snapchat::book(),
        reddit::book(),
        linkedin::book(),
        tokens::linkedin(),
    ]
}

/// The rules of the page with the answer to who breaks them.
fn page() -> BTreeMap<&'static str, &'static str> {
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `"));
    let rules = rows.filter_map(|row| {
        let (rule, rest) = row.split_once("` | ")?;
        Some((rule, rest.rsplit(" | ").nth(1)?))
    });
    rules.filter(|(rule, _)| is_of_platform(rule)).collect()
}

#[test]
fn every_rule_has_an_accepted_and_a_refused_example() {
    let books = books();
    let rules = || books.iter().flat_map(|book| &book.rules);
    let known: BTreeSet<_> = rules().map(|(rule, _)| *rule).collect();
    let listed: BTreeSet<_> = page().into_keys().collect();
    assert_eq!(known, listed);
    for (rule, (good, bad)) in rules() {
        assert!(!good.is_empty() && !bad.is_empty(), "{rule}");
    }
}

/// The status and the platform's own code, as the page writes them.
fn wire(status: u16, answer: &Value) -> String {
    let error = &answer["error"];
    let codes = [
        &answer["code"],
        &error["status"],
        error,
        &answer["validationMessages"][0]["validationCode"],
    ];
    let code = codes.iter().find_map(|code| match code {
        Value::String(text) if !text.contains(' ') => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    });
    code.map_or(status.to_string(), |code| format!("{status} {code}"))
}

/// What the last request was refused for.
async fn refused(local: &Local) -> Value {
    local.get("/_standin/requests?limit=1").await["requests"][0]["refused"].clone()
}

#[tokio::test]
async fn every_example_is_judged_as_the_page_says() {
    let page = page();
    let mut wrong = Vec::new();
    for book in books() {
        let local = Local::default();
        for (rule, (good, bad)) in &book.rules {
            for shot in good {
                let (status, answer) = local.call(shot.request()).await;
                let refused = refused(&local).await;
                let reason = google::reason(&local, &answer).await;
                if !(200..300).contains(&status) || !refused.is_null() || reason.is_some() {
                    wrong.push(format!("{rule}: good {shot:?} gives {status} {answer} {refused}"));
                }
            }
            for shot in bad {
                let before = local.state.summary()["unique_events"].clone();
                let (status, answer) = local.call(shot.request()).await;
                let cause = refused(&local).await;
                let (given, is_rule) = match google::reason(&local, &answer).await {
                    Some(reason) => (format!("{status} {reason}"), true),
                    // What is silent is told by the debug endpoint, or by the log alone.
                    None if status == 204 => {
                        let given = format!("204 {}", cause["code"].as_str().unwrap_or_default());
                        (given, cause["rule"] == *rule)
                    }
                    None => (wire(status, &answer), cause["rule"] == *rule),
                };
                if page.get(rule) != Some(&given.as_str()) || !is_rule {
                    wrong.push(format!("{rule}: bad {shot:?} gives {given} {answer} {cause}"));
                }
                assert_eq!(local.state.summary()["unique_events"], before, "{rule}");
            }
        }
    }
    for line in &mut wrong {
        line.truncate(900);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn the_books_of_platforms_are_kept_apart() {
    let local = Local::default();
    let purchase = super::purchase();
    local.send(std::slice::from_ref(&purchase)).await;
    for book in [tiktok::book(), pinterest::book(), snapchat::book(), reddit::book()] {
        for _ in 0..2 {
            assert_eq!(local.call(book.good().request()).await.0, 200);
        }
    }
    let summary = local.state.summary();
    for platform in ["tiktok", "pinterest", "snapchat", "reddit"] {
        let book = &summary["platforms"][platform];
        assert_eq!(book["requests"], 2, "{platform}");
        assert_eq!(book["events_accepted"], 2, "{platform}");
        assert_eq!(book["duplicates"], 1, "{platform}");
        let sum = book["values"]["EUR"].as_str().expect("a sum");
        assert_eq!(sum.trim_end_matches('0'), "49.9", "{platform}");
    }
    assert_eq!(summary["platforms"]["meta"]["values"], json!({"EUR": "12.5"}));
    let events = local.get("/_standin/events?platform=reddit").await;
    assert_eq!(events["events"].as_array().map(Vec::len), Some(2));
    assert_eq!(events["events"][0]["platform"], "reddit");
}

#[tokio::test]
async fn faults_speak_each_platform_s_language() {
    let local = Local::default();
    let throttle = json!({"kind": "throttle", "times": 1, "retry_after": 7});
    let server = json!({"kind": "status", "status": 503, "times": 1});
    let token = json!({"kind": "expired_token", "times": 1});
    let rows = [
        (google::book(), "429 RESOURCE_EXHAUSTED", "503 UNAVAILABLE", "401 UNAUTHENTICATED"),
        (analytics::book(), "429", "503", "204"),
        (tiktok::book(), "200 40100", "503 50000", "200 40105"),
        (webhook::book(), "429 refused", "503 refused", "401 refused"),
        (pinterest::book(), "429 8", "503 4197", "401 2"),
        (snapchat::book(), "429", "503", "401"),
        (reddit::book(), "429", "503", "401"),
        (
            linkedin::book(),
            "429 TOO_MANY_REQUESTS",
            "503 INTERNAL_SERVER_ERROR",
            "401 INVALID_ACCESS_TOKEN",
        ),
    ];
    for (book, throttled, down, expired) in rows {
        let mut accepted = local.state.summary()["events_accepted"].clone();
        for (fault, expected) in [(&throttle, throttled), (&server, down), (&token, expired)] {
            local.post("/_standin/faults", fault).await;
            let (status, answer) = local.call(book.good().request()).await;
            assert_eq!(wire(status, &answer), expected);
        }
        assert_eq!(local.state.summary()["events_accepted"], accepted, "{throttled}");
        // The answer is lost, the event is not.
        local.post("/_standin/faults", &json!({"kind": "cut_after_body", "times": 1})).await;
        assert_eq!(local.call(book.good().request()).await.0, 503, "the placeholder of a cut");
        accepted = json!(accepted.as_u64().expect("a count") + 1);
        assert_eq!(local.state.summary()["events_accepted"], accepted, "{throttled}");
    }
}

#[tokio::test]
async fn a_fault_keeps_to_its_platform_and_poison_to_its_event() {
    let local = Local::default();
    let poison = json!({"kind": "poison", "event_id": "order-1"});
    let only = json!({"kind": "status", "platform": "reddit"});
    local.post("/_standin/faults", &poison).await;
    local.post("/_standin/faults", &only).await;
    let (status, answer) = local.call(tiktok::book().good().request()).await;
    assert_eq!(wire(status, &answer), "200 40002");
    let (status, answer) = local.call(pinterest::book().good().request()).await;
    assert_eq!((status, &answer["details"]["events"][0]["status"]), (422, &json!("failed")));
    let (status, answer) = local.call(linkedin::book().good().request()).await;
    let line = answer["message"].as_str().unwrap_or_default();
    assert!(status == 422 && line.starts_with("Index: 0, ERROR ::"), "{answer}");
    assert_eq!(local.call(analytics::book().good().request()).await.0, 204);
    assert_eq!(local.state.summary()["platforms"]["ga4"]["vanished"], 1);
    assert_eq!(local.call(reddit::book().good().request()).await.0, 500);
    assert_eq!(local.state.summary()["events_accepted"], 0);
}

#[tokio::test]
async fn no_token_and_no_secret_is_logged() {
    let local = Local::default();
    for book in books() {
        local.call(book.good().request()).await;
    }
    let requests = local.get("/_standin/requests?limit=100").await;
    assert!(!requests.to_string().contains(DEMO_TOKEN));
    assert!(!requests.to_string().contains("standin-access-token"));
}

#[tokio::test]
async fn a_configured_credential_is_the_only_one() {
    let platforms = [
        (Platform::GoogleAds, google::book()),
        (Platform::Ga4, analytics::book()),
        (Platform::Tiktok, tiktok::book()),
        (Platform::Webhook, webhook::book()),
        (Platform::Pinterest, pinterest::book()),
        (Platform::Snapchat, snapchat::book()),
        (Platform::Reddit, reddit::book()),
        (Platform::Linkedin, linkedin::book()),
    ];
    let mut options = StandinOptions::default();
    for (platform, _) in &platforms {
        options.credentials.insert(*platform, "another one".to_owned().into());
    }
    let local = Local::new(&options);
    for (platform, book) in &platforms {
        local.call(book.good().request()).await;
        let refused = refused(&local).await;
        assert!(!refused.is_null(), "{}", platform.name());
    }
    assert_eq!(local.state.summary()["events_accepted"], 0);
}

#[tokio::test]
async fn copies_are_found_by_each_platform_s_own_key_and_window() {
    // The pointer to what must differ, the one that may, and whether two days make a copy new.
    let rows = [
        (analytics::book(), "/events/0/params/transaction_id", "/client_id", false),
        (tiktok::book(), "/data/0/event_id", "/data/0/user/ttp", true),
        (webhook::book(), "/events/0/event_id", "/events/0/note", false),
        (pinterest::book(), "/data/0/event_id", "/data/0/custom_data/order_id", false),
        (snapchat::book(), "/data/0/event_id", "/data/0/custom_data/order_id", true),
        (reddit::book(), "/data/events/0/metadata/conversion_id", "/data/events/0/click_id", true),
        (linkedin::book(), "/elements/0/eventId", "/elements/0/conversion", false),
    ];
    for (book, key, other, is_new_later) in rows {
        let local = Local::default();
        let free = match other.ends_with("conversion") {
            true => json!("urn:lla:llaPartnerConversion:2"),
            false => json!("other"),
        };
        let copy = (book.shoot)(&set(&book.base, other, free));
        let another = (book.shoot)(&set(&book.base, key, json!("order-2")));
        let mut unique = Vec::new();
        for shot in [book.good(), copy, another] {
            local.call(shot.request()).await;
            unique.push(local.state.summary()["unique_events"].as_u64().expect("a count"));
        }
        assert_eq!(unique, [1, 1, 2], "{key}");
        assert_eq!(local.state.summary()["events_accepted"], 3, "{key}");
        if is_new_later {
            local.state.advance_clock(49 * 3600);
            local.call(book.good().request()).await;
            assert_eq!(local.state.summary()["unique_events"], 3, "{key}: a window later");
        }
    }
}

#[tokio::test]
async fn answers_are_spoilt_after_the_events_were_taken_and_pages_before() {
    for book in [google::book(), tiktok::book(), pinterest::book(), linkedin::book()] {
        let local = Local::default();
        for (kind, status, taken) in
            [("empty", 200, 1), ("garbage", 200, 2), ("html", 502, 2), ("cut_before_body", 503, 2)]
        {
            let fault = json!({"kind": kind, "status": 502, "times": 1});
            local.post("/_standin/faults", &fault).await;
            let (got, answer) = local.call(book.good().request()).await;
            assert_eq!((got, answer), (status, Value::Null), "{kind}");
            assert_eq!(local.state.summary()["events_accepted"], taken, "{kind}");
        }
        assert_eq!(local.state.summary()["unanswered_requests"], 1, "the cut one");
    }
}
