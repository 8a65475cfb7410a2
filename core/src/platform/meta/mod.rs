//! Meta: the Conversions API of Facebook and Instagram.
//!
//! It wants a POST of up to 1,000 events as JSON to `/{version}/{pixel}/events` and answers with
//! the number of events it took (<https://developers.facebook.com/documentation/ads-commerce/conversions-api>).
//! A Conversions API Gateway takes the same body at `/capi/{pixel}/events`, without a version.
//!
//! Quirks, read 2026-09-12 unless a constant says otherwise:
//! - One bad event refuses the whole request and nothing in it is processed. So whatever Meta is
//!   known to refuse is found here first, by `fit`, and what it wants as text or number goes so.
//! - Event names are case-sensitive: `purchase` silently becomes a custom event.
//! - Only numeric codes mean anything: the texts change and come in the token owner's language.
//! - Duplicates are dropped by pixel, event name and event id, within 48 hours of the first copy. So a
//!   request whose answer was lost may safely go again for two days; later it may count twice.
//!   Events of messages are not dropped as duplicates at all, by accounts of others (2026-11-21).
//! - The Bearer header is not documented for this edge, but serves in production elsewhere and
//!   keeps the token out of URLs and bodies.
//!
//! Left out, because no page of Meta's documents them: the keys `f5first`, `f5last`, `fi`, `dobd`,
//! `dobm`, `doby` and `app_user_id` of customer information, `advanced_measurement_table` of the
//! event, `consider_views`, `include_dwell_data`, `include_video_data` and `receipt_data` of app
//! data, and `platforms`, `progress` and `trace` of the request. They stand in generated SDKs only.
//!
//! One file per idea: `settings` and `version`, `fit` (what is never sent, and why), `body` with its
//! parts `user_data`, `custom_data` and `privacy`, `answer` with `usage` and `codes`; `audience` is
//! the other edge that is used, of lists of people.

mod answer;
mod audience;
mod body;
mod codes;
mod custom_data;
mod fit;
pub(crate) mod pixel;
mod privacy;
mod settings;
mod usage;
mod user_data;
mod version;
mod words;

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Map, Value};

use super::facts::Platform;
use crate::destination::filter::Takes;
use crate::destination::{
    ApiVersion, CredentialSlot, Destination, Plan, Reason, Request, Response, SettingsError, Spec,
    Unfit, Verdict,
};
use crate::event::Event;
pub(super) use settings::ENDPOINT;
use settings::Settings;

pub(super) use audience::{BATCH_LIMIT as AUDIENCE_BATCH_LIMIT, List as Audience};
pub use fit::STANDARD_EVENTS;
pub(super) use fit::max_age;

/// What is known of it whatever the settings.
pub(super) static PLATFORM: Platform = Platform {
    name: words::NAME,
    title: "Meta Conversions API",
    spec: &SPEC,
    sample: r#"{"pixel_id": "1234567890"}"#,
    tag_id: Some("pixel_id"),
    endpoints: &[ENDPOINT],
    build,
    max_age,
    unfit,
    explain,
    takes: Takes::USUAL,
};

/// Fixed facts. The limit of 1,000 events: `…/conversions-api/using-the-api`, read 2026-09-12.
static SPEC: Spec = Spec {
    platform: words::NAME,
    batch_limit: 1_000,
    credential: CredentialSlot::Bearer,
    documentation: "https://developers.facebook.com/documentation/ads-commerce/conversions-api",
};

/// The Conversions API of one pixel.
#[derive(Debug)]
struct Meta {
    settings: Settings,
}

/// Builds a destination from its settings.
pub fn build(settings: &Value) -> Result<Box<dyn Destination>, SettingsError> {
    Ok(Box::new(Meta { settings: settings::read(settings)? }))
}

/// What a reason of this platform means and the way out: a code of Meta's such as `100/2804003`,
/// or a word of this module's such as `missing_currency`.
pub(super) fn explain(reason: &str) -> Option<&'static str> {
    fit::explain(reason).or_else(|| answer::explain(reason)).or_else(|| codes::explain(reason))
}

impl Destination for Meta {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn api_version(&self) -> Option<ApiVersion> {
        self.settings.version().map(version::about)
    }

    fn is_about_credential(&self, reason: &str) -> bool {
        codes::is_about_credential(reason)
    }

    fn max_age(&self, event: &Event) -> Duration {
        max_age(event)
    }

    fn unfit(&self, event: &Event) -> Option<Unfit> {
        fit::misfit(event, &self.settings).map(|reason| Unfit::Refused(Reason::new(reason)))
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
        let request = |part: &[usize]| {
            let body = body::body(events, part, &self.settings);
            Request::of(self.settings.url(), body, part.to_vec())
        };
        plan.requests = fit.chunks(SPEC.batch_limit).map(request).collect();
        plan
    }

    fn verdict(&self, events: &[Event], answer: &Response) -> Verdict {
        answer::verdict(events.len(), answer)
    }

    /// Needs a code of the Test Events tool, or the setting of that name.
    fn test_request(&self, events: &[Event], code: Option<&str>) -> Option<Request> {
        let code = code.or(self.settings.test_event_code.as_deref())?;
        let mut request = self.plan(events).requests.into_iter().next()?;
        request.body["test_event_code"] = code.into();
        Some(request)
    }
}

/// Why Meta can never take an event, whatever the settings.
pub(super) fn unfit(event: &Event) -> Option<Unfit> {
    /// Settings that ask for nothing.
    static PLAIN: LazyLock<Option<Settings>> =
        LazyLock::new(|| settings::read(&serde_json::json!({"pixel_id": "1"})).ok());
    let reason = fit::misfit(event, PLAIN.as_ref()?)?;
    Some(Unfit::Refused(Reason::new(reason)))
}

/// What of an event the pixel on the page says.
pub(crate) struct PageHalf {
    /// One digest per identifier: the pixel takes no lists.
    pub(crate) user_data: Map<String, Value>,
    /// As the server sends it.
    pub(crate) custom_data: Map<String, Value>,
    /// Arguments of `dataProcessingOptions`, where the event or the settings limit its use.
    pub(crate) data_processing: Option<Vec<Value>>,
}

/// The pixel's half of an event, or why the server sends none either. Who it was the browser knows
/// by its own cookies, so it fires where the server lacks an identity.
pub(crate) fn page_half(event: &Event, settings: &Value) -> Result<PageHalf, &'static str> {
    let settings = settings::read(settings).map_err(|_| "settings")?;
    match fit::misfit(event, &settings) {
        None | Some("missing_identity" | "insufficient_identity") => {}
        Some(reason) => return Err(reason),
    }
    let user_data = user_data::digests(event).filter_map(|(key, list)| Some((key, list.first()?)));
    Ok(PageHalf {
        user_data: user_data
            .map(|(key, digest)| (key.to_owned(), digest.as_str().into()))
            .collect(),
        custom_data: custom_data::custom_data(event).to_map(),
        data_processing: privacy::of(event, &settings)?.map(privacy::DataProcessing::arguments),
    })
}

#[cfg(test)]
mod tests;
