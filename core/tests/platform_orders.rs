//! The same orders for every platform: a snapshot of the whole request each, in `snapshots/`, under
//! `{platform}__{order}`. Rows are those of `orders/all/` and some of `orders/meta/`, with the ids
//! of `orders/browser.json` where they have none of their own.
//!
//! Digests are shown as what was hashed, so that a reader can compare them with the platform's
//! rules: `sha256(jane.doe@example.com)`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use capi_core::capture::{Captured, Options, Row, capture};
use capi_core::destination::{Destination, Unfit};
use capi_core::event::Event;
use capi_core::field::{Class, FIELDS};
use capi_core::identity::rules::{FieldValue, normalize_field};
use capi_core::identity::{self, Context, Identifier, PLATFORMS};
use capi_core::platform;
use capi_core::time::Timestamp;
use serde_json::{Map, Value, json};

/// Orders of Meta's that are tried on every platform.
const OF_META: [&str; 14] = [
    "website_purchase_with_everything",
    "website_purchase_of_a_guest",
    "website_purchase_for_nothing",
    "website_add_to_cart_of_a_stranger",
    "website_initiate_checkout",
    "website_view_content",
    "website_complete_registration",
    "website_start_trial",
    "website_search",
    "website_hashed_by_the_shop",
    "website_many_addresses",
    "website_limited_data_use_in_california",
    "store_purchase",
    "own_event",
];

/// Fewest orders that every platform gets a request for.
const LEAST: usize = 10;

fn settings(platform: &str) -> Value {
    platform::sample(platform).unwrap_or_else(|| panic!("{platform} has no sample settings"))
}

fn platforms() -> impl Iterator<Item = &'static str> {
    platform::platforms().into_iter().filter(|platform| *platform != "meta")
}

fn build(platform: &str) -> Box<dyn Destination> {
    platform::build(platform, &settings(platform)).expect("settings")
}

#[derive(Clone)]
struct Order {
    about: String,
    options: Value,
    row: Map<String, Value>,
}

fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|_| panic!("{}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn orders() -> BTreeMap<String, Order> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/orders");
    let browser = read(&folder.join("browser.json"));
    let mut paths: Vec<PathBuf> =
        OF_META.iter().map(|name| folder.join(format!("meta/{name}.json"))).collect();
    let own = fs::read_dir(folder.join("all")).expect("the folder of orders");
    paths.extend(own.map(|file| file.expect("a file").path()));
    paths
        .into_iter()
        .map(|path| {
            let mut file = read(&path);
            let Value::Object(mut row) = file["row"].take() else { panic!("a row") };
            if row.get("action_source").and_then(Value::as_str) == Some("website")
                && !row.contains_key("browser")
            {
                row.insert("browser".into(), browser.clone());
            }
            let about = file["about"].as_str().expect("about").to_owned();
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, Order { about, options: file["options"].take(), row })
        })
        .collect()
}

impl Order {
    fn event(&self) -> Event {
        self.event_of().unwrap_or_else(|| panic!("{} is no event", self.about))
    }

    fn event_of(&self) -> Option<Event> {
        let now = Timestamp::parse("2026-09-22T12:00:00Z").expect("a time");
        let row = Row::from_object(self.row.clone());
        match capture(row, &Options::from_json(&self.options), now) {
            Captured::Event(new) => Some(new.event),
            _ => None,
        }
    }

    /// The same order with a column for each id of `browser`.
    fn spread(&self) -> Self {
        let mut spread = self.clone();
        let Some(Value::Object(browser)) = spread.row.remove("browser") else { return spread };
        for (key, value) in browser {
            let name = match key.as_str() {
                "ip" => "client_ip_address",
                "user_agent" => "client_user_agent",
                name => name,
            };
            spread.row.entry(name).or_insert(value);
        }
        spread
    }

    /// What each digest of this order was made of.
    fn hashed(&self) -> BTreeMap<String, String> {
        let text = |field: &str| self.row.get(field).and_then(Value::as_str);
        let options = Options::from_json(&self.options);
        let country = text("country").and_then(|country| identity::country_code(country).ok());
        let country = country.or(options.default_country);
        let context =
            Context { country: country.as_deref(), zip: text("zip"), ..Context::default() };
        let mut found = BTreeMap::new();
        for identifier in Identifier::ALL {
            let name = identifier.as_str();
            let values = match self.row.get(name) {
                Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).collect(),
                Some(Value::String(value)) => vec![value.as_str()],
                _ => Vec::new(),
            };
            for (value, platform) in
                values.iter().flat_map(|value| PLATFORMS.iter().map(move |p| (value, p)))
            {
                if let Ok(value) = normalize_field(name, value, platform, &context)
                    && let Ok(digest) = value.digest()
                    && let FieldValue::Hashed(_) = value
                {
                    let shown = format!("sha256({})", value.into_string());
                    // What was hashed by the shop stays a digest.
                    if !shown.contains(digest.as_str()) {
                        found.insert(digest.as_str().to_owned(), shown);
                    }
                }
            }
        }
        found
    }

    fn shown(&self, platform: &dyn Destination) -> String {
        let event = self.event();
        let plan = platform.plan(std::slice::from_ref(&event));
        let Some(request) = plan.requests.first() else {
            let (status, reason) = match &plan.unfit[0].1 {
                Unfit::Unrouted(reason) => ("unrouted", reason),
                Unfit::Refused(reason) => ("refused", reason),
            };
            return format!("# {}\n\nNOT SENT\n{status}: {reason}", self.about);
        };
        let headers: String =
            request.headers.iter().map(|(name, value)| format!("\n{name}: {value}")).collect();
        let mut body = serde_json::to_string_pretty(&request.body).expect("JSON");
        for (digest, text) in self.hashed() {
            body = body.replace(&digest, &text);
        }
        format!("# {}\n\nPOST {}{headers}\n{body}", self.about, request.url)
    }
}

#[test]
fn row_in_request_out() {
    let orders = orders();
    for name in platforms() {
        let platform = build(name);
        let mut sent = 0;
        for (order, content) in &orders {
            let text = content.shown(&*platform);
            sent += usize::from(text.contains("\nPOST "));
            insta::with_settings!({omit_expression => true, prepend_module_to_snapshot => false}, {
                insta::assert_snapshot!(format!("{name}__{order}"), text);
            });
        }
        assert!(sent >= LEAST, "{name}: only {sent} orders are sent");
    }
}

#[test]
fn every_snapshot_has_its_order() {
    let orders = orders();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    for file in fs::read_dir(folder).expect("the folder of snapshots") {
        let name = file.expect("a file").file_name().to_string_lossy().into_owned();
        let Some((platform, order)) = name.split_once("__") else { continue };
        if platforms().any(|known| known == platform) {
            let order = order.strip_suffix(".snap").unwrap_or(order);
            assert!(orders.contains_key(order), "{name} is left over");
        }
    }
}

/// Strings of a value, wherever they stand.
fn texts<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::String(text) => {
            found.insert(text);
        }
        Value::Array(list) => list.iter().for_each(|value| texts(value, found)),
        Value::Object(map) => map.values().for_each(|value| texts(value, found)),
        _ => {}
    }
}

#[test]
fn a_platform_gets_digests_of_its_own_form_only() {
    for (name, order) in orders() {
        let event = order.event();
        for platform in platforms().filter(|platform| *platform != "webhook") {
            let plan = build(platform).plan(std::slice::from_ref(&event));
            let own: BTreeSet<&str> = Identifier::ALL
                .iter()
                .flat_map(|identifier| event.identity.digests(identifier.as_str(), platform))
                .map(capi_core::hash::Digest::as_str)
                .collect();
            for request in &plan.requests {
                let mut found = BTreeSet::new();
                texts(&request.body, &mut found);
                let digest =
                    |text: &&str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
                for digest in found.into_iter().filter(digest) {
                    assert!(own.contains(digest), "{platform} {name}: a digest of another form");
                }
            }
        }
    }
}

#[test]
fn nothing_of_a_field_that_is_omitted_is_sent() {
    let ip = "client_ip_address";
    for (name, order) in orders() {
        let event = order.event();
        let Some(address) = event.facts.text(ip) else { continue };
        for platform in platforms() {
            let mut settings = settings(platform);
            settings["omit"] = json!([ip]);
            let without = platform::build(platform, &settings).expect("settings");
            for request in without.plan(std::slice::from_ref(&event)).requests {
                assert!(!request.body.to_string().contains(address), "{platform} {name}");
            }
        }
    }
}

/// The platforms that a field makes a difference to, by the orders here; without the event's own
/// columns, which all of them take.
#[test]
fn fields_name_the_platforms_that_take_them() {
    let orders = orders();
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let built: Vec<_> =
        platforms().filter(|name| *name != "webhook").map(|name| (name, build(name))).collect();
    let requests = |platform: &dyn Destination, event: &Option<Event>| {
        event.as_ref().map(|event| platform.plan(std::slice::from_ref(event)).requests)
    };
    for order in orders.values() {
        let order = order.spread();
        let whole = order.event_of();
        for field in FIELDS {
            let mut without = order.clone();
            if without.row.remove(field.name).is_none_or(|value| value.is_null()) {
                continue;
            }
            let less = without.event_of();
            for (name, platform) in &built {
                if requests(&**platform, &less) != requests(&**platform, &whole) {
                    found.entry(field.name).or_default().insert(name);
                }
            }
        }
    }
    let own = |field: &&capi_core::field::Field| field.class != Class::Event;
    for field in FIELDS.iter().filter(own) {
        let said: BTreeSet<&str> = field.platforms.iter().copied().collect();
        let said: BTreeSet<&str> =
            said.into_iter().filter(|p| *p != "meta" && *p != "webhook").collect();
        let found = found.remove(field.name).unwrap_or_default();
        assert_eq!(said, found, "capi.field and the requests differ about {}", field.name);
    }
}
