//! Owns what an app's event tells of the app and the device.

use serde_json::Value;

use super::shape::{Fields, Shape};
use crate::refusal::Checked;

const KEYS: &[(&str, Shape)] = &[
    ("advertiser_tracking_enabled", Shape::FlagOrBit),
    ("application_tracking_enabled", Shape::FlagOrBit),
    ("extinfo", Shape::Any),
    // Text in the vendor's SDK, where these two hold several values by their names.
    ("campaign_ids", Shape::TextOrTexts),
    ("url_schemes", Shape::TextOrTexts),
    ("install_referrer", Shape::Text),
    ("installer_package", Shape::Text),
    ("vendor_id", Shape::Text),
    ("windows_attribution_id", Shape::Text),
    ("consider_views", Shape::FlagOrBit),
    ("include_dwell_data", Shape::FlagOrBit),
    ("include_video_data", Shape::FlagOrBit),
    ("receipt_data", Shape::Text),
];

const REQUIRED: &[&str] =
    &["advertiser_tracking_enabled", "application_tracking_enabled", "extinfo"];

const SLOTS: usize = 16;
const VERSION: usize = 0;
const OS_VERSION: usize = 4;

/// Judges `app_data`, which events of other sources may leave out.
pub(super) fn check(event: Fields<'_>, source: &str) -> Checked<()> {
    let is_app = source == "app";
    let Some(app) = event.object("app_data", "app_data.") else {
        return if is_app {
            Err(event.refuse("app_data", "is required for app events"))
        } else {
            Ok(())
        };
    };
    app.conform(KEYS)?;
    if is_app {
        app.require(REQUIRED, "is required for app events")?;
    }
    match app.value("extinfo") {
        Some(extinfo) => check_device(app, extinfo, is_app),
        None => Ok(()),
    }
}

fn check_device(app: Fields<'_>, extinfo: &Value, is_app: bool) -> Checked<()> {
    let slots = extinfo
        .as_array()
        .filter(|slots| slots.len() == SLOTS)
        .ok_or_else(|| app.refuse("extinfo", "must be an array of 16 values"))?;
    // The vendor's SDK sends null in the slots that nobody filled.
    if !slots.iter().all(|slot| slot.is_string() || slot.is_number() || slot.is_null()) {
        return Err(app.refuse("extinfo", "must hold texts and numbers only"));
    }
    if !slots[VERSION].as_str().is_some_and(|version| matches!(version, "a2" | "i2")) {
        return Err(app.refuse("extinfo", "must start with a2 or i2"));
    }
    let has_no_os = match &slots[OS_VERSION] {
        Value::String(version) => version.trim().is_empty(),
        other => other.is_null(),
    };
    if is_app && has_no_os {
        let rule = "the operating system's version must not be empty";
        return Err(app.refuse_as(2_804_043, "extinfo", rule));
    }
    Ok(())
}
