//! What every destination can be told, whatever its platform: which events it gets, under which
//! name, with which amount, and what of them stays here.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::contract::{Destination, Spec};
use super::event_parts as parts;
use super::reason::CREDENTIAL_REASONS;
use super::request::{Plan, Request, Unfit};
use super::settings::{self, COMMON, SettingsError, broken, shapes};
use super::verdict::{Reason, Response, Ticket, Verdict};
use super::version::ApiVersion;
use crate::event::Event;
use crate::field::{self, Class, Kind};
use crate::money::Amount;
use std::time::Duration;

/// The event that gives money back; its value is what is given back, its `order_id` the order's.
pub(crate) const REFUND: &str = "Refund";

/// What says how an event may be used: leaving it out would lift the limit.
const NEVER_OMITTED: [&str; 4] = [
    "opt_out",
    "data_processing_options",
    "data_processing_options_country",
    "data_processing_options_state",
];

/// What a platform has a place for, so that nobody else need ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Takes {
    /// Refunds.
    pub(crate) refunds: bool,
    /// Events whose use is limited.
    pub(crate) limited_use: bool,
    /// Names of events; otherwise ids that the advertiser has made, by the setting `events`.
    pub(crate) names: bool,
}

impl Takes {
    /// What most platforms take.
    pub(crate) const USUAL: Self = Self { refunds: false, limited_use: true, names: true };
}

/// Settings of every platform, read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Filter {
    /// Event names of the view, and those that stand for them from here on.
    events: BTreeMap<String, String>,
    /// The only events that are sent; none: all.
    only: Option<BTreeSet<String>>,
    /// Fields that are never sent.
    omit: Vec<String>,
    /// The field whose number goes as the value.
    value_from: Option<String>,
    #[serde(skip)]
    takes: Option<Takes>,
}

/// Splits settings into those of every platform and the platform's own.
pub(crate) fn take(settings: &Value, takes: Takes) -> Result<(Filter, Value), SettingsError> {
    let Some(object) = settings.as_object() else {
        return Err(broken("settings", "must be an object"));
    };
    let (mut common, mut own) = (Map::new(), Map::new());
    for (key, value) in object {
        // Ids are the platform's to check.
        let mine = COMMON.iter().any(|(known, _)| known == key) && (takes.names || key != "events");
        let part = if mine { &mut common } else { &mut own };
        part.insert(key.clone(), value.clone());
    }
    let common = Value::Object(common);
    shapes(&common, COMMON)?;
    let mut filter: Filter = settings::read(&common, COMMON, &[])?;
    filter.takes = Some(takes);
    filter.check()?;
    Ok((filter, Value::Object(own)))
}

impl Filter {
    fn check(&self) -> Result<(), SettingsError> {
        let name = |text: &String| (1..=256).contains(&text.len()) && !text.trim().is_empty();
        if !self.events.iter().all(|(from, to)| name(from) && name(to)) {
            return Err(broken("events", "must have names of 1 to 256 bytes"));
        }
        if self.only.as_ref().is_some_and(|only| !only.iter().all(name)) {
            return Err(broken("only", "must have names of 1 to 256 bytes"));
        }
        let sent = |name: &String| {
            field::find(name)
                .is_some_and(|f| matches!(f.class, Class::Digest | Class::Clear | Class::Fact))
        };
        if !self.omit.iter().all(sent) {
            let rule = "must have names of fields of capi.field whose class is digest, clear or \
                        fact";
            return Err(broken("omit", rule));
        }
        if self.omit.iter().any(|name| NEVER_OMITTED.contains(&name.as_str())) {
            let rule = "must not have opt_out or data_processing_options: without them the event \
                        would go without limit";
            return Err(broken("omit", rule));
        }
        let number = |name: &String| field::find(name).is_some_and(|f| f.kind == Kind::Number);
        if self.value_from.as_ref().is_some_and(|name| !number(name)) {
            let rule = "must be a field of capi.field whose kind is number, such as value or \
                        predicted_ltv";
            return Err(broken("value_from", rule));
        }
        Ok(())
    }

    /// A destination that obeys these settings.
    pub(crate) fn around(self, inner: Box<dyn Destination>) -> Box<dyn Destination> {
        Box::new(Routed { filter: self, inner })
    }

    fn changes_nothing(&self) -> bool {
        let value = self.value_from.as_deref().is_none_or(|field| field == "value");
        self.events.is_empty() && self.omit.is_empty() && value
    }

    /// The event as the platform shall see it.
    fn shaped(&self, event: &Event) -> Event {
        let mut event = event.clone();
        if let Some(name) = self.events.get(&event.event_name) {
            event.event_name.clone_from(name);
        }
        if let Some(field) = self.value_from.as_deref().filter(|field| *field != "value") {
            // Never the other amount: it means something else.
            event.value = match event.facts.get(field) {
                Some(Value::Number(number)) => Amount::parse(&number.to_string()).ok(),
                _ => None,
            };
        }
        for name in &self.omit {
            let form = format!("{name}/");
            event.identity.retain(|key| key != name && !key.starts_with(&form));
            event.facts.0.remove(name);
        }
        event
    }

    /// The event as the page shall say it, or why it says nothing.
    pub(crate) fn for_page(&self, event: &Event) -> Result<Event, &'static str> {
        if self.only.as_ref().is_some_and(|only| !only.contains(&event.event_name)) {
            return Err("not_in_only");
        }
        let shaped = self.shaped(event);
        match () {
            // Money that goes back is no conversion, and no tag knows of it.
            () if shaped.event_name == REFUND => Err("refund"),
            // What an order earns is not the customer's to read, and the halves must not differ.
            () if self.value_from.as_deref().is_some_and(|field| field != "value") => {
                Err("value_is_the_servers")
            }
            () => Ok(shaped),
        }
    }

    fn judged(&self, event: &Event) -> Option<Unfit> {
        let allowed = |only: &BTreeSet<String>| only.contains(&event.event_name);
        if !self.only.as_ref().is_none_or(allowed) {
            return Some(Unfit::Unrouted(Reason::new("not_in_only")));
        }
        let takes = self.takes?;
        match self.events.get(&event.event_name) {
            None => unfit(takes, event),
            Some(name) => {
                let named = Event { event_name: name.clone(), ..event.clone() };
                unfit(takes, &named)
            }
        }
    }
}

/// What a platform has no place for, whatever its settings.
pub(crate) fn unfit(takes: Takes, event: &Event) -> Option<Unfit> {
    let reason = match () {
        () if event.event_name == REFUND && !takes.refunds => "no_refunds",
        () if !takes.limited_use && parts::is_limited(event) => "no_limited_use",
        () => return None,
    };
    Some(Unfit::Unrouted(Reason::new(reason)))
}

/// A destination behind its filter.
struct Routed {
    filter: Filter,
    inner: Box<dyn Destination>,
}

impl Routed {
    /// The events that may go, as the platform shall see them, with their positions; and the rest.
    fn sort(&self, events: &[Event]) -> (Vec<Event>, Vec<usize>, Vec<(usize, Unfit)>) {
        let (mut shaped, mut places, mut unfit) = (Vec::new(), Vec::new(), Vec::new());
        for (at, event) in events.iter().enumerate() {
            match self.filter.judged(event) {
                Some(why) => unfit.push((at, why)),
                None => {
                    places.push(at);
                    shaped.push(self.filter.shaped(event));
                }
            }
        }
        (shaped, places, unfit)
    }
}

impl Destination for Routed {
    fn spec(&self) -> &'static Spec {
        self.inner.spec()
    }

    fn api_version(&self) -> Option<ApiVersion> {
        self.inner.api_version()
    }

    fn requests_per_minute(&self) -> Option<u32> {
        self.inner.requests_per_minute()
    }

    fn is_about_credential(&self, reason: &str) -> bool {
        CREDENTIAL_REASONS.contains(&reason) || self.inner.is_about_credential(reason)
    }

    fn max_age(&self, event: &Event) -> Duration {
        self.inner.max_age(event)
    }

    fn unfit(&self, event: &Event) -> Option<Unfit> {
        let judged = self.filter.judged(event);
        judged.or_else(|| self.inner.unfit(&self.filter.shaped(event)))
    }

    fn plan(&self, events: &[Event]) -> Plan {
        // The usual case copies nothing.
        if self.filter.changes_nothing() && events.iter().all(|e| self.filter.judged(e).is_none()) {
            return self.inner.plan(events);
        }
        let (shaped, places, mut unfit) = self.sort(events);
        let mut plan = self.inner.plan(&shaped);
        for request in &mut plan.requests {
            for at in &mut request.events {
                *at = places[*at];
            }
        }
        unfit.extend(plan.unfit.into_iter().map(|(at, why)| (places[at], why)));
        plan.unfit = unfit;
        plan
    }

    fn verdict(&self, events: &[Event], answer: &Response) -> Verdict {
        self.inner.verdict(events, answer)
    }

    fn status_request(&self, ticket: &Ticket) -> Option<Request> {
        self.inner.status_request(ticket)
    }

    fn status_verdict(&self, ticket: &Ticket, events: &[Event], answer: &Response) -> Verdict {
        self.inner.status_verdict(ticket, events, answer)
    }

    fn drops_duplicates(&self, event: &Event) -> bool {
        self.inner.drops_duplicates(&self.filter.shaped(event))
    }

    fn test_request(&self, events: &[Event], code: Option<&str>) -> Option<Request> {
        let (shaped, places, _) = self.sort(events);
        let mut request = self.inner.test_request(&shaped, code)?;
        for at in &mut request.events {
            *at = places[*at];
        }
        Some(request)
    }

    fn test_verdict(&self, events: &[Event], answer: &Response) -> Verdict {
        self.inner.test_verdict(events, answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::build;
    use crate::platform::tests::events;
    use serde_json::json;

    fn webhook(settings: Value) -> Box<dyn Destination> {
        let mut all = json!({"endpoint": "https://events.example.com/in"});
        let (Value::Object(all), Value::Object(given)) = (&mut all, settings) else {
            panic!("objects")
        };
        all.extend(given);
        build("webhook", &Value::Object(std::mem::take(all))).expect("settings")
    }

    fn sent(settings: Value, event: &Event) -> Value {
        let plan = webhook(settings).plan(std::slice::from_ref(event));
        plan.requests[0].body["events"][0].clone()
    }

    #[test]
    fn what_is_omitted_stays_here_in_every_form() {
        let mut event = events(1).remove(0);
        let digests = event.identity.get("email").expect("an email address").to_vec();
        event.identity.insert("email/gmail", &digests);
        let with = sent(json!({}), &event);
        assert!(with["identity"]["email/gmail"].is_array());
        let without = sent(json!({"omit": ["email", "client_user_agent"]}), &event);
        assert_eq!(without["identity"], json!({}));
        assert!(without["facts"].get("client_user_agent").is_none());
        assert!(without["facts"].get("event_source_url").is_some());
    }

    #[test]
    fn the_amount_comes_from_the_named_field_or_from_nowhere() {
        let mut event = events(1).remove(0);
        assert!(sent(json!({"value_from": "predicted_ltv"}), &event).get("value").is_none());
        event.facts.0.insert("predicted_ltv".into(), json!(480));
        assert_eq!(sent(json!({"value_from": "predicted_ltv"}), &event)["value"], json!(480));
        assert_eq!(sent(json!({"value_from": "value"}), &event)["value"].to_string(), "12.50");
    }

    #[test]
    fn events_are_named_anew_and_chosen() {
        let mut all = events(3);
        all[1].event_name = "OrderPlaced".into();
        let only = webhook(json!({"only": ["OrderPlaced"], "events": {"OrderPlaced": "Purchase"}}));
        let plan = only.plan(&all);
        assert_eq!(plan.requests[0].events, [1]);
        assert_eq!(plan.requests[0].body["events"][0]["event_name"], "Purchase");
        let why = Unfit::Unrouted(Reason::new("not_in_only"));
        assert_eq!(plan.unfit, [(0, why.clone()), (2, why)]);
    }

    #[test]
    fn who_has_no_refunds_gets_none_under_whatever_name() {
        let meta = |events: Value| {
            build("meta", &json!({"pixel_id": "1", "events": events})).expect("settings")
        };
        let mut event = events(1).remove(0);
        event.event_name = REFUND.into();
        let refused = Some(Unfit::Unrouted(Reason::new("no_refunds")));
        assert_eq!(meta(json!({})).unfit(&event), refused);
        assert_eq!(meta(json!({"Refund": "OrderReturned"})).unfit(&event), None);
        event.event_name = "Storno".into();
        assert_eq!(meta(json!({"Storno": REFUND})).unfit(&event), refused);
        assert_eq!(webhook(json!({})).unfit(&event), None);
    }

    #[test]
    fn settings_that_are_none_are_refused_by_key_and_rule() {
        for (settings, key) in [
            (json!({"only": "Purchase"}), "only"),
            (json!({"only": [""]}), "only"),
            (json!({"events": {"Purchase": 7}}), "events"),
            (json!({"events": {"Purchase": ""}}), "events"),
            (json!({"omit": ["s3cret"]}), "omit"),
            (json!({"omit": ["event_id"]}), "omit"),
            (json!({"omit": ["opt_out"]}), "omit"),
            (json!({"value_from": "s3cret"}), "value_from"),
            (json!({"value_from": "order_id"}), "value_from"),
        ] {
            let mut all = settings.as_object().expect("an object").clone();
            all.insert("pixel_id".into(), "1".into());
            let error = build("meta", &Value::Object(all)).err().expect(key).to_string();
            assert!(error.starts_with(&format!("setting {key}: must")), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
        let nulls = json!({"pixel_id": "1", "only": null, "events": null, "omit": null,
            "value_from": null});
        build("meta", &nulls).expect("null is as if not given");
    }
}
