//! What the settings of a destination say of its browser tag.
//!
//! Most platforms know the tag and the server's events by one id, which the settings hold already.
//! What only the tag needs stands in one object, the setting `tag`, which no platform's own
//! settings know: `id`, the tag's id, and `events`, what an event is called in the tag: a name, the
//! label of a Google Ads conversion, or the number of a LinkedIn conversion.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use crate::destination::SettingsError;

/// The setting.
const KEY: &str = "tag";

/// Longest id and label; the longest in use is a UUID.
const LONGEST: usize = 64;

/// The tag of a destination.
#[derive(Debug)]
pub(crate) struct Tag {
    /// The vendor's id of it: letters, digits, dashes and underscores.
    pub(crate) id: String,
    /// The platform's own settings.
    pub(crate) settings: Value,
    events: BTreeMap<String, String>,
}

impl Tag {
    /// Reads the tag of a destination. `known` is the platform's own setting that is the tag's id too.
    pub(crate) fn read(
        known: Option<&'static str>,
        settings: &Value,
    ) -> Result<Self, SettingsError> {
        check(settings)?;
        let own = settings.get(KEY);
        let id = own
            .and_then(|tag| tag.get("id"))
            .or_else(|| settings.get(known?))
            .and_then(Value::as_str);
        let Some(id) = id.filter(|id| is_id(id)) else {
            return Err(match known {
                Some(key) => broken(key, "must hold the id of the tag"),
                None => broken("tag", "must hold the id of the tag: {\"tag\": {\"id\": …}}"),
            });
        };
        let events = own.and_then(|tag| tag.get("events")).and_then(Value::as_object);
        let events = events
            .into_iter()
            .flatten()
            .filter_map(|(event, name)| Some((event.clone(), name.as_str()?.to_owned())));
        Ok(Self {
            id: id.to_owned(),
            events: events.collect(),
            settings: without(settings).into_owned(),
        })
    }

    /// Goes on with the platform's own settings and with an event that they call otherwise.
    pub(crate) fn shape(&mut self, from: &str, to: &str, settings: Value) {
        self.settings = settings;
        if let Some(name) = self.events.get(from).cloned() {
            self.events.insert(to.to_owned(), name);
        }
    }

    /// What an event is called in the tag, if the settings say so.
    pub(crate) fn event(&self, name: &str) -> Option<&str> {
        self.events.get(name).map(String::as_str)
    }
}

/// Refuses a `tag` that is none.
pub(crate) fn check(settings: &Value) -> Result<(), SettingsError> {
    let Some(tag) = settings.get(KEY) else { return Ok(()) };
    let tag = tag.as_object().ok_or_else(|| broken(KEY, "must be an object of id and events"))?;
    for (key, value) in tag {
        match (key.as_str(), value) {
            ("id", Value::String(id)) if is_id(id) => {}
            ("id", _) => {
                return Err(broken("tag.id", "must be letters, digits, dashes and underscores"));
            }
            ("events", Value::Object(events)) => {
                let fits = |value: &Value| value.as_str().is_some_and(is_id);
                if !events.values().all(fits) {
                    let rule = "must hold, per event name, its name, label or number in the tag \
                                as a text of letters, digits, dashes and underscores";
                    return Err(broken("tag.events", rule));
                }
            }
            ("events", _) => return Err(broken("tag.events", "must be an object")),
            // An unknown key may be a value in the wrong place.
            _ => return Err(broken(KEY, "has an unknown key; known are id and events")),
        }
    }
    Ok(())
}

/// The settings as the platform knows them.
pub(crate) fn without(settings: &Value) -> Cow<'_, Value> {
    match settings {
        Value::Object(map) if map.contains_key(KEY) => {
            let rest = map.iter().filter(|(key, _)| *key != KEY);
            Cow::Owned(Value::Object(rest.map(|(k, v)| (k.clone(), v.clone())).collect()))
        }
        _ => Cow::Borrowed(settings),
    }
}

fn is_id(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
}

fn broken(key: &str, rule: &str) -> SettingsError {
    SettingsError::Setting { key: key.to_owned(), rule: rule.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_id_is_the_platforms_own_unless_the_tag_has_another() {
        let of = |known, settings: Value| Tag::read(known, &settings).map(|t| t.id);
        let pixel_id = Some("pixel_id");
        assert_eq!(of(pixel_id, json!({"pixel_id": "12"})).expect("an id"), "12");
        assert_eq!(of(pixel_id, json!({"pixel_id": "1", "tag": {}})).expect("an id"), "1");
        let both = json!({"pixel_id": "12", "tag": {"id": "34"}});
        assert_eq!(of(pixel_id, both).expect("an id"), "34");
        let error = of(pixel_id, json!({})).expect_err("none").to_string();
        assert!(error.starts_with("setting pixel_id:"), "{error}");
        let error = of(None, json!({"ad_account_id": "1"})).expect_err("none").to_string();
        assert!(error.starts_with("setting tag:"), "{error}");
    }

    #[test]
    fn a_tag_that_is_none_is_refused_without_its_value() {
        for (tag, key) in [
            (json!("secret"), "tag"),
            (json!({"secret": 1}), "tag"),
            (json!({"id": "\"secret"}), "tag.id"),
            (json!({"id": 1}), "tag.id"),
            (json!({"events": ["secret"]}), "tag.events"),
            (json!({"events": {"Lead": "<secret>"}}), "tag.events"),
        ] {
            let error = check(&json!({"tag": tag})).expect_err(key).to_string();
            assert!(error.starts_with(&format!("setting {key}:")), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
        check(&json!({"tag": {"id": "AW-1", "events": {"Purchase": "AbC-D_efG"}}})).expect("fine");
        assert_eq!(*without(&json!({"tag": {}, "x": 1})), json!({"x": 1}));
    }
}
