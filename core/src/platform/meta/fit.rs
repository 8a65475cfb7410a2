//! What Meta would refuse, found before it is sent, and the way out.
//!
//! One bad event refuses the whole request, so each is judged alone and leaves its reason.

use std::time::Duration;

use serde_json::Value;

use super::settings::Settings;
use super::{privacy, user_data};
use crate::event::{ActionSource, Event};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Oldest event: `…/conversions-api/parameters/server-event`, read 2026-09-12.
const MAX_AGE: Duration = DAY.saturating_mul(7);

/// Oldest event of a shop with a door: the "Offline events" page, read 2026-09-12.
const MAX_AGE_PHYSICAL_STORE: Duration = DAY.saturating_mul(62);

/// How long after the original event a share of it may be claimed: Meta's page on the original
/// event, read 2026-09-12.
const MAX_AGE_ATTRIBUTION: Duration = DAY.saturating_mul(2);

/// Claims a share of an earlier event; beta. Same page.
const APPEND_ATTRIBUTION: &str = "AppendAttribution";

/// Standard event names: the Meta Pixel reference, and `LeadSubmitted` of
/// `…/conversions-api/business-messaging` and `AppendAttribution` of the original-event page, all
/// read 2026-09-12.
pub const STANDARD_EVENTS: &[&str] = &[
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
    "LeadSubmitted",
    APPEND_ATTRIBUTION,
];

/// Events of messages; another one is refused with subcode 2804066, and with it the whole request.
/// These five were seen to be taken. Third parties ascribe nine more to
/// `…/conversions-api/business-messaging`, read 2026-11-21 (QualifiedLead, those of orders and of
/// reviews); until one was seen to be taken, a refusal on record that can be mended in the view is
/// better than one that costs other events.
const MESSAGING_EVENTS: &[&str] =
    &["LeadSubmitted", "Purchase", "AddToCart", "InitiateCheckout", "ViewContent"];

/// A field that a message needs, and what is said without.
type Need = (&'static str, &'static str);

/// What a message of a channel needs:
/// `…/conversions-api/business-messaging`, read 2026-09-12. The guide also names the WhatsApp
/// Business account, but not that it can stand in for `page_id`, so it goes beside it
/// (<https://github.com/facebook/facebook-nodejs-business-sdk/issues/305>, read 2026-11-21).
const CHANNELS: &[(&str, &[Need])] = &[
    ("whatsapp", &[("ctwa_clid", "missing_ctwa_clid"), ("page_id", "missing_page_id")]),
    (
        "messenger",
        &[("page_id", "missing_page_id"), ("page_scoped_user_id", "missing_page_scoped_user_id")],
    ),
    ("instagram", &[("ig_account_id", "missing_ig_account_id"), ("ig_sid", "missing_ig_sid")]),
];

/// What an app says: Meta's page on app data, read 2026-09-12.
const APP_DATA: &[(&str, &str)] = &[
    ("advertiser_tracking_enabled", "missing_advertiser_tracking_enabled"),
    ("application_tracking_enabled", "missing_application_tracking_enabled"),
    ("extinfo", "missing_extinfo"),
];

/// What `AppendAttribution` says: Meta's page on the original event, read 2026-09-12.
const ATTRIBUTION_DATA: &[(&str, &str)] = &[
    ("ad_id", "missing_ad_id"),
    ("touchpoint_ts", "missing_touchpoint_ts"),
    ("attribution_share", "missing_attribution_share"),
    ("attribution_value", "missing_attribution_value"),
];

/// Oldest age at which Meta takes an event, whatever the settings.
pub(in crate::platform) fn max_age(event: &Event) -> Duration {
    match event.action_source {
        _ if event.event_name == APPEND_ATTRIBUTION => {
            // It counts from the original event.
            let original = event.facts.get("original_event").and_then(|o| o.get("event_time"));
            let seconds = original
                .and_then(Value::as_i64)
                .map_or(0, |original| event.event_time.seconds().saturating_sub(original));
            let later = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
            MAX_AGE_ATTRIBUTION.saturating_sub(later)
        }
        ActionSource::PhysicalStore => MAX_AGE_PHYSICAL_STORE,
        _ => MAX_AGE,
    }
}

/// Why Meta can never take this event, judged without the clock. Each reason is in [`REASONS`].
pub(super) fn misfit(event: &Event, settings: &Settings) -> Option<&'static str> {
    let reason = of_event(event)
        .or_else(|| of_action_source(event))
        .or_else(|| of_crm(event))
        .or_else(|| missing_of_attribution(event))
        .or_else(|| privacy::of(event, settings).err())
        .or_else(|| user_data::too_broad(event));
    debug_assert!(reason.is_none_or(|reason| explain(reason).is_some()), "{reason:?}");
    reason
}

fn of_event(event: &Event) -> Option<&'static str> {
    let name = event.event_name.as_str();
    let standard = STANDARD_EVENTS.iter().find(|known| known.eq_ignore_ascii_case(name));
    match () {
        () if standard.is_some_and(|known| *known != name) => Some("event_name_case"),
        () if name.is_empty() => Some("missing_event_name"),
        () if event.event_id.is_empty() => Some("missing_event_id"),
        () if name == "Purchase" && event.value.is_none() => Some("missing_value"),
        () if name == "Purchase" && event.currency.is_none() => Some("missing_currency"),
        () if event.currency.is_some_and(|currency| !currency.is_current()) => {
            Some("currency_not_in_use")
        }
        () => None,
    }
}

/// What the place where it happened asks for: `…/conversions-api/parameters`, read 2026-09-12.
fn of_action_source(event: &Event) -> Option<&'static str> {
    let has = |field: &str| event.facts.text(field).is_some();
    match event.action_source {
        // The user agent is documented as required too, but its absence is not punished.
        ActionSource::Website if !has("event_source_url") => Some("missing_event_source_url"),
        ActionSource::App => missing_of_app(event),
        ActionSource::BusinessMessaging => {
            if !MESSAGING_EVENTS.contains(&event.event_name.as_str()) {
                return Some("event_name_not_for_messaging");
            }
            let channel = event.facts.text("messaging_channel");
            let channel = CHANNELS.iter().find(|(name, _)| Some(*name) == channel);
            let Some((_, ids)) = channel else { return Some("missing_messaging_channel") };
            ids.iter().find(|(field, _)| !has(field)).map(|(_, reason)| *reason)
        }
        _ => None,
    }
}

/// What a lead of a CRM says: the guide for CRMs, read 2026-09-12. Such a lead is told by its
/// `event_source`, or by what only such a lead has; any other `event_source` is the shop's own.
fn of_crm(event: &Event) -> Option<&'static str> {
    let has = |field: &str| event.facts.text(field).is_some();
    let by_system = event.action_source == ActionSource::SystemGenerated;
    match event.facts.text("event_source") {
        Some("crm") if !by_system => Some("crm_not_system_generated"),
        Some("crm") if !has("lead_event_source") => Some("missing_lead_event_source"),
        None if by_system && (has("lead_id") || has("lead_event_source")) => {
            Some("missing_event_source")
        }
        _ => None,
    }
}

/// What is missing of a whole `app_data`.
pub(super) fn missing_of_app(event: &Event) -> Option<&'static str> {
    let Some(data) = event.facts.get("app_data").filter(|data| data.is_object()) else {
        return Some("missing_app_data");
    };
    missing_of(data, APP_DATA)
}

fn missing_of_attribution(event: &Event) -> Option<&'static str> {
    if event.event_name != APPEND_ATTRIBUTION {
        return None;
    }
    let Some(data) = event.facts.get("attribution_data") else {
        return Some("missing_attribution_data");
    };
    let Some(original) = event.facts.get("original_event") else {
        return Some("missing_original_event");
    };
    let lacks = |key: &str| original.get(key).is_none();
    missing_of(data, ATTRIBUTION_DATA).or_else(|| match () {
        () if lacks("event_name") => Some("missing_original_event_name"),
        () if lacks("event_time") => Some("missing_original_event_time"),
        () if lacks("event_id") && lacks("order_id") => Some("missing_original_event_id"),
        () => None,
    })
}

fn missing_of(data: &Value, keys: &[(&str, &'static str)]) -> Option<&'static str> {
    keys.iter().find(|(key, _)| data.get(key).is_none()).map(|(_, reason)| *reason)
}

/// What a reason of this file means, and the way out.
pub(super) fn explain(reason: &str) -> Option<&'static str> {
    REASONS.iter().find(|(known, _)| *known == reason).map(|(_, text)| *text)
}

/// Every reason for which an event is never sent.
pub(super) const REASONS: &[(&str, &str)] = &[
    (
        "event_name_case",
        "event_name is a standard event in the wrong case, which Meta would count as a custom \
         event; write it as capi.field and Meta's list do, e.g. Purchase",
    ),
    ("missing_event_name", "event_name is empty; let the view return a name"),
    (
        "missing_event_id",
        "event_id is empty; let the view return the id that the pixel sends, or Meta counts twice",
    ),
    ("missing_value", "a Purchase needs value; let the view return the amount of the order"),
    ("missing_currency", "a Purchase needs currency; let the view return its ISO 4217 code"),
    (
        "currency_not_in_use",
        "the currency is no money in use, such as a withdrawn one; correct the order, and let the \
         view return the ISO 4217 code of the money that was paid",
    ),
    (
        "missing_event_source_url",
        "an event of action_source website needs event_source_url, beginning with https://; let \
         the view return the page, or another action_source if it happened elsewhere",
    ),
    (
        "missing_app_data",
        "an event of action_source app needs app_data; store what the app's SDK says with the \
         order, and let the view return it",
    ),
    (
        "missing_advertiser_tracking_enabled",
        "app_data needs advertiser_tracking_enabled, 0 or 1: whether the customer allowed tracking",
    ),
    (
        "missing_application_tracking_enabled",
        "app_data needs application_tracking_enabled, 0 or 1: whether the app allows tracking",
    ),
    (
        "missing_extinfo",
        "app_data needs extinfo, an array of 16 slots of which the first is a2 or i2 and the \
         fifth, the system's version, is not empty; dropped_fields says what was wrong with it",
    ),
    (
        "missing_messaging_channel",
        "an event of action_source business_messaging needs messaging_channel: whatsapp, \
         messenger or instagram",
    ),
    (
        "event_name_not_for_messaging",
        "Meta is not known to take such an event of action_source business_messaging; use \
         LeadSubmitted (not Lead), Purchase, AddToCart, InitiateCheckout or ViewContent",
    ),
    (
        "missing_page_id",
        "a message by whatsapp or messenger needs the shop's page_id; let the view return it",
    ),
    (
        "missing_page_scoped_user_id",
        "a message by messenger needs page_scoped_user_id; store the sender's id with the order",
    ),
    (
        "missing_ctwa_clid",
        "a message by whatsapp needs ctwa_clid; store the click id of the first message",
    ),
    ("missing_ig_account_id", "a message by instagram needs the shop's ig_account_id"),
    ("missing_ig_sid", "a message by instagram needs ig_sid; store the sender's id with the order"),
    (
        "missing_event_source",
        "a lead of a CRM needs event_source with the word crm; let the view return it",
    ),
    (
        "crm_not_system_generated",
        "a lead of a CRM, whose event_source is crm, needs action_source system_generated; let the \
         view return that, or no event_source",
    ),
    (
        "missing_lead_event_source",
        "a lead of a CRM needs lead_event_source, the CRM's name; let the view return it",
    ),
    ("missing_attribution_data", "an AppendAttribution needs attribution_data"),
    ("missing_ad_id", "the attribution_data of an AppendAttribution needs ad_id"),
    (
        "missing_touchpoint_ts",
        "the attribution_data of an AppendAttribution needs touchpoint_ts, in seconds or as a time \
         with its offset",
    ),
    (
        "missing_attribution_share",
        "the attribution_data of an AppendAttribution needs attribution_share, a number",
    ),
    (
        "missing_attribution_value",
        "the attribution_data of an AppendAttribution needs attribution_value, a number",
    ),
    (
        "missing_original_event",
        "an AppendAttribution needs original_event with event_name, event_time and event_id",
    ),
    ("missing_original_event_name", "original_event needs event_name, that of the event it amends"),
    (
        "missing_original_event_time",
        "original_event needs event_time, in seconds or as a time with its offset",
    ),
    ("missing_original_event_id", "original_event needs event_id or order_id"),
    (
        "missing_data_processing_options",
        "the event names a place of Limited Data Use but not data_processing_options; let the view \
         return array['LDU'], or 0 as the place",
    ),
    (
        "invalid_data_processing_options",
        "data_processing_options is neither empty nor LDU, so the event is held back rather than \
         sent without restriction; let the view return array['LDU'] or an empty array",
    ),
    (
        "missing_data_processing_options_country",
        "a state of Limited Data Use needs data_processing_options_country 1",
    ),
    (
        "missing_data_processing_options_state",
        "Limited Data Use needs data_processing_options_state, 1000 to 1013, unless the event has \
         client_ip_address and Meta is to locate it; the setting limited_data_use_state serves \
         events that name none",
    ),
    (
        "invalid_data_processing_options_country",
        "data_processing_options_country is 1 with a state, or 0 without one",
    ),
    (
        "invalid_data_processing_options_state",
        "data_processing_options_state is 0 or a number of Meta's from 1000 to 1013",
    ),
    (
        "missing_identity",
        "nothing says who it was; let the view return email, phone, external_id, fbp or fbc; \
         dropped_fields says what was given and not used",
    ),
    (
        "insufficient_identity",
        "what is known fits too many people, such as a town or a user agent alone; add email, \
         phone, external_id, fbp or fbc",
    ),
];
