//! What is never sent, and why.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{facts, identity, meta, plain, purchase, refusal};
use crate::destination::{Destination, Unfit};
use crate::event::{ActionSource, Event, Identity};
use crate::time::Timestamp;

fn changed(change: impl FnOnce(&mut Event)) -> Event {
    let mut event = purchase(1);
    change(&mut event);
    event
}

fn of(name: &str, source: ActionSource, given: &Value) -> Event {
    changed(|event| {
        event.event_name = name.into();
        event.action_source = source;
        event.facts = facts(given);
    })
}

/// Takes one key after the other out of a fit event; each must be missed by its reason.
fn misses(name: &str, source: ActionSource, given: &Value, keys: &[(&str, &str)]) {
    assert_eq!(refusal(&of(name, source, given)), None, "{given}");
    for (path, reason) in keys {
        let mut less = given.clone();
        let (at, key) = match path.split_once('.') {
            Some((at, key)) => (&mut less[at], key),
            None => (&mut less, *path),
        };
        at.as_object_mut().expect("an object").remove(key).expect(path);
        assert_eq!(refusal(&of(name, source, &less)).as_deref(), Some(*reason), "{path}");
    }
}

#[test]
fn says_why_an_event_can_never_be_sent() {
    let of = |change: fn(&mut Event)| refusal(&changed(change));
    let reason = |text: &str| Some(text.to_owned());
    assert_eq!(of(|_| {}), None);
    assert_eq!(of(|e| e.event_name = "MyOwnEvent".into()), None);
    assert_eq!(of(|e| e.event_name = "purchase".into()), reason("event_name_case"));
    assert_eq!(of(|e| e.event_name = "LEAD".into()), reason("event_name_case"));
    assert_eq!(of(|e| e.event_name = "Leadsubmitted".into()), reason("event_name_case"));
    assert_eq!(of(|e| e.event_name.clear()), reason("missing_event_name"));
    assert_eq!(of(|e| e.event_id.clear()), reason("missing_event_id"));
    assert_eq!(of(|e| e.value = None), reason("missing_value"));
    assert_eq!(of(|e| e.currency = None), reason("missing_currency"));
    let withdrawn = |e: &mut Event| e.currency = serde_json::from_value(json!("HRK")).ok();
    assert_eq!(of(withdrawn), reason("currency_not_in_use"));
    assert_eq!(of(|e| e.facts.0.clear()), reason("missing_event_source_url"));
    assert_eq!(of(|e| e.identity = Identity::default()), reason("missing_identity"));
    assert_eq!(
        of(|e| e.identity = BTreeMap::from([("email".into(), vec![])]).into()),
        reason("missing_identity")
    );
}

#[test]
fn every_place_without_rules_of_its_own_needs_nothing_more() {
    for source in ActionSource::ALL {
        let refused = refusal(&of("Purchase", source, &json!({})));
        let expected = match source {
            ActionSource::Website => Some("missing_event_source_url"),
            ActionSource::App => Some("missing_app_data"),
            ActionSource::BusinessMessaging => Some("missing_messaging_channel"),
            _ => None,
        };
        assert_eq!(refused.as_deref(), expected, "{}", source.as_str());
    }
}

#[test]
fn an_app_says_whether_it_may_track_and_on_what_it_runs() {
    let app = json!({"app_data": {"advertiser_tracking_enabled": 0,
        "application_tracking_enabled": 1, "extinfo": ["i2"]}});
    misses(
        "Purchase",
        ActionSource::App,
        &app,
        &[
            ("app_data", "missing_app_data"),
            ("app_data.advertiser_tracking_enabled", "missing_advertiser_tracking_enabled"),
            ("app_data.application_tracking_enabled", "missing_application_tracking_enabled"),
            ("app_data.extinfo", "missing_extinfo"),
        ],
    );
}

#[test]
fn half_an_app_data_goes_with_no_event_of_another_place() {
    let whole = json!({"advertiser_tracking_enabled": 0, "application_tracking_enabled": 1,
        "extinfo": ["i2"]});
    let sent = |data: &Value| {
        let event = of("Purchase", ActionSource::PhysicalStore, &json!({"app_data": data}));
        plain().plan(&[event]).requests.remove(0).body["data"][0].get("app_data").cloned()
    };
    assert_eq!(sent(&whole), Some(whole.clone()));
    assert_eq!(sent(&json!({"extinfo": ["i2"]})), None);
}

#[test]
fn a_message_names_its_channel_and_the_ids_of_that_channel() {
    let messaging = ActionSource::BusinessMessaging;
    misses(
        "LeadSubmitted",
        messaging,
        &json!({"messaging_channel": "whatsapp", "page_id": "1", "ctwa_clid": "c"}),
        &[
            ("messaging_channel", "missing_messaging_channel"),
            ("page_id", "missing_page_id"),
            ("ctwa_clid", "missing_ctwa_clid"),
        ],
    );
    misses(
        "Purchase",
        messaging,
        &json!({"messaging_channel": "whatsapp", "whatsapp_business_account_id": "1",
            "page_id": "1", "ctwa_clid": "c"}),
        &[("page_id", "missing_page_id")],
    );
    misses(
        "AddToCart",
        messaging,
        &json!({"messaging_channel": "messenger", "page_id": "1", "page_scoped_user_id": "2"}),
        &[("page_id", "missing_page_id"), ("page_scoped_user_id", "missing_page_scoped_user_id")],
    );
    misses(
        "ViewContent",
        messaging,
        &json!({"messaging_channel": "instagram", "ig_account_id": "1", "ig_sid": "2"}),
        &[("ig_account_id", "missing_ig_account_id"), ("ig_sid", "missing_ig_sid")],
    );
}

#[test]
fn a_message_is_one_of_the_events_for_messages() {
    let given = json!({"messaging_channel": "messenger", "page_id": "1",
        "page_scoped_user_id": "2"});
    let refused = |name| refusal(&of(name, ActionSource::BusinessMessaging, &given));
    for name in ["LeadSubmitted", "Purchase", "AddToCart", "InitiateCheckout", "ViewContent"] {
        assert_eq!(refused(name), None, "{name}");
    }
    for name in ["Lead", "Subscribe", "PageView", "MyOwnEvent", "QualifiedLead", "OrderShipped"] {
        assert_eq!(refused(name).as_deref(), Some("event_name_not_for_messaging"), "{name}");
    }
}

#[test]
fn a_lead_of_a_crm_names_the_crm() {
    let lead = json!({"lead_id": "123456789012345", "event_source": "crm",
        "lead_event_source": "Example CRM"});
    misses(
        "Lead",
        ActionSource::SystemGenerated,
        &lead,
        &[
            ("event_source", "missing_event_source"),
            ("lead_event_source", "missing_lead_event_source"),
        ],
    );
    for other in [json!({"event_source": "erp"}), json!({"event_source": "web", "lead_id": "1"})] {
        assert_eq!(refusal(&of("Lead", ActionSource::SystemGenerated, &other)), None, "{other}");
        assert_eq!(refusal(&of("Lead", ActionSource::Other, &other)), None, "{other}");
    }
    for source in ActionSource::ALL {
        let refused = refusal(&of("LeadSubmitted", source, &lead));
        assert_eq!(refused.is_some(), source != ActionSource::SystemGenerated, "{source:?}");
    }
    let refused = refusal(&of("Lead", ActionSource::PhoneCall, &lead));
    assert_eq!(refused.as_deref(), Some("crm_not_system_generated"));
}

#[test]
fn a_claim_names_its_share_and_the_event_it_is_about() {
    let claim = json!({
        "attribution_data": {"ad_id": "1", "touchpoint_ts": 1_789_990_000,
            "attribution_share": 0.5, "attribution_value": 5},
        "original_event": {"event_name": "Purchase", "event_time": 1_789_990_000,
            "event_id": "order-1"},
    });
    misses(
        "AppendAttribution",
        ActionSource::Other,
        &claim,
        &[
            ("attribution_data", "missing_attribution_data"),
            ("attribution_data.ad_id", "missing_ad_id"),
            ("attribution_data.touchpoint_ts", "missing_touchpoint_ts"),
            ("attribution_data.attribution_share", "missing_attribution_share"),
            ("attribution_data.attribution_value", "missing_attribution_value"),
            ("original_event", "missing_original_event"),
            ("original_event.event_name", "missing_original_event_name"),
            ("original_event.event_time", "missing_original_event_time"),
            ("original_event.event_id", "missing_original_event_id"),
        ],
    );
    let order = json!({"event_name": "Purchase", "event_time": 1_789_990_000, "order_id": "1"});
    let mut by_order = claim;
    by_order["original_event"] = order;
    assert_eq!(refusal(&of("AppendAttribution", ActionSource::Other, &by_order)), None);
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
        let event = changed(|event| event.identity = identity(keys));
        let expected = (!enough).then(|| "insufficient_identity".to_owned());
        assert_eq!(refusal(&event), expected, "{keys:?}");
    }
    let mut event = changed(|event| event.identity = Identity::default());
    event.facts.0.insert("page_id".into(), "1".into());
    assert_eq!(refusal(&event).as_deref(), Some("missing_identity"), "a page is nobody");
    event.facts.0.insert("anon_id".into(), "1".into());
    assert_eq!(refusal(&event).as_deref(), Some("missing_identity"), "not in an app");
    event.facts.0.insert("client_user_agent".into(), "Mozilla/5.0".into());
    assert_eq!(refusal(&event).as_deref(), Some("insufficient_identity"));
    event.facts.0.insert("fbp".into(), "fb.1.1789999999999.1".into());
    assert_eq!(refusal(&event), None);
}

#[test]
fn ages_differ_by_place_and_by_kind() {
    const DAY: u64 = 86_400;
    for source in ActionSource::ALL {
        let days = if source == ActionSource::PhysicalStore { 62 } else { 7 };
        let age = plain().max_age(&of("Purchase", source, &json!({})));
        assert_eq!(age, Duration::from_secs(days * DAY), "{}", source.as_str());
        let claim = of("AppendAttribution", source, &json!({}));
        assert_eq!(plain().max_age(&claim), Duration::from_secs(2 * DAY));
    }
    let claim = |earlier: i64| {
        let time = Timestamp(1_790_000_000_000_000).seconds() - earlier;
        let given = json!({"original_event": {"event_time": time}});
        plain().max_age(&of("AppendAttribution", ActionSource::Other, &given)).as_secs()
    };
    assert_eq!(claim(3_600), 2 * DAY - 3_600, "48 hours from the original event");
    assert_eq!(claim(3 * 86_400), 0);
    assert_eq!(claim(-3_600), 2 * DAY);
}

/// What is sent of Limited Data Use, or the reason for not sending.
fn limited(settings: &Value, given: &Value) -> Result<Value, String> {
    let mut event = purchase(1);
    event.facts.0.extend(Map::from(facts(given).0));
    let meta = meta(settings);
    if let Some(Unfit::Refused(reason)) = meta.unfit(&event) {
        return Err(reason.0);
    }
    let mut sent = meta.plan(&[event]).requests.remove(0).body;
    let sent = sent["data"][0].as_object_mut().map(std::mem::take).expect("an event");
    let ours = |(key, _): &(String, Value)| key.starts_with("data_processing_options");
    let sent: Map<String, Value> = sent.into_iter().filter(ours).collect();
    Ok(sent.into_iter().map(|(_, value)| value).collect())
}

#[test]
fn limited_data_use_is_sent_whole_or_the_event_is_not() {
    let off = json!({"pixel_id": "7"});
    let on = json!({"pixel_id": "7", "limited_data_use": true});
    let california =
        json!({"pixel_id": "7", "limited_data_use": true, "limited_data_use_state": 1000});
    let given = |options: Value, country: Value, state: Value, ip: bool| {
        json!({"data_processing_options": options, "data_processing_options_country": country,
            "data_processing_options_state": state,
            "client_ip_address": if ip { json!("203.0.113.7") } else { Value::Null }})
    };
    let null = || Value::Null;
    let ldu = || json!(["LDU"]);
    let err = |reason: &str| Err(reason.to_owned());
    let missing_state = "missing_data_processing_options_state";
    let invalid_state = "invalid_data_processing_options_state";
    let invalid_country = "invalid_data_processing_options_country";
    for (settings, event, expected) in [
        // Nobody asks.
        (&off, given(null(), null(), null(), false), Ok(json!([]))),
        (&off, given(null(), json!(0), json!(0), false), Ok(json!([]))),
        // Off in so many words, also against the setting.
        (&off, given(json!([]), null(), null(), false), Ok(json!([[]]))),
        (&on, given(json!([]), null(), null(), false), Ok(json!([[]]))),
        // Meta locates, which takes an address.
        (&off, given(ldu(), null(), null(), true), Ok(json!([["LDU"], 0, 0]))),
        (&off, given(ldu(), json!(0), json!(0), true), Ok(json!([["LDU"], 0, 0]))),
        (&off, given(ldu(), json!(0), null(), true), Ok(json!([["LDU"], 0, 0]))),
        (&off, given(ldu(), null(), null(), false), err(missing_state)),
        (&on, given(null(), null(), null(), true), Ok(json!([["LDU"], 0, 0]))),
        (&on, given(null(), null(), null(), false), err(missing_state)),
        // The place is named.
        (&off, given(ldu(), json!(1), json!(1000), false), Ok(json!([["LDU"], 1, 1000]))),
        (&off, given(ldu(), json!(1), json!(1013), true), Ok(json!([["LDU"], 1, 1013]))),
        (&on, given(null(), json!(1), json!(1001), false), Ok(json!([["LDU"], 1, 1001]))),
        (&california, given(null(), null(), null(), false), Ok(json!([["LDU"], 1, 1000]))),
        (&california, given(ldu(), json!(1), json!(1005), true), Ok(json!([["LDU"], 1, 1005]))),
        // Half a place, or none that there is.
        (&off, given(ldu(), json!(1), null(), true), err(missing_state)),
        (&off, given(ldu(), json!(1), json!(0), true), err(missing_state)),
        (
            &off,
            given(ldu(), null(), json!(1000), true),
            err("missing_data_processing_options_country"),
        ),
        (&off, given(ldu(), json!(0), json!(1000), true), err(invalid_country)),
        (&off, given(ldu(), json!(2), json!(1000), true), err(invalid_country)),
        (&off, given(ldu(), json!(1), json!(1014), true), err(invalid_state)),
        (&off, given(ldu(), json!(0), json!(7), true), err(invalid_state)),
        // A place without the option.
        (&off, given(null(), json!(1), json!(1000), true), err("missing_data_processing_options")),
        // What capture could not read.
        (
            &off,
            given(json!("unreadable"), null(), null(), true),
            err("invalid_data_processing_options"),
        ),
        (
            &on,
            given(json!("unreadable"), null(), null(), true),
            err("invalid_data_processing_options"),
        ),
        (
            &off,
            given(json!(["CCPA"]), null(), null(), true),
            err("invalid_data_processing_options"),
        ),
        (&off, given(ldu(), json!("unreadable"), null(), true), err(invalid_country)),
        (&off, given(ldu(), null(), json!("unreadable"), true), err(invalid_state)),
    ] {
        assert_eq!(limited(settings, &event), expected, "{settings} {event}");
    }
}
