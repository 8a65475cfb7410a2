//! Advertising platforms: what each accepts and what its answers mean. One folder per platform.

use std::time::Duration;

use serde_json::Value;

use crate::destination::filter;
use crate::destination::http_status;
use crate::destination::reason::REASONS;
use crate::destination::{Destination, SettingsError, Spec, Unfit};
use crate::event::Event;
use crate::pixel::half::Build;
use crate::pixel::tag;
use facts::Platform;

pub mod audience;
mod facts;
pub(crate) mod ga4;
pub(crate) mod google;
pub(crate) mod google_ads;
pub(crate) mod linkedin;
pub mod meta;
pub(crate) mod pinterest;
pub(crate) mod reddit;
pub(crate) mod snapchat;
pub(crate) mod tiktok;
pub mod webhook;

/// Every platform that this build can send to, and what it wants on the page; none where it has no tag.
const PLATFORMS: &[(&Platform, Option<Build>)] = &[
    (&meta::PLATFORM, Some(meta::pixel::half)),
    (&tiktok::PLATFORM, Some(tiktok::pixel::half)),
    (&ga4::PLATFORM, Some(ga4::pixel::half)),
    (&google_ads::PLATFORM, Some(google_ads::pixel::half)),
    (&pinterest::PLATFORM, Some(pinterest::pixel::half)),
    (&snapchat::PLATFORM, Some(snapchat::pixel::half)),
    (&reddit::PLATFORM, Some(reddit::pixel::half)),
    (&linkedin::PLATFORM, Some(linkedin::pixel::half)),
    (&webhook::PLATFORM, None),
];

/// Builds the destination of a platform from its settings. The setting `tag` is the pixel's, and
/// no platform's own.
pub fn build(platform: &str, settings: &Value) -> Result<Box<dyn Destination>, SettingsError> {
    let known = find(platform);
    let known =
        known.ok_or_else(|| SettingsError::UnknownPlatform { known: platforms().join(", ") })?;
    tag::check(settings)?;
    let (filter, own) = filter::take(&tag::without(settings), known.takes)?;
    Ok(filter.around((known.build)(&own)?))
}

/// What the browser's half is made of: the event as the settings of the destination shape it, and
/// the platform's own settings. A reason where the server sends nothing, or a value that is not for
/// the page.
pub(crate) fn for_page(
    platform: &str,
    settings: &Value,
    event: &Event,
) -> Result<Result<(Event, Value), &'static str>, SettingsError> {
    let known = find(platform);
    let known =
        known.ok_or_else(|| SettingsError::UnknownPlatform { known: platforms().join(", ") })?;
    let (filter, own) = filter::take(&tag::without(settings), known.takes)?;
    Ok(filter.for_page(event).map(|event| (event, own)))
}

/// Oldest age at which a platform takes an event, whatever the settings; `None` for no platform.
pub fn max_age_of(platform: &str, event: &Event) -> Option<Duration> {
    find(platform).map(|known| (known.max_age)(event))
}

/// Why a platform can never take an event, whatever the settings; see [`Destination::unfit`].
pub fn unfit_of(platform: &str, event: &Event) -> Option<Unfit> {
    let known = find(platform)?;
    filter::unfit(known.takes, event).or_else(|| (known.unfit)(event))
}

/// What the reason of a receipt or batch means, in one sentence with the way out; `None` for a
/// reason that nobody knows. Covers the platform's own codes, such as `100/2804003`, and the words
/// of this program, such as `missing_currency`.
pub fn explain(platform: &str, reason: &str) -> Option<&'static str> {
    let known = REASONS.iter().find(|(known, _)| *known == reason).map(|(_, text)| *text);
    known
        .or_else(|| find(platform).and_then(|platform| (platform.explain)(reason)))
        .or_else(|| find(platform).and_then(|_| http_status::explain(reason)))
}

/// The vendor's own endpoints of a platform; none where it is whoever has the destination.
pub fn vendor_endpoints(platform: &str) -> &'static [&'static str] {
    find(platform).map_or(&[], |known| known.endpoints)
}

/// Where the requests of a destination go: the endpoint of its settings, or the vendor's.
pub fn endpoint_of<'a>(platform: &str, settings: &'a Value) -> Option<&'a str> {
    let named = settings.get("endpoint").and_then(Value::as_str);
    named.or_else(|| vendor_endpoints(platform).first().copied())
}

/// Names of the known platforms.
pub fn platforms() -> Vec<&'static str> {
    PLATFORMS.iter().map(|(known, _)| known.name).collect()
}

/// Limits, credential and documentation of a platform.
pub fn spec(platform: &str) -> Option<&'static Spec> {
    find(platform).map(|known| known.spec)
}

/// What a platform is called for people.
pub fn title(platform: &str) -> Option<&'static str> {
    find(platform).map(|known| known.title)
}

/// Settings of an example: every event that needs an id has one, and so has the tag.
pub fn sample(platform: &str) -> Option<Value> {
    serde_json::from_str(find(platform)?.sample).ok()
}

/// Whether a platform has a tag for the page.
pub fn has_tag(platform: &str) -> bool {
    tag_of(platform).is_some()
}

/// How a platform's half of a page is made, and which of its settings is the tag's id too.
pub(crate) fn tag_of(platform: &str) -> Option<(Build, Option<&'static str>)> {
    let (known, half) = PLATFORMS.iter().find(|(known, _)| known.name == platform)?;
    Some(((*half)?, known.tag_id))
}

pub(crate) fn find(platform: &str) -> Option<&'static Platform> {
    PLATFORMS.iter().map(|(known, _)| *known).find(|known| known.name == platform)
}

#[cfg(test)]
pub(crate) mod tests;
