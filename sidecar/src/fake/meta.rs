//! Owns the checks on a request body: what the platform is documented, or was seen, to refuse.
//!
//! Written from the platform's documentation, not from this project's builder, so that the two can
//! disagree. Where the documentation is silent the stricter reading is taken; those places are
//! listed in the module documentation of [`super`].

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::answer::Refusal;
use super::decimal::Decimal;

/// Most events in one request.
pub(super) const MAX_EVENTS: usize = 1000;

const DAY: i64 = 86_400;
/// Oldest age of an event, in seconds.
const MAX_AGE: i64 = 7 * DAY;
/// Oldest age of an event that happened in a physical store, in seconds.
const MAX_AGE_STORE: i64 = 62 * DAY;
/// Life of a click id, in milliseconds: the cookie that holds it lives 90 days.
const CLICK_LIFE_MS: i64 = 90 * DAY * 1000;

const ACTION_SOURCES: [&str; 9] = [
    "email",
    "website",
    "app",
    "phone_call",
    "chat",
    "physical_store",
    "system_generated",
    "business_messaging",
    "other",
];
const MESSAGING_CHANNELS: [&str; 3] = ["whatsapp", "messenger", "instagram"];
const MESSAGING_EVENTS: [&str; 5] =
    ["LeadSubmitted", "Purchase", "AddToCart", "InitiateCheckout", "ViewContent"];

const REQUEST_KEYS: [&str; 12] = [
    "data",
    "test_event_code",
    "partner_agent",
    "namespace_id",
    "upload_id",
    "upload_tag",
    "upload_source",
    "platforms",
    "progress",
    "trace",
    "access_token",
    "appsecret_proof",
];
const EVENT_KEYS: [&str; 18] = [
    "event_name",
    "event_time",
    "event_id",
    "event_source_url",
    "referrer_url",
    "action_source",
    "user_data",
    "custom_data",
    "app_data",
    "opt_out",
    "data_processing_options",
    "data_processing_options_country",
    "data_processing_options_state",
    "original_event_data",
    "attribution_data",
    "customer_segmentation",
    "messaging_channel",
    "advanced_measurement_table",
];

/// Keys that only travel as SHA-256: text or list of text.
const HASHED_KEYS: [&str; 17] = [
    "em",
    "ph",
    "fn",
    "ln",
    "db",
    "ge",
    "ct",
    "st",
    "zp",
    "country",
    "f5first",
    "f5last",
    "fi",
    "dobd",
    "dobm",
    "doby",
    "app_user_id",
];
/// Keys that travel as plain text.
const CLEAR_TEXT_KEYS: [&str; 10] = [
    "client_user_agent",
    "subscription_id",
    "anon_id",
    "madid",
    "page_id",
    "page_scoped_user_id",
    "ctwa_clid",
    "ig_account_id",
    "ig_sid",
    "whatsapp_business_account_id",
];
/// An event whose keys all lie within one of these groups cannot be matched to anybody.
const TOO_BROAD: [&[&str]; 4] = [
    &["ct", "country", "st", "zp", "ge", "client_user_agent"],
    &["db", "client_user_agent"],
    &["fn", "ge"],
    &["ln", "ge"],
];
/// SHA-256 of nothing: formally a digest, in fact a field that was empty.
pub(super) const DIGEST_OF_NOTHING: &str =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// ISO 4217, the codes of money in use.
const CURRENCIES: &str = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND \
    BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN \
    ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD \
    JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT \
    MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR \
    RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND \
    TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG";

type Checked<T> = Result<T, Refusal>;
type Object = Map<String, Value>;

/// The moment of receipt and what is tolerated around it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    pub(super) now: i64,
    pub(super) max_future: i64,
}

/// A request body, taken apart but not yet judged.
#[derive(Debug)]
pub(super) struct Envelope<'a>(BTreeMap<String, &'a RawValue>);

/// One event that passed every check: what the log keeps of it.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) raw: Box<RawValue>,
    pub(super) name: String,
    pub(super) id: Option<String>,
    pub(super) money: Option<(String, Decimal)>,
}

impl<'a> Envelope<'a> {
    /// Takes the body apart. Only a JSON object will do.
    pub(super) fn parse(body: &'a [u8]) -> Checked<Self> {
        serde_json::from_slice(body)
            .map(Self)
            .map_err(|_| Refusal::invalid("body", "must be a JSON object in UTF-8"))
    }

    /// The token, when it travels in the body.
    pub(super) fn access_token(&self) -> Option<String> {
        serde_json::from_str(self.0.get("access_token")?.get()).ok()
    }

    /// Judges the request: every event, or the first refusal.
    pub(super) fn check(&self, clock: Clock) -> Checked<Vec<Arrival>> {
        if let Some(key) = self.0.keys().find(|key| !REQUEST_KEYS.contains(&key.as_str())) {
            return Err(Refusal::invalid(key.as_str(), "is not a parameter of this edge"));
        }
        for key in ["test_event_code", "namespace_id", "upload_id", "upload_tag", "upload_source"] {
            self.text(key)?;
        }
        if let Some(agent) = self.text("partner_agent")?
            && (agent.chars().count() >= 23
                || agent.chars().filter(|c| c.is_alphabetic()).count() < 2)
        {
            return Err(Refusal::invalid(
                "partner_agent",
                "must be under 23 characters, with at least 2 letters",
            ));
        }
        let data = self.0.get("data").ok_or_else(|| Refusal::invalid("data", "is required"))?;
        let events: Vec<&RawValue> = serde_json::from_str(data.get())
            .map_err(|_| Refusal::invalid("data", "must be an array of events"))?;
        if events.is_empty() || events.len() > MAX_EVENTS {
            return Err(Refusal::invalid("data", "must hold 1 to 1000 events"));
        }
        events
            .iter()
            .enumerate()
            .map(|(index, raw)| check_event(raw, clock).map_err(|refusal| refusal.at(index)))
            .collect()
    }

    /// The test event code, when there is one.
    pub(super) fn test_event_code(&self) -> Option<String> {
        self.text("test_event_code").ok().flatten()
    }

    fn text(&self, key: &str) -> Checked<Option<String>> {
        self.0
            .get(key)
            .map(|raw| {
                serde_json::from_str::<String>(raw.get())
                    .map_err(|_| Refusal::invalid(key, "must be text"))
            })
            .transpose()
    }
}

fn check_event(raw: &RawValue, clock: Clock) -> Checked<Arrival> {
    let value: Value = serde_json::from_str(raw.get())
        .map_err(|_| Refusal::invalid("data", "must be an array of events"))?;
    let event =
        value.as_object().ok_or_else(|| Refusal::invalid("data", "each event is an object"))?;
    known_keys(event, &EVENT_KEYS, "event")?;

    let name = required_text(event, "event_name")?;
    let id = text(event, "event_id")?;
    let source = required_text(event, "action_source")?;
    if !ACTION_SOURCES.contains(&source) {
        return Err(Refusal::invalid("action_source", "must be one of the documented values"));
    }
    let time = check_time(event, source, clock)?;
    check_source(event, source, name)?;
    text(event, "referrer_url")?;
    text(event, "advanced_measurement_table")?;
    check_segmentation(event)?;
    for key in ["original_event_data", "attribution_data"] {
        object(event, key)?;
    }
    if event.get("opt_out").is_some_and(|flag| !flag.is_boolean()) {
        return Err(Refusal::invalid("opt_out", "must be true or false"));
    }

    let user =
        object(event, "user_data")?.ok_or_else(|| Refusal::invalid("user_data", "is required"))?;
    check_user(user, time)?;
    check_processing(event, user)?;
    let money = check_custom(object(event, "custom_data")?, name)?;

    Ok(Arrival { raw: raw.to_owned(), name: name.to_owned(), id: id.map(str::to_owned), money })
}

fn check_time(event: &Object, source: &str, clock: Clock) -> Checked<i64> {
    let time = event
        .get("event_time")
        .ok_or_else(|| Refusal::invalid("event_time", "is required"))?
        .as_i64()
        .ok_or_else(|| Refusal::invalid("event_time", "must be whole seconds since 1970"))?;
    let max_age = if source == "physical_store" { MAX_AGE_STORE } else { MAX_AGE };
    if time < clock.now - max_age {
        return Err(Refusal::coded(
            2_804_003,
            "Event Timestamp Too Old",
            "event_time",
            "must lie within the last 7 days (62 days for physical_store)",
        ));
    }
    if time > clock.now + clock.max_future {
        return Err(Refusal::invalid("event_time", "must not lie in the future"));
    }
    Ok(time)
}

/// What each action source asks for besides itself.
fn check_source(event: &Object, source: &str, name: &str) -> Checked<()> {
    let url = text(event, "event_source_url")?;
    if url.is_some_and(|url| !is_web_address(url)) {
        return Err(Refusal::invalid("event_source_url", "must start with http:// or https://"));
    }
    let channel = text(event, "messaging_channel")?;
    let app = object(event, "app_data")?;
    match source {
        "website" if url.is_none() => {
            Err(Refusal::invalid("event_source_url", "is required for website events"))
        }
        "app" => check_app(app),
        "business_messaging" => {
            if !channel.is_some_and(|channel| MESSAGING_CHANNELS.contains(&channel)) {
                return Err(Refusal::coded(
                    2_804_063,
                    "Missing Messaging Channel",
                    "messaging_channel",
                    "is required for business_messaging events",
                ));
            }
            if !MESSAGING_EVENTS.contains(&name) {
                return Err(Refusal::coded(
                    2_804_066,
                    "Event Name Not Allowed",
                    "event_name",
                    "is not allowed for business_messaging events",
                ));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn check_app(app: Option<&Object>) -> Checked<()> {
    let app = app.ok_or_else(|| Refusal::invalid("app_data", "is required for app events"))?;
    for key in ["advertiser_tracking_enabled", "application_tracking_enabled"] {
        let flag = app.get(key);
        let is_flag = flag.is_some_and(|flag| flag.is_boolean() || is_one_of(flag, &[0, 1]));
        if !is_flag {
            return Err(Refusal::invalid(format!("app_data.{key}"), "must be 0 or 1"));
        }
    }
    let slots = app
        .get("extinfo")
        .and_then(Value::as_array)
        .filter(|slots| slots.len() == 16)
        .ok_or_else(|| Refusal::invalid("app_data.extinfo", "must be an array of 16 values"))?;
    if !slots[0].as_str().is_some_and(|version| matches!(version, "a2" | "i2")) {
        return Err(Refusal::invalid("app_data.extinfo", "must start with a2 or i2"));
    }
    if slots[4].as_str().is_none_or(str::is_empty) {
        return Err(Refusal::coded(
            2_804_043,
            "Missing OS Version",
            "app_data.extinfo",
            "the operating system's version must not be empty",
        ));
    }
    Ok(())
}

fn check_user(user: &Object, event_time: i64) -> Checked<()> {
    for (key, value) in user {
        let field = || format!("user_data.{key}");
        match key.as_str() {
            hashed if HASHED_KEYS.contains(&hashed) => {
                for digest in texts(value).ok_or_else(|| {
                    Refusal::invalid(field(), "must be text or a list of texts, not empty")
                })? {
                    check_digest(digest, key)?;
                }
            }
            "external_id" => {
                let ids = texts(value).filter(|ids| ids.iter().all(|id| !id.trim().is_empty()));
                ids.ok_or_else(|| Refusal::invalid(field(), "must be text or a list of texts"))?;
            }
            "client_ip_address" => {
                // A port, a blank or brackets make it no address.
                if value.as_str().is_none_or(|ip| ip.parse::<IpAddr>().is_err()) {
                    return Err(Refusal::invalid(field(), "must be an IPv4 or IPv6 address"));
                }
            }
            "fbc" => check_click_id(value, event_time)?,
            "fbp" => {
                let tail = |tail: &str| tail.bytes().all(|byte| byte.is_ascii_digit());
                value.as_str().and_then(|text| browser_id(text, tail)).ok_or_else(|| {
                    bad_click("user_data.fbp", "must be fb.<index>.<milliseconds>.<digits>")
                })?;
            }
            "fb_login_id" if value.is_u64() => {}
            "lead_id" => {
                let digits = match value {
                    Value::Number(number) => number.to_string(),
                    Value::String(text) => text.clone(),
                    _ => String::new(),
                };
                if !(15..=17).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit())
                {
                    return Err(Refusal::invalid(field(), "must have 15 to 17 digits"));
                }
            }
            clear if CLEAR_TEXT_KEYS.contains(&clear) => {
                if value.as_str().is_none_or(|text| text.trim().is_empty()) {
                    return Err(Refusal::invalid(field(), "must be text, not empty"));
                }
            }
            "fb_login_id" => return Err(Refusal::invalid(field(), "must be an integer")),
            _ => return Err(Refusal::invalid(field(), "is not a parameter of user_data")),
        }
    }
    if TOO_BROAD.iter().any(|group| user.keys().all(|key| group.contains(&key.as_str()))) {
        return Err(Refusal::coded(
            2_804_050,
            "Not Enough Customer Information",
            "user_data",
            "the customer information is missing or too broad to match anybody",
        ));
    }
    Ok(())
}

fn check_digest(text: &str, key: &str) -> Checked<()> {
    let field = || format!("user_data.{key}");
    // The vendor's own parameter builder adds an appendix of 2 or 8 characters.
    let (digest, appendix) = text.split_once('.').map_or((text, None), |(d, a)| (d, Some(a)));
    let is_digest =
        digest.len() == 64 && digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !is_digest || appendix.is_some_and(|appendix| !is_appendix(appendix)) {
        return Err(Refusal::coded(
            2_804_016,
            "Unhashed Customer Information",
            field(),
            "must be SHA-256 in 64 lower-case hex digits",
        ));
    }
    if digest == DIGEST_OF_NOTHING {
        return Err(Refusal::invalid(field(), "is the digest of an empty text"));
    }
    Ok(())
}

fn check_click_id(value: &Value, event_time: i64) -> Checked<()> {
    let clicked_at = value
        .as_str()
        .and_then(|text| browser_id(text, |tail| tail.bytes().all(is_base64url)))
        .ok_or_else(|| {
            bad_click("user_data.fbc", "must be fb.<index>.<milliseconds>.<click id>")
        })?;
    let event_ms = event_time.saturating_mul(1000);
    // event_time has whole seconds: a click within the same second is not later.
    if clicked_at < event_ms - CLICK_LIFE_MS || clicked_at >= event_ms + 1000 {
        return Err(bad_click(
            "user_data.fbc",
            "the click must lie within the 90 days before the event",
        ));
    }
    Ok(())
}

/// Splits `fb.<index>.<milliseconds>.<tail>[.<appendix>]` and answers the milliseconds.
fn browser_id(text: &str, tail_is_valid: impl Fn(&str) -> bool) -> Option<i64> {
    let parts: Vec<&str> = text.split('.').collect();
    let (head, appendix) = match parts.as_slice() {
        [head @ .., appendix] if parts.len() == 5 => (head, Some(*appendix)),
        head => (head, None),
    };
    let &["fb", index, millis, tail] = head else { return None };
    let well_formed = index.len() == 1
        && index.bytes().all(|b| b.is_ascii_digit())
        && millis.len() == 13
        && millis.bytes().all(|b| b.is_ascii_digit())
        && !tail.is_empty()
        && tail_is_valid(tail)
        && appendix.is_none_or(is_appendix);
    well_formed.then(|| millis.parse().ok()).flatten()
}

fn bad_click(field: &'static str, rule: &str) -> Refusal {
    Refusal::coded(2_804_001, "Invalid Click Identifier", field, rule)
}

/// Limited Data Use: `[]` or `["LDU"]`, the latter with country and state.
fn check_processing(event: &Object, user: &Object) -> Checked<()> {
    const COUNTRY: &str = "data_processing_options_country";
    const STATE: &str = "data_processing_options_state";
    let Some(options) = event.get("data_processing_options") else {
        for key in [COUNTRY, STATE] {
            if event.contains_key(key) {
                return Err(Refusal::invalid(key, "needs data_processing_options"));
            }
        }
        return Ok(());
    };
    let options = options
        .as_array()
        .filter(|options| options.len() <= 1 && options.iter().all(|option| option == "LDU"))
        .ok_or_else(|| Refusal::invalid("data_processing_options", "must be [] or [\"LDU\"]"))?;
    let country = event.get(COUNTRY);
    let state = event.get(STATE);
    if options.is_empty() && country.is_none() && state.is_none() {
        return Ok(());
    }
    let geolocated = country.is_some_and(|country| is_one_of(country, &[0]))
        && state.is_some_and(|state| is_one_of(state, &[0]));
    let states: Vec<i64> = (1000..=1013).collect();
    let explicit = country.is_some_and(|country| is_one_of(country, &[1]))
        && state.is_some_and(|state| is_one_of(state, &states));
    if !geolocated && !explicit {
        return Err(Refusal::invalid(
            "data_processing_options",
            "needs country 0 and state 0, or country 1 and a state",
        ));
    }
    if geolocated && !options.is_empty() && !user.contains_key("client_ip_address") {
        return Err(Refusal::invalid(
            "data_processing_options_state",
            "must be given without an IP address",
        ));
    }
    Ok(())
}

fn check_custom(custom: Option<&Object>, name: &str) -> Checked<Option<(String, Decimal)>> {
    let nothing = Object::new();
    let custom = custom.unwrap_or(&nothing);
    let currency = text(custom, "currency")?.map(str::to_ascii_uppercase);
    let currency_known = currency
        .as_deref()
        .is_none_or(|code| code.len() == 3 && CURRENCIES.split(' ').any(|known| known == code));
    if name == "Purchase" && currency.is_none() || !currency_known {
        return Err(Refusal::coded(
            2_804_010,
            "Missing Currency",
            "custom_data.currency",
            "a purchase needs an ISO 4217 code",
        ));
    }
    let value = match custom.get("value") {
        Some(Value::Number(number)) => Some(
            Decimal::parse(&number.to_string())
                .ok_or_else(|| Refusal::invalid("custom_data.value", "is out of range"))?,
        ),
        Some(_) => return Err(no_value()),
        None => None,
    };
    if name == "Purchase" && value.is_none() {
        return Err(no_value());
    }
    check_segmentation(custom)?;
    check_contents(custom)?;
    Ok(currency.zip(value))
}

/// Documented beside `custom_data`, shown inside it: taken in both places.
fn check_segmentation(of: &Object) -> Checked<()> {
    const KINDS: [&str; 4] = ["business", "business_line", "product_area", "medium"];
    let Some(segment) = text(of, "customer_segmentation")? else { return Ok(()) };
    let kind = segment
        .strip_prefix("new_customer_to_")
        .or_else(|| segment.strip_prefix("existing_customer_to_"));
    if segment == "customer_in_loyalty_program" || kind.is_some_and(|kind| KINDS.contains(&kind)) {
        return Ok(());
    }
    Err(Refusal::invalid("customer_segmentation", "must be one of the documented values"))
}

fn no_value() -> Refusal {
    Refusal::coded(2_804_009, "Missing Value", "custom_data.value", "a purchase needs a number")
}

fn check_contents(custom: &Object) -> Checked<()> {
    for key in
        ["order_id", "content_name", "content_category", "search_string", "status", "item_number"]
    {
        if custom.get(key).is_some_and(|value| !value.is_string()) {
            return Err(Refusal::invalid(format!("custom_data.{key}"), "must be text"));
        }
    }
    for key in ["predicted_ltv", "net_revenue"] {
        if custom.get(key).is_some_and(|value| !value.is_number()) {
            return Err(Refusal::invalid(format!("custom_data.{key}"), "must be a number"));
        }
    }
    if custom.get("num_items").is_some_and(|count| !count.is_u64()) {
        return Err(Refusal::invalid("custom_data.num_items", "must be a whole number"));
    }
    let kind = text(custom, "content_type")?;
    if kind.is_some_and(|kind| !matches!(kind, "product" | "product_group")) {
        return Err(Refusal::invalid(
            "custom_data.content_type",
            "must be product or product_group",
        ));
    }
    if let Some(ids) = custom.get("content_ids")
        && !ids.as_array().is_some_and(|ids| ids.iter().all(Value::is_string))
    {
        return Err(Refusal::invalid("custom_data.content_ids", "must be a list of texts"));
    }
    check_category(custom)?;
    let Some(contents) = custom.get("contents") else { return Ok(()) };
    let contents = contents
        .as_array()
        .ok_or_else(|| Refusal::invalid("custom_data.contents", "must be a list of objects"))?;
    for item in contents {
        let item = item
            .as_object()
            .ok_or_else(|| Refusal::invalid("custom_data.contents", "must be a list of objects"))?;
        if item.get("id").and_then(Value::as_str).is_none_or(str::is_empty) {
            return Err(Refusal::invalid("custom_data.contents", "each item needs an id as text"));
        }
        if item.get("quantity").is_some_and(|quantity| !quantity.is_u64()) {
            return Err(Refusal::invalid("custom_data.contents", "quantity is a whole number"));
        }
        if item.get("item_price").is_some_and(|price| !price.is_number()) {
            return Err(Refusal::invalid("custom_data.contents", "item_price is a number"));
        }
        check_category(item)?;
    }
    Ok(())
}

fn check_category(of: &Object) -> Checked<()> {
    let category = text(of, "delivery_category")?;
    if category.is_some_and(|c| !matches!(c, "in_store" | "curbside" | "home_delivery")) {
        return Err(Refusal::invalid("delivery_category", "must be one of the documented values"));
    }
    Ok(())
}

fn known_keys(of: &Object, known: &[&str], what: &str) -> Checked<()> {
    match of.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(Refusal::invalid(key.as_str(), &format!("is not a parameter of {what}"))),
        None => Ok(()),
    }
}

/// An optional text. Null, blank and any other type are refused: absent means left out.
fn text<'v>(of: &'v Object, key: &str) -> Checked<Option<&'v str>> {
    match of.get(key) {
        None => Ok(None),
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(Some(text)),
        Some(_) => Err(Refusal::invalid(key, "must be text, not empty")),
    }
}

fn required_text<'v>(of: &'v Object, key: &str) -> Checked<&'v str> {
    text(of, key)?.ok_or_else(|| Refusal::invalid(key, "is required"))
}

fn object<'v>(of: &'v Object, key: &str) -> Checked<Option<&'v Object>> {
    match of.get(key) {
        None => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(Refusal::invalid(key, "must be an object")),
    }
}

/// One text or a list of texts, never none.
fn texts(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(text) => Some(vec![text]),
        Value::Array(list) if !list.is_empty() => list.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

fn is_one_of(value: &Value, numbers: &[i64]) -> bool {
    value.as_i64().is_some_and(|number| numbers.contains(&number))
}

fn is_web_address(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
}

fn is_appendix(text: &str) -> bool {
    matches!(text.len(), 2 | 8) && text.bytes().all(is_base64url)
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}
