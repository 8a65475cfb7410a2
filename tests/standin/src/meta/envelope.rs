//! Owns the request body: its encodings, and the parameters beside the events.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::clock::Clock;
use super::shape::{Fields, Shape};
use super::users::Users;
use super::{event, users};
use crate::accepted_event::AcceptedEvent;
use crate::refusal::Checked;
use crate::refusal::Refusal;

/// Most events in one request.
const MAX_EVENTS: usize = 1000;

const KEYS: &[(&str, Shape)] = &[
    ("data", Shape::Any),
    ("test_event_code", Shape::Text),
    ("partner_agent", Shape::Text),
    ("namespace_id", Shape::Text),
    ("upload_id", Shape::Text),
    ("upload_tag", Shape::Text),
    ("upload_source", Shape::Text),
    ("platforms", Shape::Objects),
    ("progress", Shape::Object),
    ("trace", Shape::Count),
    ("access_token", Shape::Any),
    ("appsecret_proof", Shape::Any),
];

/// What opens an account: never kept.
const SECRETS: [&str; 2] = ["access_token", "appsecret_proof"];

/// How a body is written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// One JSON object.
    Json,
    /// `key=value`, percent-encoded.
    Form,
    /// Parts between lines that hold this boundary.
    Multipart(String),
}

impl Encoding {
    /// Reads a content type.
    pub(crate) fn parse(content_type: &str) -> Checked<Self> {
        let mut parts = content_type.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" => Ok(Self::Json),
            "application/x-www-form-urlencoded" => Ok(Self::Form),
            "multipart/form-data" => parts
                .filter_map(|part| part.split_once('='))
                .find(|(name, _)| name.eq_ignore_ascii_case("boundary"))
                .map(|(_, boundary)| boundary.trim_matches('"'))
                .filter(|boundary| !boundary.is_empty())
                .map(|boundary| Self::Multipart(boundary.to_owned()))
                .ok_or_else(|| Refusal::invalid("body", "multipart needs a boundary")),
            _ => Err(Refusal::invalid("body", "must be JSON or a form")),
        }
    }
}

/// A parameter as it came.
#[derive(Debug)]
enum Parameter<'a> {
    Json(&'a RawValue),
    /// Form fields are text; what is no text by nature is JSON inside.
    Form(String),
}

/// A request body, taken apart but not yet judged.
#[derive(Debug)]
pub(crate) struct Envelope<'a>(BTreeMap<String, Parameter<'a>>);

impl<'a> Envelope<'a> {
    /// Takes the body apart.
    pub(crate) fn parse(encoding: &Encoding, body: &'a [u8]) -> Checked<Self> {
        let fields: Vec<(String, String)> = match encoding {
            Encoding::Json => {
                let parameters: BTreeMap<String, &RawValue> = serde_json::from_slice(body)
                    .map_err(|_| Refusal::invalid("body", "must be a JSON object in UTF-8"))?;
                let parameters = parameters.into_iter();
                return Ok(Self(parameters.map(|(k, raw)| (k, Parameter::Json(raw))).collect()));
            }
            Encoding::Form => form_urlencoded::parse(body).into_owned().collect(),
            Encoding::Multipart(boundary) => parts(body, boundary)
                .ok_or_else(|| Refusal::invalid("body", "must be a whole multipart form"))?,
        };
        Ok(Self(fields.into_iter().map(|(k, text)| (k, Parameter::Form(text))).collect()))
    }

    /// The token, when it travels in the body.
    pub(crate) fn access_token(&self) -> Option<String> {
        self.text("access_token")
    }

    /// The test event code, when there is one.
    pub(crate) fn test_event_code(&self) -> Option<String> {
        self.text("test_event_code")
    }

    /// Whether the body is JSON without secrets, so that it can be kept byte by byte.
    pub(crate) fn is_plain(&self) -> bool {
        SECRETS.iter().all(|key| !self.0.contains_key(*key))
            && self.0.values().all(|parameter| matches!(parameter, Parameter::Json(_)))
    }

    /// The body as JSON, without secrets.
    pub(crate) fn shown(&self) -> Value {
        let shown = self.0.iter().filter(|(key, _)| !SECRETS.contains(&key.as_str()));
        Value::Object(
            shown.map(|(key, parameter)| (key.clone(), shown_value(key, parameter))).collect(),
        )
    }

    /// Judges the request: every event, or the first refusal.
    pub(crate) fn check(&self, clock: Clock) -> Checked<Vec<AcceptedEvent>> {
        let parameters = self.parameters()?;
        let fields = Fields::new(&parameters, "");
        fields.conform(KEYS)?;
        let is_name = |agent: &str| {
            agent.chars().count() < 23 && agent.chars().filter(|c| c.is_alphabetic()).count() >= 2
        };
        if !fields.text("partner_agent").is_none_or(is_name) {
            let rule = "must be under 23 characters, with at least 2 letters";
            return Err(fields.refuse("partner_agent", rule));
        }
        let events = self.events()?;
        if events.is_empty() || events.len() > MAX_EVENTS {
            return Err(Refusal::invalid("data", "must hold 1 to 1000 events"));
        }
        let events = events.into_iter().enumerate();
        events
            .map(|(index, raw)| event::check(raw, clock).map_err(|refusal| refusal.at(index)))
            .collect()
    }

    /// Judges a change of an audience.
    pub(crate) fn check_users(&self) -> Checked<Users> {
        if self.0.contains_key("data") {
            return Err(Refusal::invalid("data", "is not a parameter of this edge"));
        }
        users::check(&self.parameters()?)
    }

    /// All parameters but the events, as values.
    fn parameters(&self) -> Checked<Map<String, Value>> {
        let parameters = self.0.iter().filter(|(key, _)| *key != "data");
        parameters
            .map(|(key, parameter)| {
                let value = match parameter {
                    Parameter::Json(raw) => serde_json::from_str(raw.get()),
                    Parameter::Form(text) if is_json_in_forms(key) => serde_json::from_str(text),
                    Parameter::Form(text) => Ok(Value::String(text.clone())),
                };
                match value {
                    Ok(value) => Ok((key.clone(), value)),
                    Err(_) => Err(Refusal::invalid(key.as_str(), "must be JSON")),
                }
            })
            .collect()
    }

    fn events(&self) -> Checked<Vec<Box<RawValue>>> {
        let refuse = || Refusal::invalid("data", "must be an array of events");
        let data = self.0.get("data").ok_or_else(|| Refusal::invalid("data", "is required"))?;
        let (text, is_form) = match data {
            Parameter::Json(raw) => (raw.get(), false),
            Parameter::Form(text) => (text.as_str(), true),
        };
        let events: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| refuse())?;
        events
            .into_iter()
            .map(|raw| match raw.get().starts_with('"') && is_form {
                true => unwrapped(raw).ok_or_else(refuse),
                false => Ok(raw.to_owned()),
            })
            .collect()
    }

    fn text(&self, key: &str) -> Option<String> {
        match self.0.get(key)? {
            Parameter::Json(raw) => serde_json::from_str(raw.get()).ok(),
            Parameter::Form(text) => Some(text.clone()),
        }
    }
}

fn is_json_in_forms(key: &str) -> bool {
    matches!(key, "platforms" | "progress" | "trace" | "payload" | "session")
}

/// An event as the vendor's Python and Ruby SDKs put it into a form: JSON within a JSON text.
fn unwrapped(raw: &RawValue) -> Option<Box<RawValue>> {
    let text: String = serde_json::from_str(raw.get()).ok()?;
    RawValue::from_string(text).ok()
}

fn shown_value(key: &str, parameter: &Parameter<'_>) -> Value {
    let text = match parameter {
        Parameter::Json(raw) => return serde_json::from_str(raw.get()).unwrap_or_default(),
        Parameter::Form(text) => text,
    };
    if key != "data" {
        return Value::String(text.clone());
    }
    let events: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
    let unwrap = |event: Value| match event.as_str() {
        Some(text) => serde_json::from_str(text).unwrap_or_default(),
        None => event,
    };
    Value::Array(events.into_iter().map(unwrap).collect())
}

/// The fields of a multipart form. None when it is torn.
fn parts(body: &[u8], boundary: &str) -> Option<Vec<(String, String)>> {
    let body = std::str::from_utf8(body).ok()?;
    let delimiter = format!("--{boundary}");
    let mut fields = Vec::new();
    // What stands before the first delimiter is no field.
    for part in body.split(delimiter.as_str()).skip(1) {
        if part.starts_with("--") {
            return Some(fields);
        }
        let (head, value) = part.strip_prefix("\r\n")?.split_once("\r\n\r\n")?;
        let value = value.strip_suffix("\r\n")?;
        let name = head
            .split(['\r', '\n', ';'])
            .find_map(|piece| piece.trim().strip_prefix("name="))?
            .trim_matches('"');
        fields.push((name.to_owned(), value.to_owned()));
    }
    None
}
