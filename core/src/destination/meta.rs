//! Meta: the Conversions API of Facebook and Instagram.
//!
//! It wants a POST of up to 1,000 events as JSON to `/{version}/{pixel}/events` and answers with
//! the number of events it took (<https://developers.facebook.com/documentation/ads-commerce/conversions-api>).
//!
//! Quirks, read 2026-09-12 unless a constant says otherwise:
//! - One bad event refuses the whole request and nothing in it is processed.
//! - Event names are case-sensitive: `purchase` silently becomes a custom event.
//! - Only numeric codes mean anything: the texts change and come in the token owner's language.
//! - Doubles are dropped by pixel, event name and event id, within 48 hours of the first copy. So a
//!   request whose answer was lost may safely go again for two days; later it may count twice.
//! - The Bearer header is not documented for this edge, but serves in production elsewhere and
//!   keeps the token out of URLs and bodies.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value, json};

use super::{
    ApiVersion, CredentialSlot, Decision, Destination, Outcome, Plan, Reason, Request, Response,
    SettingsError, Spec, Unfit, Verdict,
};
use crate::event::{ActionSource, Event};

/// The version that a destination without `api_version` uses: the newest stable one.
const DEFAULT_VERSION: &str = "v26.0";

/// Versions and the day each stops working; `None` where Meta has named no day yet, which is at
/// least two years after the start. <https://developers.facebook.com/docs/graph-api/changelog>,
/// read 2026-09-12. The Conversions API follows these days, not the shorter ones of the
/// Marketing API.
const VERSIONS: &[(&str, Option<&str>)] = &[
    ("v26.0", None), // introduced 2026-07-29
    ("v25.0", Some("2028-07-29")),
    ("v24.0", Some("2028-02-18")),
    ("v23.0", Some("2027-10-08")),
    ("v22.0", Some("2027-05-20")),
    ("v21.0", Some("2027-01-21")),
    ("v20.0", Some("2026-09-24")),
    ("v19.0", Some("2026-05-21")),
];

/// Where the events go unless the settings name another place, e.g. a gateway or a test receiver.
const ENDPOINT: &str = "https://graph.facebook.com";

/// Fixed facts. The limit of 1,000 events: `…/conversions-api/using-the-api`, read 2026-09-12.
static SPEC: Spec = Spec {
    platform: "meta",
    batch_limit: 1_000,
    credential: CredentialSlot::Bearer,
    documentation: "https://developers.facebook.com/documentation/ads-commerce/conversions-api",
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Oldest event: `…/conversions-api/parameters/server-event`, read 2026-09-12.
const MAX_AGE: Duration = DAY.saturating_mul(7);

/// Oldest event of a shop with a door: the "Offline events" page, read 2026-09-12.
const MAX_AGE_PHYSICAL_STORE: Duration = DAY.saturating_mul(62);

/// Standard event names: the Meta Pixel reference, read 2026-09-12.
const STANDARD_EVENTS: &[&str] = &[
    "AddPaymentInfo",
    "AddToCart",
    "AddToWishlist",
    "CompleteRegistration",
    "Contact",
    "CustomizeProduct",
    "Donate",
    "FindLocation",
    "InitiateCheckout",
    "Lead",
    "PageView",
    "Purchase",
    "Schedule",
    "Search",
    "StartTrial",
    "SubmitApplication",
    "Subscribe",
    "ViewContent",
];

/// Customer information that is too broad: an event with nothing outside one of these groups is
/// refused (subcode 2804050). `…/conversions-api/best-practices`, read 2026-09-12.
const TOO_BROAD: [&[&str]; 4] = [
    &["ct", "country", "st", "zp", "ge", "client_user_agent"],
    &["db", "client_user_agent"],
    &["fn", "ge"],
    &["ln", "ge"],
];

/// How long to leave a throttled account alone when the answer names no time: the block of the
/// full access tier. <https://developers.facebook.com/docs/graph-api/overview/rate-limiting>,
/// read 2026-09-12.
const THROTTLE_PAUSE: Duration = Duration::from_secs(60);

/// A usage header's estimate is believed up to this long.
const LONGEST_PAUSE: Duration = DAY;

/// Usage, in percent, from which on calls are throttled; same page as [`THROTTLE_PAUSE`].
const USAGE_LIMIT: f64 = 100.0;

/// Settings of one destination.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Id of the pixel or dataset; digits. Required.
    pixel_id: String,
    /// Graph API version, e.g. `v26.0`; default: the newest stable one.
    #[serde(default = "default_version")]
    api_version: String,
    /// Scheme and host in front of the version; default `https://graph.facebook.com`.
    #[serde(default = "default_endpoint")]
    endpoint: String,
    /// Code of the Test Events tool. Meta still uses such events for targeting and measurement.
    test_event_code: Option<String>,
    /// Limited Data Use for events that say nothing themselves; Meta finds out the place.
    #[serde(default)]
    limited_data_use: bool,
}

fn default_version() -> String {
    DEFAULT_VERSION.to_owned()
}

fn default_endpoint() -> String {
    ENDPOINT.to_owned()
}

/// The Conversions API of one pixel.
#[derive(Debug)]
struct Meta {
    settings: Settings,
}

/// Builds a destination from its settings.
pub fn build(settings: &Value) -> Result<Box<dyn Destination>, SettingsError> {
    Ok(Box::new(Meta { settings: read_settings(settings)? }))
}

fn read_settings(settings: &Value) -> Result<Settings, SettingsError> {
    let broken = |key: &str, rule: &str| SettingsError::Setting {
        key: key.to_owned(),
        rule: rule.to_owned(),
    };
    let object = settings.as_object().ok_or_else(|| broken("settings", "must be an object"))?;
    // Serde's own messages quote the value, which may be a token in the wrong place.
    for (key, value) in object {
        match key.as_str() {
            "pixel_id" | "api_version" | "endpoint" if !value.is_string() => {
                return Err(broken(key, "must be a text"));
            }
            "test_event_code" if !value.is_string() && !value.is_null() => {
                return Err(broken(key, "must be a text"));
            }
            "limited_data_use" if !value.is_boolean() => {
                return Err(broken(key, "must be true or false"));
            }
            "pixel_id" | "api_version" | "endpoint" | "test_event_code" | "limited_data_use" => {}
            _ => {
                return Err(broken(
                    key,
                    "is not known; known are pixel_id, api_version, endpoint, test_event_code, \
                     limited_data_use",
                ));
            }
        }
    }
    if !object.contains_key("pixel_id") {
        return Err(broken("pixel_id", "is required"));
    }
    let mut settings = Settings::deserialize(settings)
        .map_err(|_| broken("settings", "must be the settings of a meta destination"))?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(&settings.pixel_id) || settings.pixel_id.len() > 20 {
        return Err(broken("pixel_id", "must be the digits of a pixel or dataset id"));
    }
    let version = settings.api_version.strip_prefix('v').and_then(|v| v.split_once('.'));
    if !version.is_some_and(|(major, minor)| digits(major) && digits(minor)) {
        return Err(broken("api_version", "must look like v26.0"));
    }
    super::check_endpoint(&settings.endpoint).map_err(|rule| broken("endpoint", rule))?;
    settings.endpoint.truncate(settings.endpoint.trim_end_matches('/').len());
    let code = settings.test_event_code.as_deref();
    if code.is_some_and(|c| c.is_empty() || c.len() > 64 || !c.bytes().all(is_code_byte)) {
        return Err(broken("test_event_code", "must be letters and digits"));
    }
    Ok(settings)
}

fn is_code_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// The request body.
#[derive(Serialize)]
struct Body<'a> {
    data: Vec<ServerEvent<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_event_code: Option<&'a str>,
}

/// One event: `…/conversions-api/parameters/server-event`, read 2026-09-12.
#[derive(Serialize)]
struct ServerEvent<'a> {
    event_name: &'a str,
    event_time: i64,
    event_id: &'a str,
    action_source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_source_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referrer_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    opt_out: Option<bool>,
    user_data: Map<String, Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    custom_data: Map<String, Value>,
    #[serde(flatten)]
    data_processing: Option<DataProcessing<'a>>,
}

/// Identifiers that go as digests, with their key:
/// `…/conversions-api/parameters/customer-information-parameters`, read 2026-09-12.
const DIGESTS: &[(&str, &str)] = &[
    ("email", "em"),
    ("phone", "ph"),
    ("first_name", "fn"),
    ("last_name", "ln"),
    ("date_of_birth", "db"),
    ("gender", "ge"),
    ("city", "ct"),
    ("state", "st"),
    ("zip", "zp"),
    ("country", "country"),
    ("external_id", "external_id"),
];

/// What goes in clear as text, under its own name; same page.
const CLEAR_TEXTS: &[&str] =
    &["client_ip_address", "client_user_agent", "fbc", "fbp", "subscription_id"];

/// What goes in clear as a number, with its range; same page. A malformed lead id refuses the
/// whole request, so only 15 to 17 digits pass.
const CLEAR_NUMBERS: &[(&str, std::ops::Range<u64>)] =
    &[("fb_login_id", 1..u64::MAX), ("lead_id", 100_000_000_000_000..100_000_000_000_000_000)];

/// Limited Data Use: the "Data processing options" page, read 2026-09-12.
#[derive(Serialize)]
struct DataProcessing<'a> {
    data_processing_options: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_processing_options_country: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_processing_options_state: Option<i64>,
}

/// Facts that go into `custom_data` under their own name:
/// `…/conversions-api/parameters/custom-data`, read 2026-09-12.
const CUSTOM_DATA: &[&str] = &[
    "order_id",
    "content_ids",
    "content_type",
    "content_name",
    "content_category",
    "num_items",
    "predicted_ltv",
    "net_revenue",
    "search_string",
    "status",
    "delivery_category",
];

/// Keys of one entry of `contents`; the rest stays here.
const CONTENT: &[&str] = &[
    "id",
    "quantity",
    "item_price",
    "title",
    "description",
    "brand",
    "category",
    "delivery_category",
];

/// Who it was.
fn user_data(event: &Event) -> Map<String, Value> {
    let digests = DIGESTS.iter().filter_map(|(identifier, key)| {
        let digests = event.identity.digests(identifier, SPEC.platform);
        let list = || digests.iter().map(|digest| digest.as_str().into()).collect();
        (!digests.is_empty()).then(|| (*key, Value::Array(list())))
    });
    let texts = CLEAR_TEXTS
        .iter()
        .filter_map(|field| event.facts.text(field).map(|text| (*field, Value::from(text))));
    let numbers = CLEAR_NUMBERS.iter().filter_map(|(field, range)| {
        let number = whole_number(event, field).filter(|number| range.contains(number))?;
        Some((*field, Value::from(number)))
    });
    digests.chain(texts).chain(numbers).map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Why nobody could be found by these keys, if so.
fn too_broad(user_data: &Map<String, Value>) -> Option<&'static str> {
    if user_data.is_empty() {
        return Some("missing_identity");
    }
    TOO_BROAD
        .iter()
        .any(|group| user_data.keys().all(|key| group.contains(&key.as_str())))
        .then_some("insufficient_identity")
}

/// A fact that is a whole number, whether it was stored as text or as number.
fn whole_number(event: &Event, field: &str) -> Option<u64> {
    match event.facts.get(field)? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn custom_data(event: &Event) -> Map<String, Value> {
    let mut data = Map::new();
    if let Some(value) = &event.value {
        data.insert("value".to_owned(), Value::Number(value.to_json()));
    }
    if let Some(currency) = &event.currency {
        data.insert("currency".to_owned(), currency.as_str().into());
    }
    for field in CUSTOM_DATA {
        if let Some(value) = event.facts.get(field).filter(|value| !value.is_null()) {
            data.insert((*field).to_owned(), value.clone());
        }
    }
    let contents = contents(event);
    if !contents.is_empty() {
        data.insert("contents".to_owned(), Value::Array(contents));
    }
    // A clash with a standard key keeps the standard one, present or not: a custom `value` must
    // not stand in for the amount.
    let custom = event.facts.get("custom").and_then(Value::as_object);
    for (key, value) in custom.into_iter().flatten() {
        let standard = CUSTOM_DATA.contains(&key.as_str())
            || ["value", "currency", "contents"].contains(&key.as_str());
        if !standard {
            data.insert(key.clone(), value.clone());
        }
    }
    data
}

/// The items with what Meta knows of an item; one without id is no item to Meta.
fn contents(event: &Event) -> Vec<Value> {
    let items = event.facts.get("contents").and_then(Value::as_array);
    items
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .filter(|item| item.get("id").is_some_and(|id| !id.is_null()))
        .map(|item| {
            let known = |(key, value): &(&String, &Value)| {
                CONTENT.contains(&key.as_str()) && !value.is_null()
            };
            let pairs = item.iter().filter(known);
            Value::Object(pairs.map(|(key, value)| (key.clone(), value.clone())).collect())
        })
        .collect()
}

fn data_processing<'a>(event: &'a Event, settings: &Settings) -> Option<DataProcessing<'a>> {
    let number = |field| event.facts.get(field).and_then(Value::as_i64);
    let (options, country, state) = match event.facts.get("data_processing_options") {
        Some(Value::Array(options)) => (
            options.iter().filter_map(Value::as_str).collect::<Vec<_>>(),
            number("data_processing_options_country"),
            number("data_processing_options_state"),
        ),
        _ if settings.limited_data_use => (vec!["LDU"], None, None),
        _ => return None,
    };
    // 0 and 0 let Meta find out the place; an empty list says that LDU is off and needs neither.
    let place = |given: Option<i64>| (!options.is_empty()).then(|| given.unwrap_or(0));
    Some(DataProcessing {
        data_processing_options_country: place(country),
        data_processing_options_state: place(state),
        data_processing_options: options,
    })
}

impl Meta {
    fn server_event<'a>(&self, event: &'a Event) -> ServerEvent<'a> {
        ServerEvent {
            event_name: &event.event_name,
            event_time: event.event_time.seconds(),
            event_id: &event.event_id,
            action_source: event.action_source.as_str(),
            event_source_url: event.facts.text("event_source_url"),
            referrer_url: event.facts.text("referrer_url"),
            opt_out: event.facts.get("opt_out").and_then(Value::as_bool),
            user_data: user_data(event),
            custom_data: custom_data(event),
            data_processing: data_processing(event, &self.settings),
        }
    }

    fn request(&self, events: &[Event], positions: &[usize]) -> Request {
        let Settings { endpoint, api_version, pixel_id, .. } = &self.settings;
        let body = Body {
            data: positions.iter().map(|&at| self.server_event(&events[at])).collect(),
            test_event_code: self.settings.test_event_code.as_deref(),
        };
        Request {
            url: format!("{endpoint}/{api_version}/{pixel_id}/events"),
            body: serde_json::to_value(body).expect("texts, numbers and lists are JSON"),
            events: positions.to_vec(),
        }
    }
}

/// Oldest age at which Meta takes an event, whatever the settings.
pub(super) fn max_age(event: &Event) -> Duration {
    match event.action_source {
        ActionSource::PhysicalStore => MAX_AGE_PHYSICAL_STORE,
        _ => MAX_AGE,
    }
}

/// Why Meta can never take an event, whatever the settings.
pub(super) fn unfit(event: &Event) -> Option<Unfit> {
    let refused = |reason: &str| Some(Unfit::Refused(Reason::new(reason)));
    let name = event.event_name.as_str();
    let standard = |known: &&str| known.eq_ignore_ascii_case(name);
    if STANDARD_EVENTS.iter().find(|known| standard(known)).is_some_and(|known| *known != name) {
        return refused("event_name_case");
    }
    if name.is_empty() {
        return refused("missing_event_name");
    }
    if event.event_id.is_empty() {
        return refused("missing_event_id");
    }
    if name == "Purchase" && event.value.is_none() {
        return refused("missing_value");
    }
    if name == "Purchase" && event.currency.is_none() {
        return refused("missing_currency");
    }
    match event.action_source {
        // The user agent is documented as required too, but its absence is not punished.
        ActionSource::Website if event.facts.text("event_source_url").is_none() => {
            return refused("missing_event_source_url");
        }
        // These need `app_data` or the ids of a message, for which there are no fields.
        ActionSource::App => return refused("missing_app_data"),
        ActionSource::BusinessMessaging => return refused("missing_messaging_channel"),
        _ => {}
    }
    too_broad(&user_data(event)).and_then(refused)
}

impl Destination for Meta {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn api_version(&self) -> Option<ApiVersion> {
        let name = &self.settings.api_version;
        let ends = VERSIONS.iter().find(|(version, _)| version == name).and_then(|(_, day)| *day);
        Some(ApiVersion { name: name.clone(), ends })
    }

    fn max_age(&self, event: &Event) -> Duration {
        max_age(event)
    }

    fn unfit(&self, event: &Event) -> Option<Unfit> {
        unfit(event)
    }

    fn plan(&self, events: &[Event]) -> Plan {
        let mut plan = Plan::default();
        let mut fit = Vec::with_capacity(events.len());
        for (at, event) in events.iter().enumerate() {
            match self.unfit(event) {
                Some(unfit) => plan.unfit.push((at, unfit)),
                None => fit.push(at),
            }
        }
        plan.requests =
            fit.chunks(SPEC.batch_limit).map(|part| self.request(events, part)).collect();
        plan
    }

    fn verdict(&self, events: &[Event], answer: &Response) -> Verdict {
        let body: Option<Answer> = serde_json::from_slice(&answer.body).ok();
        let error = body.as_ref().and_then(|body| body.error.as_ref());
        let decision = match (&body, error) {
            (_, Some(error)) => error.decision(events.len(), answer),
            (Some(body), None) if (200..300).contains(&answer.status) => {
                taken(events.len(), body.events_received)
            }
            _ => unreadable(answer),
        };
        let request_id = body.as_ref().and_then(|body| {
            let in_error = body.error.as_ref().and_then(|error| error.fbtrace_id.as_ref());
            in_error.or(body.fbtrace_id.as_ref()).and_then(Value::as_str)
        });
        let request_id = request_id
            .or_else(|| answer.header("x-fb-trace-id"))
            .filter(|id| (1..=64).contains(&id.len()) && id.bytes().all(is_code_byte))
            .map(str::to_owned);
        let usage = Usage::read(answer);
        let summary = summary(answer, body.as_ref(), request_id.as_deref(), &usage);
        Verdict { decision, hold: usage.hold(), request_id, summary }
    }
}

/// What Meta answers, as far as it is of use: numbers. Texts are localised and may quote input.
///
/// Lenient on purpose: one odd key must not turn an answer that says something into garbage.
#[derive(Deserialize)]
struct Answer {
    #[serde(default, deserialize_with = "lenient")]
    events_received: Option<u64>,
    messages: Option<Value>,
    fbtrace_id: Option<Value>,
    #[serde(default, deserialize_with = "lenient")]
    error: Option<ErrorAnswer>,
}

#[derive(Deserialize)]
struct ErrorAnswer {
    #[serde(default, deserialize_with = "lenient")]
    code: Option<i64>,
    #[serde(default, deserialize_with = "lenient")]
    error_subcode: Option<i64>,
    #[serde(default, deserialize_with = "lenient")]
    is_transient: Option<bool>,
    error_data: Option<Value>,
    fbtrace_id: Option<Value>,
}

/// Reads a value of the expected type and turns any other into `None`.
fn lenient<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::de::DeserializeOwned,
{
    let value = Value::deserialize(deserializer)?;
    Ok(T::deserialize(value).ok())
}

/// What the account's owner, time or a new payload can mend.
enum Class {
    /// The same request may succeed later.
    Retry,
    /// Too many calls.
    Throttle,
    /// Token, permission, pixel or version: nothing will succeed until somebody changes it.
    Configuration,
    /// Something in the request, and by the API's atomicity perhaps in one event only.
    Payload,
}

impl ErrorAnswer {
    /// The table of codes: <https://developers.facebook.com/docs/graph-api/guides/error-handling>
    /// and <https://developers.facebook.com/docs/marketing-api/error-reference>, read 2026-09-12.
    fn class(&self, status: u16) -> Class {
        let throttled = matches!(
            self.code,
            Some(4 | 17 | 32 | 341 | 613 | 80_000..=80_006 | 80_008 | 80_009 | 80_014)
        );
        if throttled || (self.code.is_none() && status == 429) {
            return Class::Throttle;
        }
        if self.is_transient == Some(true) {
            return Class::Retry;
        }
        match (self.code, self.error_subcode) {
            (Some(1), Some(99)) => Class::Payload,
            (Some(1 | 2 | 5_000 | 21_009), _) => Class::Retry,
            (Some(code), _) if code < 0 => Class::Retry,
            // 2500 and 2635, a wrong path and an expired version, would refuse all there is:
            // https://github.com/facebook/facebook-nodejs-business-sdk/issues/239, 2022-12-13.
            (Some(3 | 10 | 102 | 104 | 190 | 200..=299 | 368 | 803 | 2_500 | 2_635), _)
            | (Some(100), Some(33)) => Class::Configuration,
            (Some(_), _) if status >= 500 => Class::Retry,
            (Some(_), _) => Class::Payload,
            // An error object without a code is nothing that Meta documents.
            (None, _) => Class::Retry,
        }
    }

    fn decision(&self, sent: usize, answer: &Response) -> Decision {
        let reason = self.reason(answer.status);
        match self.class(answer.status) {
            Class::Retry => Decision::Retry { reason, after: answer.retry_after() },
            Class::Throttle => Decision::Wait { reason, after: pause(answer) },
            Class::Configuration => Decision::Blocked { reason },
            Class::Payload if sent == 1 => Decision::Each(vec![Outcome::Refused(reason)]),
            Class::Payload => match self.blamed(sent) {
                Some(blamed) => Decision::Each(
                    (0..sent)
                        .map(|at| match blamed.contains(&at) {
                            true => Outcome::Refused(reason.clone()),
                            false => Outcome::Again,
                        })
                        .collect(),
                ),
                None => Decision::Split { reason },
            },
        }
    }

    fn reason(&self, status: u16) -> Reason {
        match (self.code, self.error_subcode) {
            (Some(code), Some(subcode)) => Reason(format!("{code}/{subcode}")),
            (Some(code), None) => Reason(code.to_string()),
            (None, _) => Reason(format!("http_{status}")),
        }
    }

    /// Positions of the events that `error_data.blame_field_specs` names, if it names events of
    /// this request and nothing else. `error_data` may itself be a text that holds JSON.
    fn blamed(&self, sent: usize) -> Option<BTreeSet<usize>> {
        let data = match self.error_data.as_ref()? {
            Value::String(text) => serde_json::from_str(text).ok()?,
            other => other.clone(),
        };
        let paths = data.get("blame_field_specs")?.as_array()?;
        let blamed: Option<BTreeSet<usize>> = paths.iter().map(event_of_path).collect();
        blamed.filter(|all| !all.is_empty() && all.iter().all(|&at| at < sent))
    }
}

/// The position in a path such as `["data", "3", "user_data", "em"]` or `["data[3]", …]`.
fn event_of_path(path: &Value) -> Option<usize> {
    let path = path.as_array()?;
    let head = path.first()?.as_str()?;
    match head.strip_prefix("data")? {
        "" => match path.get(1)? {
            Value::String(index) => index.parse().ok(),
            index => usize::try_from(index.as_u64()?).ok(),
        },
        rest => rest.strip_prefix('[')?.split_once(']')?.0.parse().ok(),
    }
}

/// A 2xx answer without error object.
///
/// Fewer events received than sent is not success. Nothing says which ones are missing, so all go
/// again: those that were counted are dropped by their id within 48 hours. If some were taken,
/// halves find the one that is not; if none or no number, a split would only multiply requests.
fn taken(sent: usize, received: Option<u64>) -> Decision {
    let sent_wide = u64::try_from(sent).unwrap_or(u64::MAX);
    match received {
        Some(received) if received >= sent_wide => Decision::Each(vec![Outcome::Delivered; sent]),
        Some(1..) => Decision::Split { reason: Reason::new("events_received_short") },
        Some(0) => Decision::Retry { reason: Reason::new("events_received_none"), after: None },
        None => Decision::Retry { reason: Reason::new("events_received_unknown"), after: None },
    }
}

/// An answer that is not Meta's JSON, e.g. the HTML of a proxy: never a reason to give up events.
fn unreadable(answer: &Response) -> Decision {
    let reason = match answer.status {
        200..=299 => Reason::new("unreadable_answer"),
        status => Reason(format!("http_{status}")),
    };
    match answer.status {
        429 => Decision::Wait { reason, after: pause(answer) },
        _ => Decision::Retry { reason, after: answer.retry_after() },
    }
}

/// How long a throttled destination waits.
fn pause(answer: &Response) -> Duration {
    let named = answer.retry_after().into_iter().chain(Usage::read(answer).regain);
    named.max().unwrap_or(THROTTLE_PAUSE).min(LONGEST_PAUSE)
}

/// What the usage headers say: <https://developers.facebook.com/docs/graph-api/overview/rate-limiting>,
/// read 2026-09-12.
#[derive(Debug, Default, PartialEq)]
struct Usage {
    /// The fullest budget in percent.
    percent: Option<f64>,
    /// Time until access comes back.
    regain: Option<Duration>,
}

impl Usage {
    fn read(answer: &Response) -> Self {
        let json = |name| -> Option<Map<String, Value>> {
            serde_json::from_str(answer.header(name)?).ok()
        };
        let mut usage = Self::default();
        if let Some(app) = json("x-app-usage") {
            usage.take(&app);
        }
        if let Some(account) = json("x-ad-account-usage") {
            usage.take(&account);
        }
        // By business object, a list of budgets each; the object ids are of no use.
        for budgets in json("x-business-use-case-usage").iter().flatten().map(|(_, list)| list) {
            for budget in budgets.as_array().into_iter().flatten().filter_map(Value::as_object) {
                usage.take(budget);
            }
        }
        usage
    }

    fn take(&mut self, budget: &Map<String, Value>) {
        let number = |key: &str| budget.get(key).and_then(Value::as_f64);
        for key in ["call_count", "total_cputime", "total_time", "acc_id_util_pct"] {
            self.percent = number(key).into_iter().chain(self.percent).reduce(f64::max);
        }
        let minutes = number("estimated_time_to_regain_access").map(|minutes| minutes * 60.0);
        // The reset time stands in every answer; it matters once the budget is spent.
        let spent = number("acc_id_util_pct").is_some_and(|percent| percent >= USAGE_LIMIT);
        let reset = number("reset_time_duration").filter(|_| spent);
        for seconds in [minutes, reset].into_iter().flatten().filter(|seconds| *seconds > 0.0) {
            let wait = Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_PAUSE);
            self.regain = self.regain.max(Some(wait.min(LONGEST_PAUSE)));
        }
    }

    /// How long further requests would only be throttled.
    fn hold(&self) -> Option<Duration> {
        let spent = self.percent.is_some_and(|percent| percent >= USAGE_LIMIT);
        self.regain.or(spent.then_some(THROTTLE_PAUSE))
    }
}

/// Codes and counts only: messages and titles may quote what was sent.
fn summary(
    answer: &Response,
    body: Option<&Answer>,
    request_id: Option<&str>,
    usage: &Usage,
) -> Value {
    let mut summary = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            summary.insert(key.to_owned(), value);
        }
    };
    let error = body.and_then(|body| body.error.as_ref());
    put("fbtrace_id", request_id.map(Into::into));
    put("events_received", body.and_then(|body| body.events_received).map(Into::into));
    let messages = body.and_then(|body| body.messages.as_ref()).and_then(Value::as_array);
    put("messages", messages.map(Vec::len).filter(|&count| count > 0).map(Into::into));
    put("code", error.and_then(|error| error.code).map(Into::into));
    put("subcode", error.and_then(|error| error.error_subcode).map(Into::into));
    put("is_transient", error.and_then(|error| error.is_transient).map(Into::into));
    put("usage_percent", usage.percent.and_then(Number::from_f64).map(Value::Number));
    put("version_upgraded", answer.header("x-ad-api-version-warning").map(|_| json!(true)));
    if body.is_none() {
        put("unreadable_bytes", Some(answer.body.len().into()));
    }
    Value::Object(summary)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::event::{Facts, Identity};
    use crate::hash::Digest;
    use crate::money::{Amount, Currency};
    use crate::time::Timestamp;

    fn meta(settings: &Value) -> Meta {
        Meta { settings: read_settings(settings).expect("settings") }
    }

    fn plain() -> Meta {
        meta(&json!({"pixel_id": "1234567890"}))
    }

    fn facts(value: &Value) -> Facts {
        Facts(value.as_object().expect("an object").clone())
    }

    fn identity(keys: &[&str]) -> Identity {
        Identity(keys.iter().map(|key| ((*key).to_owned(), vec![Digest::of(key)])).collect())
    }

    fn purchase(id: i64) -> Event {
        Event {
            id,
            event_name: "Purchase".into(),
            event_id: format!("order-{id}"),
            event_time: Timestamp(1_790_000_000_999_999),
            action_source: ActionSource::Website,
            value: Some(Amount::parse("1234567890123456.7890").expect("an amount")),
            currency: Some(Currency::parse("EUR").expect("a currency")),
            identity: identity(&["email"]),
            facts: facts(&json!({"event_source_url": "https://shop.example.com/thanks"})),
        }
    }

    /// The body as it goes out; insta's own JSON does not know numbers that keep their digits.
    fn wire(event: &Event) -> String {
        let plan = plain().plan(std::slice::from_ref(event));
        serde_json::to_string_pretty(&plan.requests[0].body).expect("a body")
    }

    fn refusal(event: &Event) -> Option<String> {
        plain().unfit(event).map(|unfit| match unfit {
            Unfit::Refused(reason) => reason.0,
            Unfit::Unrouted(reason) => format!("unrouted {reason}"),
        })
    }

    #[test]
    fn a_full_purchase_on_the_wire() {
        let mut event = purchase(1);
        event.identity = identity(&[
            "email",
            "phone",
            "first_name",
            "last_name",
            "date_of_birth",
            "gender",
            "city",
            "state",
            "zip",
            "country",
            "external_id",
        ]);
        // Another form of an identifier stays at home.
        event.identity.0.insert("phone/plus".into(), vec![Digest::of("other")]);
        event.facts = facts(&json!({
            "event_source_url": "https://shop.example.com/thanks",
            "referrer_url": "https://example.com/",
            "client_ip_address": "2001:db8::1",
            "client_user_agent": "Mozilla/5.0",
            "fbc": "fb.1.1789999999999.AbC-_",
            "fbp": "fb.1.1789999999999.123456789",
            "subscription_id": "sub-1",
            "fb_login_id": "123",
            "lead_id": "123456789012345",
            "opt_out": false,
            "order_id": "1",
            "contents": [
                {"id": "sku-1", "quantity": 2, "item_price": 9.50, "margin": 3, "brand": null},
                {"quantity": 1}
            ],
            "content_ids": ["sku-1"],
            "content_type": "product",
            "num_items": 2,
            "predicted_ltv": 99.5,
            "net_revenue": 4,
            "delivery_category": "home_delivery",
            "custom": {"colour": "red", "value": 0, "search_string": "clash", "nested": {"a": [1]}},
            "ga_client_id": "not Meta's"
        }));
        insta::assert_snapshot!(wire(&event));
    }

    #[test]
    fn a_lead_needs_no_amount() {
        let mut event = purchase(2);
        event.event_name = "Lead".into();
        event.action_source = ActionSource::SystemGenerated;
        event.value = None;
        event.currency = None;
        event.facts = Facts::default();
        insta::assert_snapshot!(wire(&event));
    }

    #[test]
    fn digits_of_the_amount_survive_to_the_bytes() {
        let body = serde_json::to_string(&plain().plan(&[purchase(1)]).requests[0].body);
        assert!(body.expect("json").contains(r#""value":1234567890123456.7890"#));
    }

    #[test]
    fn settings_shape_the_request() {
        let events = [purchase(1)];
        let url = |meta: Meta| meta.plan(&events).requests.remove(0).url;
        assert_eq!(url(plain()), "https://graph.facebook.com/v26.0/1234567890/events");
        let own = meta(&json!({"pixel_id": "7", "api_version": "v25.0",
            "endpoint": "http://127.0.0.1:8080/capi/", "test_event_code": "TEST123",
            "limited_data_use": true}));
        let request = own.plan(&events).requests.remove(0);
        assert_eq!(request.url, "http://127.0.0.1:8080/capi/v25.0/7/events");
        assert_eq!(request.body["test_event_code"], "TEST123");
        assert_eq!(request.body["data"][0]["data_processing_options"], json!(["LDU"]));
        assert_eq!(request.body["data"][0]["data_processing_options_country"], 0);
        assert_eq!(own.api_version().and_then(|version| version.ends), Some("2028-07-29"));
    }

    #[test]
    fn an_events_own_data_processing_wins() {
        let ldu = meta(&json!({"pixel_id": "7", "limited_data_use": true}));
        let mut event = purchase(1);
        event.facts.0.insert("data_processing_options".into(), json!([]));
        let sent = &ldu.plan(&[event.clone()]).requests[0].body["data"][0];
        assert_eq!(sent["data_processing_options"], json!([]));
        assert!(sent.get("data_processing_options_state").is_none());
        event.facts.0.insert("data_processing_options".into(), json!(["LDU"]));
        event.facts.0.insert("data_processing_options_country".into(), json!(1));
        event.facts.0.insert("data_processing_options_state".into(), json!(1000));
        let sent = &ldu.plan(&[event]).requests[0].body["data"][0];
        assert_eq!(sent["data_processing_options_state"], 1000);
    }

    #[test]
    fn settings_that_are_none_are_refused_without_their_value() {
        let secret = "EAAGsecret";
        for (settings, key) in [
            (json!([]), "settings"),
            (json!({}), "pixel_id"),
            (json!({"pixel_id": 12}), "pixel_id"),
            (json!({"pixel_id": secret}), "pixel_id"),
            (json!({"pixel_id": ""}), "pixel_id"),
            (json!({"pixel_id": "1", "access_token": secret}), "access_token"),
            (json!({"pixel_id": "1", "api_version": secret}), "api_version"),
            (json!({"pixel_id": "1", "api_version": "v2/../x.0"}), "api_version"),
            (json!({"pixel_id": "1", "limited_data_use": secret}), "limited_data_use"),
            (json!({"pixel_id": "1", "test_event_code": "a b"}), "test_event_code"),
            (json!({"pixel_id": "1", "endpoint": "http://example.com"}), "endpoint"),
            (json!({"pixel_id": "1", "endpoint": "http://127.0.0.1.example.com"}), "endpoint"),
            (json!({"pixel_id": "1", "endpoint": "https://u:p@example.com"}), "endpoint"),
            (
                json!({"pixel_id": "1", "endpoint": "https://example.com?access_token=x"}),
                "endpoint",
            ),
            (json!({"pixel_id": "1", "endpoint": "https://"}), "endpoint"),
            (json!({"pixel_id": "1", "endpoint": "ftp://example.com"}), "endpoint"),
        ] {
            let error = read_settings(&settings).expect_err(key).to_string();
            assert!(error.starts_with(&format!("setting {key}:")), "{error}");
            assert!(!error.contains(secret), "{error}");
        }
        for endpoint in ["http://localhost:1", "http://[::1]:1", "https://gw.example.com/capi"] {
            read_settings(&json!({"pixel_id": "1", "endpoint": endpoint})).expect(endpoint);
        }
    }

    #[test]
    fn says_why_an_event_can_never_be_sent() {
        let changed = |change: fn(&mut Event)| {
            let mut event = purchase(1);
            change(&mut event);
            refusal(&event)
        };
        let reason = |text: &str| Some(text.to_owned());
        assert_eq!(changed(|_| {}), None);
        assert_eq!(changed(|e| e.event_name = "MyOwnEvent".into()), None);
        assert_eq!(changed(|e| e.event_name = "purchase".into()), reason("event_name_case"));
        assert_eq!(changed(|e| e.event_name = "LEAD".into()), reason("event_name_case"));
        assert_eq!(changed(|e| e.event_id.clear()), reason("missing_event_id"));
        assert_eq!(changed(|e| e.value = None), reason("missing_value"));
        assert_eq!(changed(|e| e.currency = None), reason("missing_currency"));
        assert_eq!(changed(|e| e.facts.0.clear()), reason("missing_event_source_url"));
        assert_eq!(changed(|e| e.action_source = ActionSource::App), reason("missing_app_data"));
        assert_eq!(
            changed(|e| e.action_source = ActionSource::BusinessMessaging),
            reason("missing_messaging_channel")
        );
        assert_eq!(changed(|e| e.identity.0.clear()), reason("missing_identity"));
        assert_eq!(
            changed(|e| e.identity.0 = BTreeMap::from([("email".into(), vec![])])),
            reason("missing_identity")
        );
    }

    #[test]
    fn identity_that_is_too_broad_is_refused_before_sending() {
        for (keys, enough) in [
            (&["city", "country", "state", "zip", "gender"][..], false),
            (&["date_of_birth"], false),
            (&["first_name", "gender"], false),
            (&["last_name", "gender"], false),
            (&["first_name", "last_name"], true),
            (&["date_of_birth", "gender"], true),
            (&["first_name", "city"], true),
            (&["external_id"], true),
        ] {
            let mut event = purchase(1);
            event.identity = identity(keys);
            let expected = (!enough).then(|| "insufficient_identity".to_owned());
            assert_eq!(refusal(&event), expected, "{keys:?}");
        }
        let mut event = purchase(1);
        event.identity = Identity::default();
        event.facts.0.insert("client_user_agent".into(), "Mozilla/5.0".into());
        assert_eq!(refusal(&event).as_deref(), Some("insufficient_identity"));
        event.facts.0.insert("fbp".into(), "fb.1.1789999999999.1".into());
        assert_eq!(refusal(&event), None);
    }

    #[test]
    fn a_shop_with_a_door_has_more_time() {
        let mut event = purchase(1);
        assert_eq!(plain().max_age(&event), Duration::from_secs(7 * 86_400));
        event.action_source = ActionSource::PhysicalStore;
        assert_eq!(plain().max_age(&event), Duration::from_secs(62 * 86_400));
    }

    #[test]
    fn a_malformed_lead_id_stays_at_home() {
        let mut event = purchase(1);
        for (given, sent) in [("123", None), ("123456789012345", Some(123_456_789_012_345_u64))] {
            event.facts.0.insert("lead_id".into(), given.into());
            assert_eq!(user_data(&event).get("lead_id").and_then(Value::as_u64), sent);
        }
    }

    /// A recorded answer and what it means.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Recorded {
        #[allow(dead_code, reason = "for the reader of the file")]
        source: String,
        sent: i64,
        status: u16,
        #[serde(default)]
        headers: BTreeMap<String, String>,
        #[serde(default)]
        body: Value,
        text: Option<String>,
        expect: String,
        request_id: Option<String>,
        hold: Option<u64>,
    }

    fn in_words(decision: &Decision) -> String {
        match decision {
            Decision::Each(outcomes) => {
                let words = outcomes.iter().map(|outcome| match outcome {
                    Outcome::Delivered => " delivered".to_owned(),
                    Outcome::Refused(reason) => format!(" refused:{reason}"),
                    Outcome::Retry(reason) => format!(" retry:{reason}"),
                    Outcome::Again => " again".to_owned(),
                });
                format!("each{}", words.collect::<String>())
            }
            Decision::Accepted(_) => "accepted".to_owned(),
            Decision::Retry { reason, .. } => format!("retry {reason}"),
            Decision::Wait { reason, after } => format!("wait {reason} {}", after.as_secs()),
            Decision::Split { reason } => format!("split {reason}"),
            Decision::Blocked { reason } => format!("blocked {reason}"),
        }
    }

    #[test]
    fn recorded_answers_mean_what_their_files_say() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/answers/meta");
        let mut count = 0;
        for entry in fs::read_dir(folder).expect("the folder of answers") {
            let path = entry.expect("a file").path();
            let name = path.display();
            let file = fs::read_to_string(&path).expect("a file");
            let recorded: Recorded = serde_json::from_str(&file).expect("a recorded answer");
            let body = recorded.text.unwrap_or_else(|| recorded.body.to_string());
            let headers = recorded.headers.into_iter().collect();
            let answer = Response { status: recorded.status, headers, body: body.into_bytes() };
            let events: Vec<_> = (1..=recorded.sent).map(purchase).collect();
            let verdict = plain().verdict(&events, &answer);
            assert_eq!(in_words(&verdict.decision), recorded.expect, "{name}");
            assert_eq!(verdict.hold, recorded.hold.map(Duration::from_secs), "{name}");
            if recorded.request_id.is_some() {
                assert_eq!(verdict.request_id, recorded.request_id, "{name}");
            }
            let summary = verdict.summary.to_string();
            assert!(!summary.contains("text") && !summary.contains("Tids"), "{name} {summary}");
            count += 1;
        }
        assert!(count > 30, "only {count} recorded answers were found");
    }

    #[test]
    fn the_summary_holds_codes_and_counts() {
        let body = json!({"error": {"message": "jane@example.com", "type": "OAuthException",
            "code": 100, "error_subcode": 2_804_003, "is_transient": false,
            "error_user_msg": "jane@example.com", "fbtrace_id": "A1"}});
        let headers = vec![("x-app-usage".into(), r#"{"call_count":12}"#.into())];
        let answer = Response { status: 400, headers, body: body.to_string().into_bytes() };
        let verdict = plain().verdict(&[purchase(1)], &answer);
        assert_eq!(
            verdict.summary,
            json!({"fbtrace_id": "A1", "code": 100, "subcode": 2_804_003, "is_transient": false,
                   "usage_percent": 12.0})
        );
    }

    #[test]
    fn a_trace_id_that_is_none_is_dropped() {
        let body = json!({"events_received": 1, "fbtrace_id": "jane@example.com"});
        let answer =
            Response { status: 200, headers: Vec::new(), body: body.to_string().into_bytes() };
        assert_eq!(plain().verdict(&[purchase(1)], &answer).request_id, None);
    }
}
