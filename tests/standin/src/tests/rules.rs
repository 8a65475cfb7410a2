//! Every rule of `docs/contributing/standin.md` with examples: what is accepted, and what is refused with the answer
//! that the page names.

mod customs;
mod events;
mod persons;
mod requests;
mod users;

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use axum::http::{Request, header};
use serde_json::{Value, json};

use super::{DEMO_TOKEN, DIGEST, EDGE, Local, now, purchase};

const PAGE: &str = include_str!("../../../../docs/contributing/standin.md");
const DAY: i64 = 86_400;

/// One request.
struct Call {
    method: &'static str,
    path: String,
    token: Option<&'static str>,
    content_type: String,
    body: String,
}

impl Call {
    fn body(body: &(impl ToString + ?Sized)) -> Self {
        Self {
            method: "POST",
            path: EDGE.to_owned(),
            token: Some(DEMO_TOKEN),
            content_type: "application/json".to_owned(),
            body: body.to_string(),
        }
    }

    fn form(fields: &[(&str, &str)]) -> Self {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        Self { content_type: "application/x-www-form-urlencoded".to_owned(), ..Self::body(&form) }
    }

    fn path(path: &str) -> Self {
        Self { path: path.to_owned(), ..Self::from(purchase()) }
    }

    fn request(&self) -> Request<Body> {
        let mut request = Request::builder()
            .method(self.method)
            .uri(&self.path)
            .header(header::CONTENT_TYPE, &self.content_type);
        if let Some(token) = self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        request.body(Body::from(self.body.clone())).expect("a request")
    }
}

impl From<Value> for Call {
    fn from(event: Value) -> Self {
        Self::body(&json!({ "data": [event] }))
    }
}

/// The examples of the rules.
#[derive(Default)]
struct Examples(BTreeMap<&'static str, (Vec<Call>, Vec<Call>)>);

impl Examples {
    fn good(&mut self, rule: &'static str, call: impl Into<Call>) {
        self.0.entry(rule).or_default().0.push(call.into());
    }

    fn bad(&mut self, rule: &'static str, call: impl Into<Call>) {
        self.0.entry(rule).or_default().1.push(call.into());
    }

    fn row(&mut self, rule: &'static str, good: impl Into<Call>, bad: impl Into<Call>) {
        self.good(rule, good);
        self.bad(rule, bad);
    }

    /// One change to an event, to good values and to bad ones.
    fn rows<const G: usize, const B: usize>(
        &mut self,
        rule: &'static str,
        event: &Value,
        path: &str,
        good: [Value; G],
        bad: [Value; B],
    ) {
        good.into_iter().for_each(|value| self.good(rule, with(event, path, value)));
        bad.into_iter().for_each(|value| self.bad(rule, with(event, path, value)));
    }
}

/// The event with one change: `path` is set, or removed when the value is the text `absent`.
fn with(event: &Value, path: &str, value: Value) -> Value {
    let mut event = event.clone();
    let mut parts: Vec<&str> = path.split('.').collect();
    let key = parts.pop().expect("a key");
    let parent = parts.into_iter().fold(&mut event, |parent, part| &mut parent[part]);
    match value.as_str() {
        Some("absent") => {
            parent.as_object_mut().expect("an object").remove(key);
        }
        _ => parent[key] = value,
    }
    event
}

fn without(event: &Value, path: &str) -> Value {
    with(event, path, json!("absent"))
}

fn of_app() -> Value {
    let mut extinfo = vec![json!(""); 16];
    extinfo[0] = json!("i2");
    extinfo[4] = json!("17.0");
    let mut event = with(&without(&purchase(), "event_source_url"), "action_source", json!("app"));
    event["app_data"] = json!({
        "advertiser_tracking_enabled": 1, "application_tracking_enabled": 0, "extinfo": extinfo,
    });
    event
}

fn of_conversation(channel: &str, user: Value) -> Value {
    let mut event = without(&purchase(), "event_source_url");
    event["action_source"] = json!("business_messaging");
    event["messaging_channel"] = json!(channel);
    event["user_data"] = user;
    event
}

fn of_whatsapp() -> Value {
    of_conversation("whatsapp", json!({"page_id": "7", "ctwa_clid": "ARAk"}))
}

fn of_crm() -> Value {
    json!({
        "event_name": "Qualified",
        "event_time": now() - 60,
        "action_source": "system_generated",
        "user_data": {"lead_id": 1_234_567_890_123_456_i64},
        "custom_data": {"event_source": "crm", "lead_event_source": "Some CRM"},
    })
}

fn of_attribution() -> Value {
    json!({
        "event_name": "AppendAttribution",
        "event_time": now() - 60,
        "action_source": "website",
        "event_source_url": "https://shop.example.com/",
        "user_data": {"em": DIGEST},
        "original_event_data": {
            "event_name": "Purchase", "event_time": now() - 3600, "event_id": "order-1",
            "order_id": "1",
        },
        "attribution_data": {
            "ad_id": "120", "touchpoint_ts": now() - 7200, "attribution_share": 0.5,
            "attribution_value": 6.25, "attribution_model": "linear", "attribution_method": "mir",
            "attribution_setting": {"inactivity_window_hours": 24},
        },
    })
}

fn examples() -> Examples {
    let mut examples = Examples::default();
    let tables = [
        requests::requests,
        events::events,
        events::sources,
        events::attributions,
        persons::persons,
        customs::customs,
        customs::processing,
        users::users,
    ];
    for add in tables {
        add(&mut examples);
    }
    examples
}

/// The rules of the page with the answer to who breaks them.
fn page() -> BTreeMap<&'static str, &'static str> {
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `"));
    let rules = rows.filter_map(|row| {
        let (rule, rest) = row.split_once("` | ")?;
        let answer = rest.rsplit(" | ").nth(1)?;
        Some((rule, answer))
    });
    // Rows of other tables have another number of columns and no answer.
    let rules = rules.filter(|(rule, _)| !super::platforms::is_of_platform(rule));
    rules.filter(|(_, answer)| answer.starts_with(|c: char| c.is_ascii_digit())).collect()
}

#[test]
fn every_rule_has_an_accepted_and_a_refused_example() {
    let examples = examples();
    let known: BTreeSet<_> = examples.0.keys().copied().collect();
    let listed: BTreeSet<_> = page().into_keys().collect();
    assert_eq!(known, listed);
    for (rule, (good, bad)) in &examples.0 {
        assert!(!good.is_empty() && !bad.is_empty(), "{rule}");
    }
}

#[tokio::test]
async fn every_example_is_judged_as_the_page_says() {
    let local = Local::default();
    local.post("/_standin/faults", &json!({"kind": "foreign_page", "page_id": "666"})).await;
    let page = page();
    let mut wrong = Vec::new();
    for (rule, (good, bad)) in examples().0 {
        for call in good {
            let (status, answer) = local.call(call.request()).await;
            if status != 200 {
                wrong.push(format!("{rule}: {} {} gives {answer}", call.path, call.body));
            }
        }
        for call in bad {
            let before = local.state.summary()["events_accepted"].clone();
            let (status, answer) = local.call(call.request()).await;
            let error = &answer["error"];
            let code = error["code"].as_i64().unwrap_or_default();
            let given = match error["error_subcode"].as_i64() {
                Some(subcode) => format!("{code}/{subcode}"),
                None => code.to_string(),
            };
            let expected_status = if code == 190 { 401 } else { 400 };
            if Some(&given.as_str()) != page.get(rule) || status != expected_status {
                wrong.push(format!("{rule}: {} {} gives {status} {answer}", call.path, call.body));
            }
            assert_eq!(local.state.summary()["events_accepted"], before, "{rule}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
