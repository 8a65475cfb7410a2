//! Orders as a conversion view returns them, and the request that Meta gets: row and body side by
//! side in `snapshots/`, one file per order of `orders/meta/`.
//!
//! Every field, action source, standard event and key of Meta's reference must change the request
//! of at least one of them, so that none can be lost unseen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use capi_core::capture::{Captured, NewEvent, Options, Row, capture, explain};
use capi_core::destination::Request;
use capi_core::event::ActionSource;
use capi_core::field::FIELDS;
use capi_core::platform::{self, meta};
use capi_core::time::Timestamp;
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// One file of `orders/meta/`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    /// For the reader.
    about: String,
    /// What `capi.track` was told.
    #[serde(default)]
    options: Value,
    /// Settings of the destination beside the pixel.
    #[serde(default)]
    settings: Map<String, Value>,
    /// The row of the conversion view.
    row: Map<String, Value>,
}

impl Order {
    fn captured(&self) -> Option<NewEvent> {
        let now = Timestamp::parse("2026-09-22T12:00:00Z").expect("a time");
        let row = Row::from_object(self.row.clone());
        match capture(row, &Options::from_json(&self.options), now) {
            Captured::Event(new) => Some(*new),
            _ => None,
        }
    }

    fn request(&self) -> Option<Request> {
        let mut settings = self.settings.clone();
        settings.insert("pixel_id".into(), "1234567890".into());
        let meta = platform::build("meta", &Value::Object(settings)).expect("settings");
        let event = self.captured()?.event;
        meta.plan(&[event]).requests.pop()
    }

    fn data(&self) -> Value {
        self.request().expect("a request").body["data"][0].clone()
    }
}

fn orders() -> BTreeMap<String, Order> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/orders/meta");
    let files = fs::read_dir(folder).expect("the folder of orders");
    files
        .map(|file| {
            let path = file.expect("a file").path();
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let order = serde_json::from_str(&fs::read_to_string(path).expect("a file"));
            (name.clone(), order.unwrap_or_else(|error| panic!("{name}: {error}")))
        })
        .collect()
}

fn pretty(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).expect("JSON")
}

#[test]
fn row_in_request_out() {
    let orders = orders();
    assert!(orders.len() >= 25, "only {} orders", orders.len());
    for (name, order) in orders {
        let new = order.captured().unwrap_or_else(|| panic!("{name} is no event"));
        let request = order.request().unwrap_or_else(|| panic!("{name} is not sent"));
        let text = format!(
            "# {}\n\nROW\n{}\n\nDROPPED\n{}\n\nPOST {}\n{}",
            order.about,
            pretty(&order.row),
            pretty(&new.dropped),
            request.url,
            pretty(&request.body)
        );
        insta::with_settings!({omit_expression => true, prepend_module_to_snapshot => false}, {
            insta::assert_snapshot!(format!("meta__{name}"), text);
        });
    }
}

#[test]
fn every_snapshot_has_its_order() {
    let orders = orders();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    for file in fs::read_dir(folder).expect("the folder of snapshots") {
        let name = file.expect("a file").file_name().to_string_lossy().into_owned();
        let order = name.strip_prefix("meta__").and_then(|name| name.strip_suffix(".snap"));
        let Some(order) = order else { continue };
        assert!(orders.contains_key(order), "{name} is left over");
    }
}

#[test]
fn every_field_of_meta_changes_the_request_of_some_order() {
    let orders = orders();
    for field in FIELDS.iter().filter(|field| field.platforms.contains(&"meta")) {
        let matters = orders.values().any(|order| {
            let mut without = order.clone();
            without.row.remove(field.name).is_some_and(|value| !value.is_null())
                && without.request() != order.request()
        });
        assert!(matters, "no order of orders/meta shows what becomes of {}", field.name);
    }
}

#[test]
fn every_column_of_an_order_is_a_field() {
    for (name, order) in orders() {
        for column in order.row.keys() {
            assert!(FIELDS.iter().any(|field| field.name == *column), "{name}: {column}");
        }
    }
}

#[test]
fn every_action_source_and_standard_event_has_an_order() {
    let orders = orders();
    let values = |key: &str| -> BTreeSet<String> {
        orders.values().filter_map(|o| Some(o.data().get(key)?.as_str()?.to_owned())).collect()
    };
    let sources = values("action_source");
    for source in ActionSource::ALL {
        assert!(sources.contains(source.as_str()), "{}", source.as_str());
    }
    let names = values("event_name");
    for name in meta::STANDARD_EVENTS {
        assert!(names.contains(*name), "{name}");
    }
    let channels = values("messaging_channel");
    assert_eq!(channels.into_iter().collect::<Vec<_>>(), ["instagram", "messenger", "whatsapp"]);
}

/// Keys by Meta's reference, written down here a second time so that they can disagree with the
/// code: path and keys.
const KEYS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "data",
            "test_event_code",
            "partner_agent",
            "namespace_id",
            "upload_id",
            "upload_tag",
            "upload_source",
        ],
    ),
    (
        "/data/0",
        &[
            "event_name",
            "event_time",
            "user_data",
            "action_source",
            "event_id",
            "event_source_url",
            "custom_data",
            "opt_out",
            "referrer_url",
            "data_processing_options",
            "data_processing_options_country",
            "data_processing_options_state",
            "app_data",
            "original_event_data",
            "attribution_data",
            "customer_segmentation",
            "messaging_channel",
        ],
    ),
    (
        "/data/0/user_data",
        &[
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
            "external_id",
            "client_ip_address",
            "client_user_agent",
            "fbc",
            "fbp",
            "subscription_id",
            "fb_login_id",
            "lead_id",
            "anon_id",
            "madid",
            "page_id",
            "page_scoped_user_id",
            "ctwa_clid",
            "ig_account_id",
            "ig_sid",
            "whatsapp_business_account_id",
        ],
    ),
    (
        "/data/0/custom_data",
        &[
            "value",
            "currency",
            "content_ids",
            "contents",
            "content_type",
            "content_name",
            "content_category",
            "num_items",
            "order_id",
            "predicted_ltv",
            "net_revenue",
            "search_string",
            "status",
            "delivery_category",
            "item_number",
            "event_source",
            "lead_event_source",
            "store_data",
        ],
    ),
    (
        "/data/0/custom_data/contents/0",
        &[
            "id",
            "quantity",
            "item_price",
            "price",
            "delivery_category",
            "title",
            "description",
            "brand",
            "category",
        ],
    ),
    ("/data/0/custom_data/store_data", &["store_page_id", "brand_page_id", "store_code"]),
    (
        "/data/0/app_data",
        &[
            "advertiser_tracking_enabled",
            "application_tracking_enabled",
            "extinfo",
            "campaign_ids",
            "install_referrer",
            "installer_package",
            "url_schemes",
            "vendor_id",
            "windows_attribution_id",
        ],
    ),
    ("/data/0/original_event_data", &["event_name", "event_time", "order_id", "event_id"]),
    (
        "/data/0/attribution_data",
        &[
            "scope",
            "visit_time",
            "ad_id",
            "adset_id",
            "campaign_id",
            "attribution_share",
            "attribution_model",
            "attr_window",
            "attribution_value",
            "attribution_source",
            "touchpoint_type",
            "touchpoint_ts",
            "attribution_method",
            "decline_reason",
            "auditing_token",
            "linkage_key",
            "touchpoint_id",
            "attribution_setting",
            "total_credit",
            "partner_client_id",
        ],
    ),
    (
        "/data/0/attribution_data/attribution_setting",
        &["inactivity_window_hours", "reattribution_window_hours"],
    ),
];

#[test]
fn the_wire_has_the_keys_of_the_reference_and_no_other() {
    let bodies: Vec<Value> = orders()
        .values()
        .map(|order| order.request().expect("a request").body.into_value())
        .collect();
    for (path, keys) in KEYS {
        let sent: BTreeSet<&str> = bodies
            .iter()
            .filter_map(|body| body.pointer(path)?.as_object())
            .flat_map(|object| object.keys().map(String::as_str))
            .collect();
        let wanted: BTreeSet<&str> = keys.iter().copied().collect();
        let missing: Vec<_> = wanted.difference(&sent).collect();
        assert!(missing.is_empty(), "{path}: no order has {missing:?}");
        // Own properties stand among the standard ones.
        if *path != "/data/0/custom_data" {
            let strange: Vec<_> = sent.difference(&wanted).collect();
            assert!(strange.is_empty(), "{path}: {strange:?}");
        }
    }
}

#[test]
fn types_on_the_wire_are_those_of_the_reference() {
    for (name, order) in orders() {
        if let Err(key) = has_the_types_of_the_reference(&order.data()) {
            panic!("{name}: {key}");
        }
    }
}

/// The first key of an event whose value is not of its type: one is enough for Meta to refuse the
/// whole request.
fn has_the_types_of_the_reference(data: &Value) -> Result<(), String> {
    let fits = |key: &str, fits: bool| if fits { Ok(()) } else { Err(key.to_owned()) };
    fits("event_time", data["event_time"].is_i64())?;
    for (key, value) in data.as_object().into_iter().flatten() {
        let right = match key.as_str() {
            "event_name" | "event_id" | "referrer_url" => value.is_string(),
            "action_source" => value.as_str().and_then(ActionSource::parse).is_some(),
            "event_source_url" => value.as_str().is_some_and(|url| url.starts_with("http")),
            "opt_out" => value.is_boolean(),
            "data_processing_options" => *value == json!([]) || *value == json!(["LDU"]),
            "data_processing_options_country" | "data_processing_options_state" => value.is_u64(),
            "event_time" => value.is_i64(),
            "customer_segmentation" => value.as_str().is_some_and(|word| word.contains("customer")),
            "messaging_channel" => {
                ["whatsapp", "messenger", "instagram"].iter().any(|channel| value == channel)
            }
            "user_data"
            | "custom_data"
            | "app_data"
            | "original_event_data"
            | "attribution_data" => value.as_object().is_some_and(|object| !object.is_empty()),
            _ => false,
        };
        fits(key, right)?;
    }
    let parts = |key: &str| data.get(key).and_then(Value::as_object).into_iter().flatten();
    for (key, value) in parts("user_data") {
        let right = match key.as_str() {
            "fb_login_id" => value.is_u64(),
            "lead_id" => value.as_u64().is_some_and(|id| (15..=17).contains(&id.to_string().len())),
            "em" | "ph" | "fn" | "ln" | "db" | "ge" | "ct" | "st" | "zp" | "country"
            | "external_id" => {
                let hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
                let digest =
                    |d: &Value| d.as_str().is_some_and(|d| d.len() == 64 && d.bytes().all(hex));
                value.as_array().is_some_and(|list| !list.is_empty()) && all(value, digest)
            }
            _ => is_text(value),
        };
        fits(key, right)?;
    }
    for (key, value) in parts("custom_data") {
        let right = match key.as_str() {
            "value" | "predicted_ltv" | "net_revenue" => value.is_number(),
            "num_items" => value.is_i64(),
            "content_ids" => all(value, is_text),
            "contents" => all(value, is_item),
            "currency" => value.as_str().is_some_and(|c| c.len() == 3 && c == c.to_uppercase()),
            "store_data" => value.as_object().is_some_and(|data| data.values().all(is_text)),
            "order_id" | "item_number" | "status" | "search_string" | "content_name"
            | "content_type" | "content_category" | "delivery_category" | "event_source"
            | "lead_event_source" => is_text(value),
            _ => true,
        };
        fits(key, right)?;
    }
    if let Some(app) = data.get("app_data") {
        let slots = app["extinfo"].as_array().map(Vec::len);
        let flags = [json!(0), json!(1)];
        fits("extinfo", slots == Some(16) && all(&app["extinfo"], Value::is_string))?;
        fits("extinfo[4]", is_text(&app["extinfo"][4]))?;
        for flag in ["advertiser_tracking_enabled", "application_tracking_enabled"] {
            fits(flag, flags.contains(&app[flag]))?;
        }
    }
    for (key, value) in parts("original_event_data") {
        fits(key, if key == "event_time" { value.is_u64() } else { is_text(value) })?;
    }
    for (key, value) in parts("attribution_data") {
        let right = match key.as_str() {
            "visit_time" | "touchpoint_ts" | "attr_window" => value.is_u64(),
            "attribution_share" | "attribution_value" | "total_credit" => value.is_number(),
            "attribution_setting" => {
                value.as_object().is_some_and(|windows| windows.values().all(Value::is_u64))
            }
            _ => is_text(value),
        };
        fits(key, right)?;
    }
    Ok(())
}

fn is_item(item: &Value) -> bool {
    item.as_object().is_some_and(|item| {
        item.contains_key("id")
            && item.iter().all(|(key, value)| match key.as_str() {
                "quantity" => value.is_u64(),
                "item_price" | "price" => value.is_number(),
                _ => is_text(value),
            })
    })
}

fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
}

fn all(list: &Value, fits: impl Fn(&Value) -> bool) -> bool {
    list.as_array().is_some_and(|list| list.iter().all(fits))
}

/// Fields with an inside or with rules of their own, which are tried more often.
const DELICATE: [&str; 12] = [
    "app_data",
    "attribution_data",
    "browser",
    "content_ids",
    "contents",
    "custom",
    "data_processing_options",
    "data_processing_options_country",
    "data_processing_options_state",
    "lead_id",
    "original_event",
    "store_data",
];

/// Slots of a device, more or fewer than there should be.
fn slots() -> impl Strategy<Value = Value> {
    (14_usize..18, prop::sample::select(&["i2", "a2", "w1", ""][..]), any::<bool>()).prop_map(
        |(count, version, empty)| {
            let mut slots = vec![json!(if empty { " " } else { "17.5" }); count];
            slots[0] = version.into();
            Value::Array(slots)
        },
    )
}

/// Any JSON, with the keys and words of the wire among its own.
fn anything() -> impl Strategy<Value = Value> {
    let keys: Vec<&str> = KEYS.iter().flat_map(|(_, keys)| keys.iter().copied()).collect();
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        prop::sample::select(&["LDU", "crm", "i2", "1", "2.00", " ", "in_store", "whatsapp"][..])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 40, 17, move |inner| {
        let key = prop::sample::select(keys.clone());
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..18).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..6).prop_map(|map| {
                Value::Object(map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_000, failure_persistence: None, ..ProptestConfig::default()
    })]

    /// Whatever a view returns, an event is either not sent or has the types that Meta wants, and
    /// who asks for Limited Data Use gets it.
    #[test]
    fn nothing_that_a_view_returns_makes_a_request_that_meta_refuses(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((0..FIELDS.len(), anything()), 0..4),
        delicate in prop::collection::vec((0..DELICATE.len(), anything()), 0..3),
        inside in prop::collection::vec((any::<prop::sample::Index>(), anything()), 0..3),
        slots in prop::option::of(slots()),
        in_app in any::<bool>(),
    ) {
        static ORDERS: LazyLock<Vec<Order>> = LazyLock::new(|| orders().into_values().collect());
        let mut order = which.get(&ORDERS).clone();
        if in_app && let Some(app) = ORDERS.iter().find(|o| o.row.contains_key("app_data")) {
            order = app.clone();
        }
        let changes = changes.into_iter().map(|(at, value)| (FIELDS[at].name, value));
        let delicate = delicate.into_iter().map(|(at, value)| (DELICATE[at], value));
        for (field, value) in changes.chain(delicate) {
            order.row.insert(field.to_owned(), value);
        }
        if let Some(slots) = slots
            && let Some(Value::Object(app)) = order.row.get_mut("app_data")
        {
            app.insert("extinfo".into(), slots);
        }
        // A part of a sound object is replaced, too.
        for field in ["app_data", "attribution_data", "original_event", "store_data"] {
            let Some(Value::Object(object)) = order.row.get_mut(field) else { continue };
            for (at, value) in &inside {
                let keys: Vec<String> = object.keys().cloned().collect();
                if !keys.is_empty() {
                    object.insert(at.get(&keys).clone(), value.clone());
                }
            }
        }
        if let Some(new) = order.captured() {
            for (field, reason) in &new.dropped {
                prop_assert!(explain(field, reason).is_some(), "{field}: {reason}");
            }
        }
        let Some(request) = order.request() else { return Ok(()) };
        let data = &request.body["data"][0];
        prop_assert_eq!(has_the_types_of_the_reference(data), Ok(()), "{:?}", order.row);
        let asked = order.row.get("data_processing_options").filter(|v| !v.is_null());
        if asked.is_some_and(|asked| *asked != json!([])) {
            prop_assert_eq!(&data["data_processing_options"], &json!(["LDU"]));
        }
    }
}
