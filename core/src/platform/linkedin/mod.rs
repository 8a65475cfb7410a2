//! LinkedIn: the Conversions API.
//!
//! It wants a POST of up to 5,000 events as `BATCH_CREATE`
//! (<https://learn.microsoft.com/linkedin/marketing/integrations/ads-reporting/conversions-api>, read
//! 2026-11-24).
//!
//! - Events are known by the URN of a conversion rule that the advertiser has made: the setting
//!   `events`, with the URN or its number.
//! - Each month has a version, which lives about a year; then 426 comes back and the destination
//!   stops. The setting `api_version` names a newer one.
//! - One bad event refuses the batch with 422, whose message has lines `Index: N, ERROR ::`. That is
//!   not documented: a position outside the request is not believed, and halves find the event.
//! - Duplicates are dropped by event id against the Insight Tag. Nothing is said of two copies by API.
//! - Access tokens last 60 days. The credential is an access token, or JSON with a refresh token.
//! - No word for limits, no refunds, no test mode. Names and external ids go in clear, and the
//!   outbox has digests only: they are not sent. Nor is the IP address, which LinkedIn takes as an
//!   identifier of its own.

use super::facts::Platform;
use crate::destination::filter::Takes;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::destination::event_parts as parts;
use crate::destination::http_status as answer;
use crate::destination::settings::{self, Shape};
use crate::destination::{
    ApiVersion, CredentialSlot, Destination, Grant, Listing, Plan, Reason, Request, Response,
    SettingsError, Spec, Unfit, Verdict,
};
use crate::event::Event;

pub(crate) mod pixel;

/// What is known of it whatever the settings.
pub(super) static PLATFORM: Platform = Platform {
    name: "linkedin",
    title: "LinkedIn Conversions API",
    spec: &SPEC,
    sample: r#"{"events": {"Purchase": "urn:lla:llaPartnerConversion:104012",
            "Lead": "104013", "AddToCart": "104014", "InitiateCheckout": "104015", "ViewContent": "104016",
            "CompleteRegistration": "104017", "StartTrial": "104018"},
        "tag": {"id": "123456", "events": {"Purchase": "7654321"}}}"#,
    tag_id: None,
    endpoints: &[ENDPOINT],
    build,
    max_age,
    unfit,
    explain,
    takes: Takes { limited_use: false, names: false, ..Takes::USUAL },
};

/// Where events go unless the settings name another place.
pub(super) const ENDPOINT: &str = "https://api.linkedin.com";

/// Oldest event: `…/ads-reporting/conversions-api`, read 2026-11-24.
const MAX_AGE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// What a number of a conversion rule is completed to.
const URN: &str = "urn:lla:llaPartnerConversion:";

/// The version that a destination without `api_version` uses, and the day it ends: a version lives
/// about twelve months (`…/marketing/versioning`, read 2026-11-24), and the day is taken as the first
/// of its month a year later. Newer ones exist; this is the newest that was seen in use (Segment's
/// connector, same day).
const VERSION: (&str, &str) = ("202603", "2027-03-01");

/// Tokens: `…/shared/authentication/programmatic-refresh-tokens`, read 2026-11-24.
static GRANT: Grant =
    Grant { endpoint: "https://www.linkedin.com/oauth/v2/accessToken", scope: None };

static SPEC: Spec = Spec {
    platform: "linkedin",
    batch_limit: 5_000,
    credential: CredentialSlot::OAuth(&GRANT),
    documentation: "https://learn.microsoft.com/linkedin/marketing/integrations/ads-reporting/conversions-api",
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Event names and conversion rules: URNs, or their numbers.
    events: BTreeMap<String, String>,
    /// The month of the version, e.g. `202603`.
    api_version: Option<String>,
    /// Scheme and host.
    endpoint: Option<String>,
}

const KNOWN: &[(&str, Shape)] = &[
    ("events", Shape::Texts),
    ("api_version", Shape::TextOrNull),
    ("endpoint", Shape::TextOrNull),
];

#[derive(Debug)]
struct LinkedIn {
    url: String,
    version: String,
    rules: BTreeMap<String, String>,
}

pub(super) fn build(given: &Value) -> Result<Box<dyn Destination>, SettingsError> {
    let settings: Settings = settings::read(given, KNOWN, &["events"])?;
    let mut rules = BTreeMap::new();
    for (name, rule) in settings.events {
        let number = rule.strip_prefix(URN).unwrap_or(&rule);
        settings::check_digits("events", number).map_err(|_| {
            let rule = "must map event names to conversion rules: \
                        urn:lla:llaPartnerConversion: and digits, or the digits alone";
            settings::broken("events", rule)
        })?;
        rules.insert(name, format!("{URN}{number}"));
    }
    let version = settings.api_version.unwrap_or_else(|| VERSION.0.to_owned());
    if !is_version(&version) {
        return Err(settings::broken("api_version", "must be year and month, such as 202603"));
    }
    let endpoint = settings::endpoint(settings.endpoint, ENDPOINT)?;
    Ok(Box::new(LinkedIn { url: format!("{endpoint}/rest/conversionEvents"), version, rules }))
}

fn is_version(text: &str) -> bool {
    let digits = text.len() == 6 && text.bytes().all(|b| b.is_ascii_digit());
    digits && text[..4] >= *"2022" && matches!(text[4..].parse::<u8>(), Ok(1..=12))
}

pub(super) fn max_age(_: &Event) -> Duration {
    MAX_AGE
}

pub(super) fn unfit(event: &Event) -> Option<Unfit> {
    let reason = parts::misfit(event).or_else(|| match () {
        () if event.event_name == "Purchase" && parts::missing_money(event).is_some() => {
            parts::missing_money(event)
        }
        () if user_ids(event).is_empty() => Some("missing_email_or_click"),
        () => None,
    });
    Some(Unfit::Refused(Reason::new(reason?)))
}

fn user_ids(event: &Event) -> Vec<Value> {
    let id = |kind: &str, value: &str| json!({"idType": kind, "idValue": value});
    let emails = event.identity.digests("email", SPEC.platform).iter();
    let click = event.facts.text("li_fat_id");
    emails
        .map(|digest| id("SHA256_EMAIL", digest.as_str()))
        .chain(click.map(|click| id("LINKEDIN_FIRST_PARTY_ADS_TRACKING_UUID", click)))
        .collect()
}

impl LinkedIn {
    fn judged(&self, event: &Event) -> Option<Unfit> {
        match self.rules.contains_key(&event.event_name) {
            false => Some(Unfit::Unrouted(Reason::new("no_event_mapping"))),
            true => unfit(event),
        }
    }

    fn wire(&self, event: &Event) -> Value {
        let mut map = Map::new();
        let rule = self.rules.get(&event.event_name);
        parts::put(&mut map, "conversion", rule.map(String::as_str));
        map.insert("conversionHappenedAt".into(), event.event_time.0.div_euclid(1_000).into());
        map.insert("eventId".into(), event.event_id.as_str().into());
        if let (Some(currency), Some(amount)) = (parts::currency(event), parts::amount_text(event))
        {
            let value = json!({"currencyCode": currency, "amount": amount});
            map.insert("conversionValue".into(), value);
        }
        map.insert("user".into(), json!({"userIds": user_ids(event)}));
        Value::Object(map)
    }
}

impl Destination for LinkedIn {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn api_version(&self) -> Option<ApiVersion> {
        let listing = match self.version.as_str().cmp(VERSION.0) {
            std::cmp::Ordering::Equal => Listing::Listed,
            std::cmp::Ordering::Greater => Listing::Newer,
            // It has its year as well.
            std::cmp::Ordering::Less => Listing::Unknown,
        };
        let ends = (listing == Listing::Listed).then_some(VERSION.1);
        Some(ApiVersion { name: self.version.clone(), ends, listing })
    }

    /// `…/ads-reporting/conversions-api`, read 2026-11-24.
    fn requests_per_minute(&self) -> Option<u32> {
        Some(600)
    }

    fn is_about_credential(&self, reason: &str) -> bool {
        matches!(reason, "http_401" | "http_403") || is_about_token(reason)
    }

    fn max_age(&self, event: &Event) -> Duration {
        max_age(event)
    }

    fn unfit(&self, event: &Event) -> Option<Unfit> {
        self.judged(event)
    }

    fn plan(&self, events: &[Event]) -> Plan {
        Plan::of(
            events,
            SPEC.batch_limit,
            |event| self.judged(event),
            |part, at| {
                let elements: Vec<Value> = part.iter().map(|event| self.wire(event)).collect();
                let mut request =
                    Request::post(self.url.clone(), &json!({ "elements": elements }), at);
                request.headers = vec![
                    ("linkedin-version", self.version.clone()),
                    ("x-restli-protocol-version", "2.0.0".to_owned()),
                    ("x-restli-method", "BATCH_CREATE".to_owned()),
                ];
                request
            },
        )
    }

    fn verdict(&self, events: &[Event], answer: &Response) -> Verdict {
        let sent = events.len();
        let body = answer::json(answer);
        let code = body.get("code").and_then(Value::as_str).filter(|code| answer::is_word(code));
        // 0 says nothing, and stands beside a word that does.
        let service = body.get("serviceErrorCode").and_then(Value::as_i64).filter(|n| *n != 0);
        let reason = match (service, code) {
            (Some(number), _) => number.to_string(),
            (None, Some(code)) => code.to_owned(),
            (None, None) => format!("http_{}", answer.status),
        };
        let decision = match answer.status {
            201 if sent == 1 => answer::delivered(sent),
            200..=299 => each(sent, &body).unwrap_or_else(|| answer::by_status(sent, answer)),
            400 | 422 if body.is_object() => {
                let bad: Vec<(usize, String)> = body
                    .get("message")
                    .and_then(Value::as_str)
                    .map(named)
                    .into_iter()
                    .flatten()
                    .map(|at| (at, reason.clone()))
                    .collect();
                answer::refuse(sent, &bad).unwrap_or_else(|| answer::invalid(sent, reason.as_str()))
            }
            401 | 403 if is_about_token(&reason) => answer::blocked(reason.as_str()),
            404 if body.is_object() => answer::blocked(reason.as_str()),
            426 => answer::blocked("http_426"),
            429 => answer::throttled(reason.as_str(), answer),
            400..=499 if service.is_some() || code.is_some() => {
                answer::unclear(sent, reason.as_str(), answer)
            }
            _ => answer::by_status(sent, answer),
        };
        let codes =
            [("code", code.map(Value::from)), ("service_error_code", service.map(Value::from))];
        answer::verdict(decision, answer.header("x-li-uuid"), &codes, answer)
    }
}

/// Codes of a token that is not taken, was revoked, or has not the right.
fn is_about_token(code: &str) -> bool {
    matches!(
        code,
        "65600"
            | "65601"
            | "65602"
            | "REVOKED_ACCESS_TOKEN"
            | "EXPIRED_ACCESS_TOKEN"
            | "INVALID_ACCESS_TOKEN"
            | "100"
            | "ACCESS_DENIED"
    )
}

/// The outcome of each element of a batch.
fn each(sent: usize, body: &Value) -> Option<crate::destination::Decision> {
    let elements = body.get("elements")?.as_array().filter(|list| list.len() == sent)?;
    let outcome = |element: &Value| {
        let status = element.get("status")?.as_u64()?;
        let reason = || Reason(format!("http_{status}"));
        Some(match status {
            200..=299 => crate::destination::Outcome::Delivered,
            408 | 423 | 429 | 500.. => crate::destination::Outcome::Retry(reason()),
            400 | 422 => crate::destination::Outcome::Refused(reason()),
            _ => return None,
        })
    };
    Some(crate::destination::Decision::Each(elements.iter().map(outcome).collect::<Option<_>>()?))
}

/// Positions in the lines of a message; nothing else of it is looked at.
fn named(message: &str) -> Vec<usize> {
    let at = |part: &str| {
        let digits = part.trim_start();
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let behind = digits[end..].trim_start_matches([',', ' ']);
        behind.starts_with("ERROR").then(|| digits[..end].parse().ok()).flatten()
    };
    message.split("Index:").skip(1).filter_map(at).collect()
}

pub(super) fn explain(reason: &str) -> Option<&'static str> {
    let text = match reason {
        "missing_email_or_click" => {
            "LinkedIn finds nobody without email or li_fat_id; let the view return one of them"
        }
        "http_426" => {
            "the version of LinkedIn's API has ended; set api_version to a newer one with \
             capi.alter_destination, then resume the destination"
        }
        "65601" | "REVOKED_ACCESS_TOKEN" => {
            "the access was revoked; grant it anew, renew the credential, then resume the \
             destination"
        }
        "65600" | "65602" | "EXPIRED_ACCESS_TOKEN" | "INVALID_ACCESS_TOKEN" => {
            "the access token is not valid any more; renew the credential, then resume the \
             destination"
        }
        "100" | "ACCESS_DENIED" => {
            "the token may not write conversions of this account; it needs rw_conversions and \
             r_ads, then resume the destination"
        }
        "http_400" | "http_422" => {
            "LinkedIn finds fault with the event; its message quotes what was sent and is not \
             kept, so compare capi.preview with its reference"
        }
        "http_423" => "the account is locked for a moment; the events go again",
        word if !word.starts_with("http_") && parts::explain(word).is_none() && is_code(word) => {
            "LinkedIn answered with this code of its own; the answer's HTTP status decided"
        }
        _ => return parts::explain(reason),
    };
    Some(text)
}

/// A number, or a word in capitals.
fn is_code(word: &str) -> bool {
    let number = word.parse::<i64>().is_ok();
    number || (word.len() > 3 && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
}
