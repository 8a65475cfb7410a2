//! One guard for everything that is kept in clear: what is or names a person goes, in keys and ids
//! of events, in facts at every depth, in URLs, and in names.
//!
//! A name counts by [`names::identifier`]; a value by what it looks like, which only an email address
//! and an international phone number tell. A number without its `+` could be anything.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::json_fields;
use super::person::{MAIL, decoded, person_in};
use names::{Place, identifier};

mod names;

/// What was cut, for `dropped`: its place and the reason.
pub(super) type Cut = (&'static str, &'static str);

/// What is left of a fact; none when that is nothing. Places of what was cut go to `dropped`: keys
/// are the sender's own, so only those that name a field are quoted.
pub(super) fn fact(
    field: &'static str,
    value: Value,
    dropped: &mut BTreeMap<String, String>,
) -> Option<Value> {
    let cleaner = Cleaner {
        names: match field {
            "custom" => Some(Place::Property),
            "contents" => Some(Place::Item),
            // Their keys are a fixed set, or they have none.
            _ => None,
        },
        is_custom: field == "custom",
    };
    if cleaner.is_clean(&value, "") {
        return Some(value);
    }
    let mut value = cleaner.value(field, "", value, dropped)?;
    if field == "contents"
        && let Value::Array(items) = &mut value
    {
        // An item whose id was a person is none.
        items.retain(|item| item.get("id").is_some());
        if items.is_empty() {
            return None;
        }
    }
    Some(value)
}

/// Goes through a value.
struct Cleaner {
    /// Whether the names of members are looked at, and as what.
    names: Option<Place>,
    is_custom: bool,
}

impl Cleaner {
    fn identifier(&self, key: &str, parent: &str, value: &Value) -> Option<(&'static str, bool)> {
        // `{"email": true}` says that somebody has agreed to mail.
        if value.is_boolean() || value.is_null() {
            return None;
        }
        let place = self.names?;
        if place == Place::Item && json_fields::is_key_of_item(key) {
            return None;
        }
        identifier(key, parent, place)
    }

    /// Whether nothing is to be cut, which costs no copy.
    fn is_clean(&self, value: &Value, parent: &str) -> bool {
        match value {
            Value::String(text) => person_in(text).is_none() && !is_url(text),
            Value::Array(values) => values.iter().all(|value| self.is_clean(value, parent)),
            Value::Object(map) => map.iter().all(|(key, value)| {
                person_in(key).is_none()
                    && self.identifier(key, parent, value).is_none()
                    && self.is_clean(value, key)
            }),
            _ => true,
        }
    }

    /// What is left of a value; none when that is nothing.
    fn value(
        &self,
        path: &str,
        parent: &str,
        value: Value,
        dropped: &mut BTreeMap<String, String>,
    ) -> Option<Value> {
        match value {
            Value::String(text) if is_url(&text) => {
                let (left, cuts) = url(&text);
                for (part, reason) in cuts {
                    dropped.insert(format!("{path}.{part}"), reason.to_owned());
                }
                self.text(path, left, dropped)
            }
            Value::String(text) => self.text(path, text, dropped),
            Value::Array(values) if !values.is_empty() => {
                let path = format!("{path}[]");
                let left = |value| self.value(&path, parent, value, dropped);
                let values: Vec<Value> = values.into_iter().filter_map(left).collect();
                (!values.is_empty()).then_some(Value::Array(values))
            }
            Value::Object(map) if !map.is_empty() => {
                let map = self.members(path, parent, map, dropped);
                (!map.is_empty()).then_some(Value::Object(map))
            }
            value => Some(value),
        }
    }

    fn text(
        &self,
        path: &str,
        text: String,
        dropped: &mut BTreeMap<String, String>,
    ) -> Option<Value> {
        let Some(reason) = person_in(&text) else { return Some(Value::String(text)) };
        dropped.insert(path.to_owned(), self.reason(reason));
        None
    }

    fn members(
        &self,
        path: &str,
        parent: &str,
        map: Map<String, Value>,
        dropped: &mut BTreeMap<String, String>,
    ) -> Map<String, Value> {
        let mut kept = Map::new();
        for (key, value) in map {
            if let Some((name, whole)) = self.identifier(&key, parent, &value) {
                let name = if whole { key.as_str() } else { name };
                dropped.insert(format!("{path}.{name}"), self.reason("identifier"));
                continue;
            }
            // Of the keys of a fixed set everybody may know which it was.
            let path = match self.names {
                Some(Place::Item) if json_fields::is_key_of_item(&key) => format!("{path}.{key}"),
                Some(_) => format!("{path}.*"),
                None => format!("{path}.{key}"),
            };
            if let Some(reason) = person_in(&key) {
                dropped.insert(path, self.reason(reason));
            } else if let Some(value) = self.value(&path, &key, value, dropped) {
                kept.insert(key, value);
            }
        }
        kept
    }

    fn reason(&self, reason: &str) -> String {
        if self.is_custom { format!("{reason}_in_custom") } else { reason.to_owned() }
    }
}

/// Whether a text is the address of a page, of which parts can be cut.
fn is_url(text: &str) -> bool {
    let begins = |scheme: &str| {
        text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    text.contains(['?', '#', '@', '%', '+']) && (begins("https://") || begins("http://"))
}

/// A URL without user and password, without the path from an email address or phone number on, and
/// without parameters that hold an `@` or such a number, or have the name of an identifier; others,
/// such as `utm_source` and `fbclid`, stay. A fragment goes as a whole.
pub(super) fn url(text: &str) -> (String, Vec<Cut>) {
    let mut cuts = Vec::new();
    let (address, fragment) = split(text, '#');
    let (address, query) = split(address, '?');
    let (host, path) = {
        let start = match address.find("://") {
            Some(at) if !address[..at].contains('/') => at + 3,
            _ if address.starts_with("//") => 2,
            _ => 0,
        };
        let length = match start {
            0 => 0,
            _ => address[start..].find(['/', '\\']).unwrap_or(address.len() - start),
        };
        address.split_at(start + length)
    };
    let mut out = String::with_capacity(text.len());
    let authority = host.find("//").map_or(0, |at| at + 2);
    let user = ["@", "%40"].iter().filter_map(|at| Some(host.rfind(at)? + at.len())).max();
    match user.filter(|end| *end > authority) {
        Some(end) => {
            out.push_str(&host[..authority]);
            out.push_str(&host[end..]);
            cuts.push(("user", "user_in_url"));
        }
        None => out.push_str(host),
    }
    let mut at = 0;
    let mut found = None;
    for part in path.split_inclusive('/') {
        found = person_in(part);
        if found.is_some() {
            break;
        }
        at += part.len();
    }
    out.push_str(&path[..at]);
    if let Some(found) = found {
        let is_mail = found == MAIL;
        cuts.push((
            "path",
            if is_mail { "path_held_an_email_address" } else { "path_held_a_phone_number" },
        ));
    }
    if let Some(query) = query {
        let mut kept = Vec::new();
        let mut reason = None;
        for parameter in query.split(['&', ';']) {
            match personal(parameter) {
                None => kept.push(parameter),
                found => reason = found.max(reason),
            }
        }
        match reason {
            None => out.extend(["?", query]),
            Some(_) if kept.is_empty() => {}
            Some(_) => out.extend(["?", &kept.join("&")]),
        }
        cuts.extend(reason.map(|reason| ("query", reason)));
    }
    if let Some(fragment) = fragment {
        let named = |part: &&str| part.contains('=');
        let parts = fragment.split(['&', ';', '?', '/']).filter(named);
        match parts.chain([fragment].into_iter().filter(|f| !f.contains('='))).find_map(personal) {
            None => out.extend(["#", fragment]),
            Some(reason) => cuts.push(("fragment", reason)),
        }
    }
    (out, cuts)
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, behind)| (before, Some(behind)))
}

/// Why a parameter may not stay.
fn personal(parameter: &str) -> Option<&'static str> {
    let name = decoded(parameter.split_once('=').map_or(parameter, |(name, _)| name));
    match () {
        () if decoded(parameter).contains(['@', '\u{ff20}', '\u{fe6b}']) => {
            Some("query_held_an_email_address")
        }
        () if identifier(&name, "", Place::Parameter).is_some() => Some("query_held_an_identifier"),
        () if person_in(parameter).is_some() => Some("query_held_a_phone_number"),
        () => None,
    }
}

#[cfg(test)]
mod tests;
