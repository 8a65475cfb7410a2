//! Google Ads, by the Data Manager API.
//!
//! It wants a POST of up to 2,000 events to `events:ingest`, answers with a request id, and says
//! later, when asked, what became of them (<https://developers.google.com/data-manager/api>, read
//! 2026-11-24; messages of `googleapis`, `google/ads/datamanager/v1`, at 1e6955c, same day).
//!
//! - Events are known by ids of conversion actions that the advertiser has made: the setting
//!   `events`. A request is for one of them, so that positions in an answer are positions in it.
//! - 200 means "accepted for processing". `requestStatus:retrieve` is asked after half an hour, and
//!   its `recordIndices`, since v1.9, are positions in the request. That they begin at 0 is not
//!   written anywhere: indices that do not fit the count or the request are not believed, and the
//!   events go again in halves. Google knows them by their transaction.
//! - A structural error, or one in a required field, refuses the whole request. The field paths of
//!   such errors are not documented, so halves find the event.
//! - The transaction id is `order_id`, or else the event id. The same one again for the same action
//!   is an **adjustment**: that is how `Refund` works, which sets the value to `remaining_value`. One
//!   that Google cannot find becomes a conversion of its own. A conversion is not retracted: its
//!   value becomes 0.
//!   (<https://developers.google.com/data-manager/api/devguides/events/google-ads/conversion-adjustments>)
//! - `gclid`, `gbraid` and `wbraid` exclude each other; the first of them goes.
//! - An address needs its country and postal code in clear, and the outbox has digests only: it is
//!   not sent. Nor are IP address and user agent, which are for those on a list of Google's.
//! - Not published: the oldest event. 90 days is the longest window of a click; one that is older than
//!   the action's own comes back as `EVENT_TOO_OLD`.

use super::facts::Platform;
use crate::destination::filter::Takes;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::google;
use crate::destination::event_parts as parts;
use crate::destination::filter::REFUND;
use crate::destination::http_status as answer;
use crate::destination::settings::{self, Shape};
use crate::destination::{
    ApiVersion, CredentialSlot, Decision, Destination, Grant, Listing, Outcome, Plan, Reason,
    Request, Response, SettingsError, Spec, Ticket, Unfit, Verdict,
};
use crate::event::{ActionSource, Event};
use crate::time::Timestamp;

pub(crate) mod pixel;

/// What is known of it whatever the settings.
pub(super) static PLATFORM: Platform = Platform {
    name: "google_ads",
    title: "Google Ads Data Manager",
    spec: &SPEC,
    sample: r#"{"customer_id": "1234567890",
        "events": {"Purchase": "987654321", "Lead": "987654322", "AddToCart": "987654323",
            "InitiateCheckout": "987654324", "ViewContent": "987654325", "CompleteRegistration": "987654326"},
        "tag": {"id": "AW-123456789", "events": {"Purchase": "AbC-D_efG"}}}"#,
    tag_id: None,
    endpoints: &[ENDPOINT],
    build,
    max_age,
    unfit,
    explain,
    takes: Takes { refunds: true, limited_use: false, names: false },
};

/// Where events go unless the settings name another place.
pub(super) const ENDPOINT: &str = "https://datamanager.googleapis.com";

/// Oldest event; see above.
const MAX_AGE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// The longest id of a request that is taken, in bytes.
const LONGEST_TICKET: usize = 500;

/// Whether a text can be the id of a request.
fn is_ticket(id: &str) -> bool {
    let is_plain = |c: u8| c.is_ascii_alphanumeric() || b"-._~:/+=".contains(&c);
    (1..=LONGEST_TICKET).contains(&id.len()) && id.bytes().all(is_plain)
}

/// How long Google wants to be left alone before it is asked: `…/devguides/diagnostics`, read
/// 2026-11-24.
const ASK_AFTER: Duration = Duration::from_secs(30 * 60);

/// Most identifiers of one event: `…/api/limits`, read 2026-11-24.
const MOST_IDENTIFIERS: usize = 10;

/// Tokens for the Data Manager API: `…/api/devguides/quickstart/set-up-access`, read 2026-11-24.
static GRANT: Grant = Grant {
    endpoint: "https://oauth2.googleapis.com/token",
    scope: Some("https://www.googleapis.com/auth/datamanager"),
};

static SPEC: Spec = Spec {
    platform: "google_ads",
    batch_limit: 2_000,
    credential: CredentialSlot::OAuth(&GRANT),
    documentation: "https://developers.google.com/data-manager/api",
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Id of the Google Ads account that owns the conversion actions; digits, without dashes.
    customer_id: String,
    /// Id of the manager account that the credential belongs to, where it is another one.
    login_customer_id: Option<String>,
    /// Event names and ids of conversion actions.
    events: BTreeMap<String, String>,
    /// Scheme and host.
    endpoint: Option<String>,
    #[serde(flatten)]
    consent: google::Consent,
}

const KNOWN: &[(&str, Shape)] = &[
    ("customer_id", Shape::Text),
    ("login_customer_id", Shape::TextOrNull),
    ("events", Shape::Texts),
    ("endpoint", Shape::TextOrNull),
    (google::AD_USER_DATA, Shape::TextOrNull),
    (google::AD_PERSONALIZATION, Shape::TextOrNull),
];

#[derive(Debug)]
struct GoogleAds {
    settings: Settings,
    endpoint: String,
}

pub(super) fn build(given: &Value) -> Result<Box<dyn Destination>, SettingsError> {
    let settings: Settings = settings::read(given, KNOWN, &["customer_id", "events"])?;
    settings::check_digits("customer_id", &settings.customer_id)?;
    if let Some(id) = &settings.login_customer_id {
        settings::check_digits("login_customer_id", id)?;
    }
    for id in settings.events.values() {
        settings::check_digits("events", id).map_err(|_| {
            settings::broken("events", "must map event names to ids of conversion actions: digits")
        })?;
    }
    settings.consent.check()?;
    let endpoint = settings::endpoint(settings.endpoint.clone(), ENDPOINT)?;
    Ok(Box::new(GoogleAds { settings, endpoint }))
}

pub(super) fn max_age(_: &Event) -> Duration {
    MAX_AGE
}

pub(super) fn unfit(event: &Event) -> Option<Unfit> {
    let refund = event.event_name == REFUND;
    let reason = parts::misfit(event).or_else(|| match () {
        () if refund && !parts::has(event, "order_id") => Some("missing_order_id"),
        () if refund && remaining(event).is_none() => Some("missing_remaining_value"),
        () if refund && event.currency.is_none() => Some("missing_currency"),
        () if event.event_name == "Purchase" && parts::missing_money(event).is_some() => {
            parts::missing_money(event)
        }
        () if identifiers(event).is_empty() && ad_identifier(event).is_none() => {
            Some("missing_identity")
        }
        () => None,
    });
    Some(Unfit::Refused(Reason::new(reason?)))
}

fn remaining(event: &Event) -> Option<&Value> {
    event.facts.get("remaining_value").filter(|value| value.is_number())
}

/// Click ids, of which one goes.
fn ad_identifier(event: &Event) -> Option<(&'static str, &str)> {
    ["gclid", "gbraid", "wbraid"]
        .into_iter()
        .find_map(|field| Some((field, event.facts.text(field)?)))
}

fn identifiers(event: &Event) -> Vec<Value> {
    let of = |identifier: &str, key: &'static str| {
        let digests = event.identity.digests(identifier, SPEC.platform).to_vec();
        digests.into_iter().map(move |digest| json!({key: digest.as_str()}))
    };
    of("email", "emailAddress").chain(of("phone", "phoneNumber")).take(MOST_IDENTIFIERS).collect()
}

fn source(event: &Event) -> &'static str {
    match event.action_source {
        ActionSource::Website => "WEB",
        ActionSource::App => "APP",
        ActionSource::PhysicalStore => "IN_STORE",
        ActionSource::PhoneCall => "PHONE",
        ActionSource::Chat | ActionSource::BusinessMessaging => "MESSAGE",
        ActionSource::Email | ActionSource::SystemGenerated | ActionSource::Other => "OTHER",
    }
}

impl GoogleAds {
    /// The conversion action of an event; that of a refund is the purchase's unless it has its own.
    fn action(&self, event: &Event) -> Option<&str> {
        let of = |name: &str| self.settings.events.get(name).map(String::as_str);
        let own = of(&event.event_name);
        own.or_else(|| of("Purchase").filter(|_| event.event_name == REFUND))
    }

    fn judged(&self, event: &Event) -> Option<Unfit> {
        match self.action(event) {
            None => Some(Unfit::Unrouted(Reason::new("no_event_mapping"))),
            Some(_) => unfit(event),
        }
    }

    fn body(&self, action: &str, events: &[&Event]) -> Value {
        let account = |id: &str| json!({"accountType": "GOOGLE_ADS", "accountId": id});
        let Settings { customer_id, login_customer_id, .. } = &self.settings;
        let mut destination = json!({"operatingAccount": account(customer_id),
            "productDestinationId": action});
        if let Some(login) = login_customer_id {
            destination["loginAccount"] = account(login);
        }
        let events: Vec<Value> = events.iter().map(|event| self.wire(event)).collect();
        json!({"destinations": [destination], "encoding": "HEX", "events": events})
    }

    fn wire(&self, event: &Event) -> Value {
        let refund = event.event_name == REFUND;
        let mut map = Map::new();
        map.insert("transactionId".into(), parts::transaction_id(event).into());
        let original = original_time(event).filter(|_| refund);
        map.insert("eventTimestamp".into(), original.unwrap_or(event.event_time).rfc3339().into());
        if refund {
            map.insert("lastUpdatedTimestamp".into(), event.event_time.rfc3339().into());
        }
        map.insert("eventSource".into(), source(event).into());
        parts::put(&mut map, "currency", parts::currency(event));
        let value = if refund { remaining(event).cloned() } else { parts::amount(event) };
        parts::put(&mut map, "conversionValue", value);
        if let Some((field, id)) = ad_identifier(event) {
            map.insert("adIdentifiers".into(), json!({field: id}));
        }
        let identifiers = identifiers(event);
        if !identifiers.is_empty() {
            map.insert("userData".into(), json!({"userIdentifiers": identifiers}));
        }
        let consent =
            self.settings.consent.of(event, SPEC.platform, "CONSENT_GRANTED", "CONSENT_DENIED");
        let consent: Map<String, Value> = consent
            .into_iter()
            .map(|(kind, word)| {
                let key = match kind {
                    google::AD_USER_DATA => "adUserData",
                    _ => "adPersonalization",
                };
                (key.to_owned(), word.into())
            })
            .collect();
        parts::put(&mut map, "consent", (!consent.is_empty()).then_some(consent));
        Value::Object(map)
    }
}

/// When the order that a refund is of was made, where the view says so.
fn original_time(event: &Event) -> Option<Timestamp> {
    let seconds = event.facts.get("original_event")?.get("event_time")?.as_i64()?;
    Some(Timestamp(seconds.checked_mul(1_000_000)?))
}

impl Destination for GoogleAds {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    /// Google names no end of v1.
    fn api_version(&self) -> Option<ApiVersion> {
        Some(ApiVersion { name: "v1".into(), ends: None, listing: Listing::Listed })
    }

    /// Per Cloud project: `…/api/limits`, read 2026-11-24. Questions have a quota of their own, of
    /// the same size.
    fn requests_per_minute(&self) -> Option<u32> {
        Some(300)
    }

    fn is_about_credential(&self, reason: &str) -> bool {
        matches!(reason, "UNAUTHENTICATED" | "PERMISSION_DENIED" | "http_401" | "http_403")
    }

    fn max_age(&self, event: &Event) -> Duration {
        max_age(event)
    }

    fn unfit(&self, event: &Event) -> Option<Unfit> {
        self.judged(event)
    }

    fn plan(&self, events: &[Event]) -> Plan {
        let mut plan = Plan::default();
        let mut by_action: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, event) in events.iter().enumerate() {
            match (self.judged(event), self.action(event)) {
                (None, Some(action)) => by_action.entry(action).or_default().push(at),
                (unfit, _) => plan.unfit.extend(unfit.map(|unfit| (at, unfit))),
            }
        }
        let url = format!("{}/v1/events:ingest", self.endpoint);
        for (action, places) in by_action {
            for part in places.chunks(SPEC.batch_limit) {
                let list: Vec<&Event> = part.iter().map(|&at| &events[at]).collect();
                let body = self.body(action, &list);
                plan.requests.push(Request::post(url.clone(), &body, part.to_vec()));
            }
        }
        // The earliest event goes first, whatever the number of its action.
        plan.requests.sort_by_key(|request| request.events[0]);
        plan
    }

    fn verdict(&self, events: &[Event], answer: &Response) -> Verdict {
        let body = answer::json(answer);
        if let Some(error) = body.get("error").and_then(Value::as_object) {
            return refusal(events.len(), error, answer);
        }
        // It becomes part of a URL and of the record: a text without an end, or of a person, is none.
        let id = body.get("requestId").and_then(Value::as_str).filter(|id| is_ticket(id));
        let decision = match id {
            Some(id) if answer::is_success(answer) => {
                Decision::Accepted { ticket: Ticket(id.to_owned()), after: ASK_AFTER }
            }
            _ => answer::by_status(events.len(), answer),
        };
        answer::verdict(decision, id, &warnings(&body), answer)
    }

    fn status_request(&self, ticket: &Ticket) -> Option<Request> {
        let id: String = form_encoded(&ticket.0);
        Some(Request::get(format!("{}/v1/requestStatus:retrieve?requestId={id}", self.endpoint)))
    }

    fn status_verdict(&self, ticket: &Ticket, events: &[Event], answer: &Response) -> Verdict {
        let body = answer::json(answer);
        if let Some(error) = body.get("error").and_then(Value::as_object) {
            let refusal = refusal(events.len(), error, answer);
            // The question was wrong, not the events; a ticket that is not known is not the account's
            // fault.
            let decision = match refusal.decision {
                Decision::Each(_) | Decision::Split { .. } | Decision::Unclear { .. } => {
                    answer::retry(format!("http_{}", answer.status), answer)
                }
                Decision::Blocked { .. } if matches!(answer.status, 404 | 410) => {
                    answer::retry(format!("http_{}", answer.status), answer)
                }
                decision => decision,
            };
            return Verdict { decision, ..refusal };
        }
        let status = body.pointer("/requestStatusPerDestination/0");
        let word = status.and_then(|status| status.get("requestStatus")).and_then(Value::as_str);
        let again = || Decision::Accepted { ticket: ticket.clone(), after: ASK_AFTER };
        let decision = match (word, status) {
            _ if !answer::is_success(answer) => answer::by_status(events.len(), answer),
            (Some(word @ ("SUCCESS" | "FAILED" | "PARTIAL_SUCCESS")), Some(status)) => {
                settled(events.len(), word, status, answer)
            }
            (Some("PROCESSING" | "REQUEST_STATUS_UNKNOWN"), _) => again(),
            _ => answer::retry("unreadable_answer", answer),
        };
        let codes = [("status", word.map(Value::from)), ("reasons", status.map(reasons))];
        answer::verdict(decision, Some(&ticket.0), &codes, answer)
    }

    /// `validateOnly`: the same checks, and nothing is taken.
    fn test_request(&self, events: &[Event], _code: Option<&str>) -> Option<Request> {
        let mut request = self.plan(events).requests.into_iter().next()?;
        request.body["validateOnly"] = true.into();
        Some(request)
    }

    fn test_verdict(&self, events: &[Event], answer: &Response) -> Verdict {
        let body = answer::json(answer);
        if body.is_object() && body.get("error").is_none() && answer::is_success(answer) {
            let decision = answer::delivered(events.len());
            return answer::verdict(decision, None, &warnings(&body), answer);
        }
        self.verdict(events, answer)
    }
}

/// A request id within a URL.
fn form_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) => out.push(char::from(b)),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

/// Reasons of `fieldWarnings`: optional fields that were left out.
fn warnings(body: &Value) -> [(&'static str, Option<Value>); 1] {
    let list = body.get("fieldWarnings").and_then(Value::as_array).into_iter().flatten();
    let words: Vec<Value> = list.filter_map(|warning| warning.get("reason").cloned()).collect();
    [("warnings", (!words.is_empty()).then(|| words.into()))]
}

/// The counts of an error report.
fn counts(status: &Value) -> impl Iterator<Item = (&str, u64, Vec<usize>)> {
    let list = status.pointer("/errorInfo/errorCounts").and_then(Value::as_array);
    list.into_iter().flatten().map(|count| {
        let reason = count.get("reason").and_then(Value::as_str);
        let reason = reason.filter(|word| answer::is_word(word)).unwrap_or("UNSPECIFIED");
        // The long prefix says nothing; 64 bits are a text in Google's JSON.
        let reason = reason.strip_prefix("PROCESSING_ERROR_REASON_").unwrap_or(reason);
        let reason = reason.strip_prefix("PROCESSING_ERROR_").unwrap_or(reason);
        let indices = count.get("recordIndices").and_then(Value::as_array).into_iter().flatten();
        let indices: Vec<usize> =
            indices.filter_map(number).filter_map(|n| usize::try_from(n).ok()).collect();
        (reason, count.get("recordCount").and_then(number).unwrap_or(0), indices)
    })
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn reasons(status: &Value) -> Value {
    counts(status).map(|(reason, ..)| Value::from(reason)).collect()
}

/// What became of the events of a request that is decided. An answer whose numbers are not those of the
/// request, or that contradicts itself, is no decision.
fn settled(sent: usize, word: &str, status: &Value, answer: &Response) -> Decision {
    let unbelieved = || answer::retry("unreadable_answer", answer);
    // All events of the request, whatever became of them: `IngestEventsStatus.record_count` of the client
    // libraries, read 2026-12-01.
    let of_all = status.pointer("/eventsIngestionStatus/recordCount");
    let is_ours = of_all.is_none_or(|count| number(count) == u64::try_from(sent).ok());
    let failed = counts(status).try_fold(0_u64, |sum, (_, count, _)| sum.checked_add(count));
    let Some(failed) = failed.filter(|failed| is_ours && *failed <= sent as u64) else {
        return unbelieved();
    };
    if word == "SUCCESS" {
        return if failed == 0 { answer::delivered(sent) } else { unbelieved() };
    }
    if let Some((reason, ..)) = counts(status).find(|(reason, ..)| is_of_account(reason)) {
        return answer::blocked(reason);
    }
    let mut outcomes = vec![Outcome::Delivered; sent];
    let mut first = None;
    // One event fails once, and if the request failed every event is named.
    let mut named = vec![false; sent];
    let mut believed = word == "PARTIAL_SUCCESS" || failed == sent as u64;
    for (reason, count, indices) in counts(status) {
        first = first.or(Some(reason));
        believed &= u64::try_from(indices.len()) == Ok(count);
        for at in indices {
            let Some(outcome) = outcomes.get_mut(at) else {
                believed = false;
                continue;
            };
            believed &= !std::mem::replace(&mut named[at], true);
            *outcome = match reason {
                // It has them already.
                "DUPLICATE_TRANSACTION_ID" | "DUPLICATE_GCLID" => Outcome::Delivered,
                "INTERNAL_ERROR" => Outcome::Retry(Reason::new(reason)),
                reason => Outcome::Refused(Reason::new(reason)),
            };
        }
    }
    let lone = |reason| match reason {
        "DUPLICATE_TRANSACTION_ID" | "DUPLICATE_GCLID" => answer::delivered(sent),
        // The event goes again; to ask again would bring the same answer.
        "INTERNAL_ERROR" => Decision::Each(vec![Outcome::Retry(Reason::new(reason))]),
        reason => answer::invalid(sent, reason),
    };
    match first {
        Some(_) if believed && named.contains(&true) => Decision::Each(outcomes),
        // Nobody is named: a lone event is meant, several are told apart in halves.
        Some(reason) if sent == 1 => lone(reason),
        Some(reason) => Decision::Split { reason: Reason::new(reason) },
        None => answer::invalid(sent, "UNSPECIFIED"),
    }
}

/// What no event can mend.
fn is_of_account(reason: &str) -> bool {
    matches!(reason, "NO_CONSENT" | "DESTINATION_ACCOUNT_ENHANCED_CONVERSIONS_TERMS_NOT_SIGNED")
}

/// An error of Google's own: `google.rpc.Status`.
fn refusal(sent: usize, error: &Map<String, Value>, answer: &Response) -> Verdict {
    let status = error.get("status").and_then(Value::as_str).filter(|word| answer::is_word(word));
    let details = || error.get("details").and_then(Value::as_array).into_iter().flatten();
    let text = |key: &'static str| details().find_map(|detail| detail.get(key)?.as_str());
    let reason = text("reason").filter(|word| answer::is_word(word)).or(status);
    let reason = reason.map_or_else(|| format!("http_{}", answer.status), str::to_owned);
    // Every violation is about the account or the action, so that every request would fail.
    let fields: Vec<&str> = details()
        .filter_map(|detail| detail.get("fieldViolations")?.as_array())
        .flatten()
        .filter_map(|violation| violation.get("field")?.as_str())
        .collect();
    let of_destination = |field: &&str| field.starts_with("destinations");
    let decision = match (status, answer.status) {
        (Some("RESOURCE_EXHAUSTED"), _) | (_, 429) => answer::throttled(reason.as_str(), answer),
        // The word of the details, which stays in the summary, is one of many: the status alone
        // says that the credential is meant.
        (Some(word @ ("UNAUTHENTICATED" | "PERMISSION_DENIED")), _) => answer::blocked(word),
        (_, 401 | 403) => answer::blocked(format!("http_{}", answer.status)),
        (Some("NOT_FOUND"), _) => answer::blocked(reason.as_str()),
        (Some("INTERNAL" | "UNAVAILABLE" | "DEADLINE_EXCEEDED" | "ABORTED" | "CANCELLED"), _)
        | (_, 500..) => answer::retry(reason.as_str(), answer),
        (_, 400) if !fields.is_empty() && fields.iter().all(of_destination) => {
            answer::blocked(reason.as_str())
        }
        (Some("INVALID_ARGUMENT" | "OUT_OF_RANGE" | "FAILED_PRECONDITION"), _) | (_, 400) => {
            answer::invalid(sent, reason.as_str())
        }
        (Some(_), _) => answer::unclear(sent, reason.as_str(), answer),
        _ => answer::by_status(sent, answer),
    };
    let codes = [("status", status.map(Value::from)), ("reason", Some(reason.into()))];
    answer::verdict(decision, text("requestId"), &codes, answer)
}

pub(super) fn explain(reason: &str) -> Option<&'static str> {
    let text = match reason {
        "missing_remaining_value" => {
            "Google sets the value of an order anew and knows no refunds; let the view return \
             remaining_value, what is left of the order's value, 0 after a full refund"
        }
        "EVENT_TOO_OLD" => "the event is older than the conversion action's window for clicks",
        "DENIED_CONSENT" | "UNKNOWN_CONSENT" => {
            "Google found no consent for the event; let the view return consent for google_ads, and \
             look at the default of the account"
        }
        "INVALID_GCLID" | "INVALID_GBRAID" | "INVALID_WBRAID" => {
            "Google cannot read the click id; store it as it came, with its case"
        }
        "OPERATING_ACCOUNT_MISMATCH_FOR_AD_IDENTIFIER" => {
            "the click was on an ad of another account; nothing is to be done, unless customer_id \
             is the wrong account"
        }
        "INTERNAL_ERROR" | "INTERNAL" | "UNAVAILABLE" | "DEADLINE_EXCEEDED" => {
            "Google had an error of its own; the events go again"
        }
        "RESOURCE_EXHAUSTED" | "RESOURCE_TEMPORARILY_EXHAUSTED" => {
            "too many calls of the Cloud project; the events wait and go again"
        }
        "UNAUTHENTICATED" | "PERMISSION_DENIED" => {
            "the credential is not taken or may not use the account; give it access to the Google \
             Ads account and the Data Manager API, then resume the destination"
        }
        "NOT_FOUND" => {
            "account or conversion action do not exist; correct customer_id or events, then resume \
             the destination"
        }
        "NO_CONSENT" | "DESTINATION_ACCOUNT_ENHANCED_CONVERSIONS_TERMS_NOT_SIGNED" => {
            "the account has not accepted terms of Google's that it needs; accept them in Google \
             Ads, then resume the destination"
        }
        "INVALID_ARGUMENT"
        | "OUT_OF_RANGE"
        | "FAILED_PRECONDITION"
        | "INVALID_EVENT"
        | "INVALID_FORMAT"
        | "INVALID_CUSTOM_VARIABLE"
        | "INVALID_MERCHANT_ID" => {
            "Google finds fault with the event; compare capi.preview with its reference"
        }
        "UNSPECIFIED" => "Google refused the event without a reason",
        // Words that this program does not know, all in capitals.
        word if word.contains('_') && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') => {
            "Google gave a reason that this program does not know; it is a word of the Data Manager \
             API's reference"
        }
        _ => return parts::explain(reason),
    };
    Some(text)
}
