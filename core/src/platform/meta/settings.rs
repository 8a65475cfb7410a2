//! Settings of a Meta destination, and the URL that they make.

use serde::Deserialize;
use serde_json::Value;

use super::{version, words};
use crate::destination::settings::{Shape, broken, shapes};
use crate::destination::{SettingsError, check_endpoint};

/// Where the events go unless the settings name another place.
pub(crate) const ENDPOINT: &str = "https://graph.facebook.com";

/// Last part of a Conversions API Gateway's path. A Gateway has no version:
/// Meta's page on non-web-server events of the Gateway products, read 2026-09-12.
const GATEWAY: &str = "/capi";

/// A partner agent has fewer characters than this: `…/conversions-api/best-practices`,
/// read 2026-09-12.
const PARTNER_AGENT_BELOW: usize = 23;

/// Letters that a partner agent has at least; same page.
const PARTNER_AGENT_LETTERS: usize = 2;

/// Longest label of a request. Meta publishes no limit.
const LONGEST_LABEL: usize = 100;

/// Settings of one destination.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// Id of the pixel or dataset; digits. Required.
    pixel_id: String,
    /// Graph API version, e.g. `v26.0`; default: the newest stable one. None with a Gateway.
    api_version: Option<String>,
    /// Scheme and host in front of the version; default `https://graph.facebook.com`. With a path
    /// that ends in `/capi` it is a Conversions API Gateway, whose URLs have no version.
    #[serde(default = "default_endpoint")]
    endpoint: String,
    /// Code of the Test Events tool. Meta still uses such events for targeting and measurement.
    pub(super) test_event_code: Option<String>,
    /// Names the sender in Meta's statistics.
    pub(super) partner_agent: Option<String>,
    /// Scope in which external ids are resolved.
    pub(super) namespace_id: Option<String>,
    /// Names one set of uploads.
    pub(super) upload_id: Option<String>,
    /// Label for following offline uploads.
    pub(super) upload_tag: Option<String>,
    /// Where the uploaded data came from.
    pub(super) upload_source: Option<String>,
    /// Limited Data Use for events that say nothing themselves.
    #[serde(default)]
    pub(super) limited_data_use: bool,
    /// Meta's number of the state for such events; without it Meta finds out the place by the
    /// customer's IP address.
    pub(super) limited_data_use_state: Option<i64>,
}

fn default_endpoint() -> String {
    ENDPOINT.to_owned()
}

/// Every setting.
const KNOWN: &[(&str, Shape)] = &[
    ("pixel_id", Shape::Text),
    ("api_version", Shape::TextOrNull),
    ("endpoint", Shape::Text),
    ("test_event_code", Shape::TextOrNull),
    ("partner_agent", Shape::TextOrNull),
    ("namespace_id", Shape::TextOrNull),
    ("upload_id", Shape::TextOrNull),
    ("upload_tag", Shape::TextOrNull),
    ("upload_source", Shape::TextOrNull),
    ("limited_data_use", Shape::Boolean),
    ("limited_data_use_state", Shape::WholeOrNull),
];

impl Settings {
    /// Where the requests go, without credential.
    pub(super) fn url(&self) -> String {
        let Self { endpoint, pixel_id, .. } = self;
        match self.version() {
            Some(version) => format!("{endpoint}/{version}/{pixel_id}/events"),
            None => format!("{endpoint}/{pixel_id}/events"),
        }
    }

    /// The edge `/{object}/users` of a custom audience; a Gateway has none.
    pub(super) fn audience_url(&self, audience_id: &str) -> Option<String> {
        let version = self.version()?;
        Some(format!("{}/{version}/{audience_id}/users", self.endpoint))
    }

    /// The version in the URL; a Gateway has none.
    pub(super) fn version(&self) -> Option<&str> {
        let named = self.api_version.as_deref();
        (!is_gateway(&self.endpoint)).then(|| named.unwrap_or(version::DEFAULT))
    }
}

fn is_gateway(endpoint: &str) -> bool {
    endpoint.to_ascii_lowercase().ends_with(GATEWAY)
}

/// Reads and checks the settings. No error quotes a value: it may be a token in the wrong place,
/// and so may an unknown key.
pub(super) fn read(settings: &Value) -> Result<Settings, SettingsError> {
    let object = shapes(settings, KNOWN)?;
    if !object.contains_key("pixel_id") {
        return Err(broken("pixel_id", "is required"));
    }
    let mut settings = Settings::deserialize(settings)
        .map_err(|_| broken("settings", "must be the settings of a meta destination"))?;
    settings.endpoint.truncate(settings.endpoint.trim_end_matches('/').len());
    check(&settings)?;
    Ok(settings)
}

fn check(settings: &Settings) -> Result<(), SettingsError> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(&settings.pixel_id) || settings.pixel_id.len() > 20 {
        return Err(broken("pixel_id", "must be the digits of a pixel or dataset id"));
    }
    check_address(settings)?;
    if settings.test_event_code.as_deref().is_some_and(|code| !is_code(code)) {
        return Err(broken("test_event_code", "must be letters and digits"));
    }
    if settings.partner_agent.as_deref().is_some_and(|agent| !is_partner_agent(agent)) {
        let rule = "must have fewer than 23 characters, at least two letters, and nothing but \
                    printable ASCII";
        return Err(broken("partner_agent", rule));
    }
    for (key, label) in [
        ("namespace_id", &settings.namespace_id),
        ("upload_id", &settings.upload_id),
        ("upload_tag", &settings.upload_tag),
        ("upload_source", &settings.upload_source),
    ] {
        if label.as_deref().is_some_and(|label| !is_label(label)) {
            return Err(broken(key, "must be a printable text of 1 to 100 bytes"));
        }
    }
    if settings.limited_data_use_state.is_some_and(|state| !words::is_state(state)) {
        let rule = "must be Meta's number of a state of the USA, 1000 to 1013; null lets Meta \
                    locate";
        return Err(broken("limited_data_use_state", rule));
    }
    if settings.limited_data_use_state.is_some() && !settings.limited_data_use {
        return Err(broken("limited_data_use_state", "needs limited_data_use to be true"));
    }
    Ok(())
}

/// Endpoint and version, which only make sense together.
fn check_address(settings: &Settings) -> Result<(), SettingsError> {
    let Settings { endpoint, api_version, .. } = settings;
    check_endpoint(endpoint).map_err(|rule| broken("endpoint", rule))?;
    if endpoint.rsplit('/').next().is_some_and(|last| {
        version::is_version(&last.to_ascii_lowercase()) || last.eq_ignore_ascii_case("events")
    }) {
        let rule = "must end before version and pixel; the version goes into api_version";
        return Err(broken("endpoint", rule));
    }
    match api_version {
        Some(_) if is_gateway(endpoint) => {
            let rule = "must be null or missing: the endpoint ends in /capi, so it is a \
                        Conversions API Gateway, and a Gateway has no version";
            Err(broken("api_version", rule))
        }
        Some(version) if !version::is_version(version) => {
            Err(broken("api_version", "must look like v26.0"))
        }
        _ => Ok(()),
    }
}

fn is_code(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(words::is_code_byte)
}

fn is_partner_agent(text: &str) -> bool {
    text.len() < PARTNER_AGENT_BELOW
        && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
        && text.bytes().filter(u8::is_ascii_alphabetic).count() >= PARTNER_AGENT_LETTERS
}

fn is_label(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= LONGEST_LABEL && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn url(settings: &Value) -> String {
        read(settings).expect("settings").url()
    }

    #[test]
    fn a_gateway_is_told_by_its_path_and_has_no_version() {
        assert_eq!(url(&json!({"pixel_id": "7"})), "https://graph.facebook.com/v26.0/7/events");
        for (endpoint, expected) in [
            ("https://gw.example.com/capi", "https://gw.example.com/capi/7/events"),
            ("https://gw.example.com/capi//", "https://gw.example.com/capi/7/events"),
            ("https://gw.example.com/CAPI", "https://gw.example.com/CAPI/7/events"),
            ("https://gw.example.com/x/capi/", "https://gw.example.com/x/capi/7/events"),
            ("https://gw.example.com", "https://gw.example.com/v26.0/7/events"),
            ("https://gw.example.com/mycapi", "https://gw.example.com/mycapi/v26.0/7/events"),
        ] {
            assert_eq!(url(&json!({"pixel_id": "7", "endpoint": endpoint})), expected);
        }
        let both = json!({"pixel_id": "7", "endpoint": "https://gw.example.com/capi",
            "api_version": "v26.0"});
        let error = read(&both).expect_err("a Gateway has no version").to_string();
        assert!(error.starts_with("setting api_version: must be null"), "{error}");
        let null = json!({"pixel_id": "7", "endpoint": "https://gw.example.com/capi",
            "api_version": null});
        assert_eq!(read(&null).expect("settings").version(), None);
    }

    #[test]
    fn settings_that_are_none_are_refused_without_their_value() {
        let secret = "EAAGsecret";
        let one = |key: &str, value: Value| {
            let mut settings = json!({"pixel_id": "1"});
            settings[key] = value;
            settings
        };
        for (settings, key) in [
            (json!([]), "settings"),
            (json!({}), "pixel_id"),
            (one("pixel_id", json!(12)), "pixel_id"),
            (one("pixel_id", json!(secret)), "pixel_id"),
            (one("pixel_id", json!("")), "pixel_id"),
            (one("access_token", json!(secret)), "access_token"),
            (one(secret, json!("access_token")), "settings"),
            (one(&"x".repeat(41), json!("")), "settings"),
            (one("", json!("")), "settings"),
            (one("api_version", json!(secret)), "api_version"),
            (one("api_version", json!("v2/../x.0")), "api_version"),
            (one("limited_data_use", json!(secret)), "limited_data_use"),
            (one("test_event_code", json!("a b")), "test_event_code"),
            (one("partner_agent", json!("x-1")), "partner_agent"),
            (one("partner_agent", json!("twenty-three-characters")), "partner_agent"),
            (one("partner_agent", json!("agent\n")), "partner_agent"),
            (one("upload_tag", json!(" ")), "upload_tag"),
            (one("upload_id", json!(12)), "upload_id"),
            (one("upload_source", json!("x".repeat(101))), "upload_source"),
            (one("namespace_id", json!("\u{7}")), "namespace_id"),
            (one("limited_data_use_state", json!("CA")), "limited_data_use_state"),
            (one("limited_data_use_state", json!(1000)), "limited_data_use_state"),
            (
                json!({"pixel_id": "1", "limited_data_use": true, "limited_data_use_state": 999}),
                "limited_data_use_state",
            ),
            (one("endpoint", json!("http://example.com")), "endpoint"),
            (one("endpoint", json!("http://127.0.0.1.example.com")), "endpoint"),
            (one("endpoint", json!("https://u:p@example.com")), "endpoint"),
            (one("endpoint", json!("https://example.com?access_token=x")), "endpoint"),
            (one("endpoint", json!("https://")), "endpoint"),
            (one("endpoint", json!("http://[::1].evil.example")), "endpoint"),
            (one("endpoint", json!("http://[::1")), "endpoint"),
            (one("endpoint", json!("https://[graph]")), "endpoint"),
            (one("endpoint", json!("https://graph.facebook.com:99999")), "endpoint"),
            (one("endpoint", json!("https://graph.facebook.com:0")), "endpoint"),
            (one("endpoint", json!("https://graph.facebook.com:+443")), "endpoint"),
            (one("endpoint", json!("https://graph.facebook.com:443:1")), "endpoint"),
            (one("endpoint", json!("https://graph%2efacebook.com")), "endpoint"),
            (one("endpoint", json!("ftp://example.com")), "endpoint"),
            (one("endpoint", json!("https://graph.facebook.com/v26.0")), "endpoint"),
            (one("endpoint", json!("https://graph.facebook.com/V26.0")), "endpoint"),
            (one("endpoint", json!("https://gw.example.com/capi/1/events")), "endpoint"),
            (one("endpoint", json!("https://gw.example.com/capi/1/Events")), "endpoint"),
        ] {
            let error = read(&settings).expect_err(key).to_string();
            assert!(error.starts_with(&format!("setting {key}:")), "{error}");
            assert!(!error.contains(secret), "{error}");
        }
        for endpoint in ["http://localhost:1", "http://[::1]:1", "https://gw.example.com/capi"] {
            read(&json!({"pixel_id": "1", "endpoint": endpoint})).expect(endpoint);
        }
    }
}
