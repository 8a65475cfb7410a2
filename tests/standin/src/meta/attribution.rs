//! Owns events about other events: what they amend, and how they attribute it.

use super::clock::Clock;
use super::shape::{Fields, Shape};
use crate::refusal::Checked;

const ORIGINAL_KEYS: &[(&str, Shape)] = &[
    ("event_name", Shape::Text),
    ("event_time", Shape::Whole),
    ("order_id", Shape::Text),
    ("event_id", Shape::Text),
];

const KEYS: &[(&str, Shape)] = &[
    ("scope", Shape::Text),
    ("visit_time", Shape::Whole),
    ("ad_id", Shape::Text),
    ("adset_id", Shape::Text),
    ("campaign_id", Shape::Text),
    ("attribution_share", Shape::Number),
    (
        "attribution_model",
        Shape::OneOf(&[
            "customized_multi_touch",
            "first_touch",
            "last_click",
            "last_touch",
            "linear",
            "position_based",
            "time_decay",
            "unknown",
        ]),
    ),
    ("attr_window", Shape::Whole),
    ("attribution_value", Shape::Number),
    ("attribution_source", Shape::Text),
    ("touchpoint_type", Shape::Text),
    ("touchpoint_ts", Shape::Whole),
    (
        "attribution_method",
        Shape::OneOf(&["ard", "deeplink", "gpir", "invalid_response", "mir", "srn"]),
    ),
    ("decline_reason", Shape::Text),
    ("auditing_token", Shape::Text),
    ("linkage_key", Shape::Text),
    ("touchpoint_id", Shape::Text),
    ("attribution_setting", Shape::Object),
    ("total_credit", Shape::Number),
    ("partner_client_id", Shape::Text),
];

const SETTING_KEYS: &[(&str, Shape)] =
    &[("inactivity_window_hours", Shape::Count), ("reattribution_window_hours", Shape::Count)];

/// What the event that appends an attribution cannot do without.
const APPEND_NEEDS: &[&str] = &["ad_id", "touchpoint_ts", "attribution_share", "attribution_value"];

/// How long after the original event an attribution may be appended, in seconds.
const APPEND_WINDOW: i64 = 48 * 3600;

/// Judges `original_event_data` and `attribution_data`.
pub(super) fn check(event: Fields<'_>, name: &str, clock: Clock) -> Checked<()> {
    let original = event.object("original_event_data", "original_event_data.");
    if let Some(original) = original {
        original.conform(ORIGINAL_KEYS)?;
    }
    let attribution = event.object("attribution_data", "attribution_data.");
    if let Some(attribution) = attribution {
        attribution.conform(KEYS)?;
        let path = "attribution_data.attribution_setting.";
        if let Some(setting) = attribution.object("attribution_setting", path) {
            setting.conform(SETTING_KEYS)?;
        }
    }
    if name != "AppendAttribution" {
        return Ok(());
    }
    let rule = "is required for AppendAttribution";
    attribution
        .ok_or_else(|| event.refuse("attribution_data", rule))?
        .require(APPEND_NEEDS, rule)?;
    let original = original
        .filter(|original| !original.is_empty())
        .ok_or_else(|| event.refuse("original_event_data", rule))?;
    if original.whole("event_time").is_some_and(|time| time < clock.now - APPEND_WINDOW) {
        return Err(original.refuse("event_time", "must lie within the last 48 hours"));
    }
    Ok(())
}
