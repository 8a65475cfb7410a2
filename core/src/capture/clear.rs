//! What names or is a person in values that stay in clear: properties of `custom`, and URLs.
//!
//! A name counts in any case and with any punctuation, also by the names that other senders use
//! ([`field::named`]) and with words in front, as in `customerEmail`; a value by what it looks
//! like, which only a mail address tells.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::field::{self, Class, Field};

/// Rounds of percent-encoding that are looked through; more than one comes of redirects.
const ROUNDS: usize = 3;

/// Fields that are one person's by name, whatever words stand in front: `billing_phone`. A
/// `store_city` is none.
const PERSONAL: [&str; 5] = ["email", "phone", "first_name", "last_name", "date_of_birth"];

/// The shortest name that counts behind other words: `fn` would be found too often.
const SHORTEST_LAST_WORD: usize = 3;

/// What was cut, for `dropped`: its place and the reason.
pub(super) type Cut = (&'static str, &'static str);

/// The field that this name means, if it is one that tells who somebody is, and whether there is
/// nothing else to the name.
fn identifier(name: &str) -> Option<(&'static Field, bool)> {
    let tells = |field: &&Field| matches!(field.class, Class::Digest | Class::Clear);
    if let Some(field) = field::named(name).filter(tells) {
        return Some((field, true));
    }
    let words = words(name);
    let field = (1..=words.len().min(3)).find_map(|n| {
        let last = words[words.len() - n..].concat();
        let field = field::named(&last)?;
        let found = PERSONAL.contains(&field.name) && last.len() >= SHORTEST_LAST_WORD;
        found.then_some(field)
    })?;
    Some((field, false))
}

/// The words of a name such as `customerEmail` or `customer[email]`, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for c in name.chars() {
        if !c.is_alphanumeric() || (was_lower && c.is_uppercase()) {
            words.push(String::new());
        }
        was_lower = c.is_lowercase();
        if c.is_alphanumeric() {
            words.last_mut().expect("one word at least").extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Whether a mail address stands anywhere in the text, percent-encoded or not.
pub(super) fn holds_mail(text: &str) -> bool {
    let text = decoded(text);
    let signs = ['@', '\u{ff20}', '\u{fe6b}'];
    text.match_indices(signs).any(|(at, sign)| {
        let before = text[..at].chars().next_back();
        let local = before.is_some_and(|c| c.is_alphanumeric() || "._%+-'\"!$*^~`{}|".contains(c));
        let behind = &text[at + sign.len()..];
        let in_host = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.');
        let end = behind.find(|c| !in_host(c)).unwrap_or(behind.len());
        let host = behind[..end].trim_matches('.').rsplit_once('.');
        let is_host = host.is_some_and(|(name, top)| {
            !name.is_empty() && top.chars().count() > 1 && top.starts_with(char::is_alphabetic)
        });
        local && is_host
    })
}

/// The text without percent-encoding; bytes that are no text are left out.
fn decoded(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..ROUNDS {
        match once_decoded(&text) {
            Some(next) => text = Cow::Owned(next),
            None => break,
        }
    }
    text
}

/// One round; none when nothing is encoded.
fn once_decoded(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let (mut out, mut at, mut found) = (Vec::with_capacity(bytes.len()), 0, false);
    while at < bytes.len() {
        let code = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(code.unwrap_or(bytes[at]));
        at += if code.is_some() { 3 } else { 1 };
        found |= code.is_some();
    }
    found.then(|| String::from_utf8_lossy(&out).into_owned())
}

/// Takes identifiers and mail addresses out of own properties, however deep. Their places go to
/// `dropped`: keys are the sender's own, so only those that name a field are quoted.
pub(super) fn clean(
    path: &str,
    map: Map<String, Value>,
    dropped: &mut BTreeMap<String, String>,
) -> Map<String, Value> {
    let mut kept = Map::new();
    for (key, value) in map {
        // `{"email": true}` says that somebody has agreed to mail.
        if !value.is_boolean()
            && !value.is_null()
            && let Some((field, whole)) = identifier(&key)
        {
            let name = if whole { key.as_str() } else { field.name };
            dropped.insert(format!("{path}.{name}"), "identifier_in_custom".to_owned());
            continue;
        }
        let path = format!("{path}.*");
        if holds_mail(&key) {
            dropped.insert(path, "mail_address_in_custom".to_owned());
        } else if let Some(value) = clean_value(&path, value, dropped) {
            kept.insert(key, value);
        }
    }
    kept
}

/// What is left of a value; none when that is nothing.
fn clean_value(path: &str, value: Value, dropped: &mut BTreeMap<String, String>) -> Option<Value> {
    match value {
        Value::String(text) if holds_mail(&text) => {
            dropped.insert(path.to_owned(), "mail_address_in_custom".to_owned());
            None
        }
        Value::Array(values) if !values.is_empty() => {
            let path = format!("{path}[]");
            let clean = |value| clean_value(&path, value, dropped);
            let values: Vec<Value> = values.into_iter().filter_map(clean).collect();
            (!values.is_empty()).then_some(Value::Array(values))
        }
        Value::Object(map) if !map.is_empty() => {
            let map = clean(path, map, dropped);
            (!map.is_empty()).then_some(Value::Object(map))
        }
        value => Some(value),
    }
}

/// A URL without user and password, without the path from a mail address on, and without
/// parameters that hold an `@` or have the name of an identifier that is hashed elsewhere; others,
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
    let clean = path.split_inclusive('/').take_while(|part| !holds_mail(part));
    at += clean.map(str::len).sum::<usize>();
    out.push_str(&path[..at]);
    if at < path.len() {
        cuts.push(("path", "path_held_a_mail_address"));
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
            Some("query_held_a_mail_address")
        }
        () if identifier(&name).is_some_and(|(field, _)| field.class == Class::Digest) => {
            Some("query_held_an_identifier")
        }
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_of_identifiers_are_found() {
        for name in [
            "Email",
            "E-Mail",
            "em",
            "EM",
            "ph",
            "fn",
            "ln",
            "zp",
            "firstName",
            "FIRST_NAME",
            "customer_email",
            "customerEmail",
            "customer[email]",
            "billing-phone",
            "user.first_name",
            "shippingDateOfBirth",
            "IP",
            "user_agent",
            "idfa",
            "customer_id",
            "Tel",
        ] {
            assert!(identifier(name).is_some(), "{name}");
        }
        for name in [
            "url",
            "amount",
            "items",
            "warehouse",
            "store_city",
            "order_state",
            "hotel",
            "emblem",
            "utm_source",
            "utm_medium",
            "fbclid",
            "size",
            "fnord",
            "email_count",
            "",
        ] {
            assert!(identifier(name).is_none(), "{name}");
        }
    }

    #[test]
    fn mail_addresses_are_found() {
        for text in [
            "jane@example.com",
            "to jane.doe+x@mail.example.co.uk!",
            "<jane@example.com>",
            "jane%40example.com",
            "jane%2540example.com",
            "jane＠example.com",
            "ä@ö.example",
        ] {
            assert!(holds_mail(text), "{text}");
        }
        for text in ["@handle", "a @ b.c", "3 @ 4.50", "12@4.5", "x@y", "%40", "100%", "%4"] {
            assert!(!holds_mail(text), "{text}");
        }
    }

    #[test]
    fn properties_lose_what_is_a_person() {
        let given = json!({
            "Email": "jane@example.com", "em": "x", "note": "ask jane@example.com", "n": 1,
            "customer": {"email": "j", "lastName": "Doe", "tier": "gold"}, "only": {"ph": 1},
            "list": ["a", "jane@example.com", {"fn": "Jane", "x": 1}], "empty": {}, "url": "/a",
            "mobile": true, "jane@example.com": {"id": 1}, "billingEmail": "j", "none": null,
        });
        let mut dropped = BTreeMap::new();
        let kept = clean("custom", given.as_object().expect("an object").clone(), &mut dropped);
        assert_eq!(
            Value::Object(kept),
            json!({"n": 1, "customer": {"tier": "gold"}, "list": ["a", {"x": 1}], "empty": {},
                "url": "/a", "mobile": true, "none": null})
        );
        assert_eq!(
            json!(dropped),
            json!({
                "custom.Email": "identifier_in_custom", "custom.em": "identifier_in_custom",
                "custom.email": "identifier_in_custom", "custom.*": "mail_address_in_custom",
                "custom.*.email": "identifier_in_custom", "custom.*.ph": "identifier_in_custom",
                "custom.*.lastName": "identifier_in_custom",
                "custom.*[]": "mail_address_in_custom",
                "custom.*[].fn": "identifier_in_custom",
            })
        );
    }

    #[test]
    fn urls_lose_what_is_a_person() {
        const MAIL: &str = "query_held_a_mail_address";
        const NAME: &str = "query_held_an_identifier";
        let path = [("path", "path_held_a_mail_address")];
        for (given, left, cut) in [
            ("https://jane:pw@h.example/x", "https://h.example/x", &[("user", "user_in_url")][..]),
            ("https://jane%40x.de:p@h.example", "https://h.example", &[("user", "user_in_url")]),
            ("//jane@h.example/x", "//h.example/x", &[("user", "user_in_url")]),
            ("https://h/u/jane@example.com/x?utm_source=a", "https://h/u/?utm_source=a", &path),
            ("https://h/u/jane%40example.com", "https://h/u/", &path),
            ("mailto:jane@example.com", "", &path),
            (
                "https://h/?phone=49&utm_source=a&fbclid=B",
                "https://h/?utm_source=a&fbclid=B",
                &[("query", NAME)],
            ),
            ("https://h/?Customer%5BEmail%5D=x", "https://h/", &[("query", NAME)]),
            ("https://h/?a=1;fn=Jane;b=2", "https://h/?a=1&b=2", &[("query", NAME)]),
            (
                "https://h/?u=jane%2540x.de&gclid=1#top",
                "https://h/?gclid=1#top",
                &[("query", MAIL)],
            ),
            ("https://h/?em=1&q=a@b", "https://h/", &[("query", NAME)]),
            ("https://h/#/done?email=x", "https://h/", &[("fragment", NAME)]),
            ("https://h/#jane@example.com", "https://h/", &[("fragment", MAIL)]),
        ] {
            assert_eq!(url(given), (left.to_owned(), cut.to_vec()), "{given}");
        }
        for same in [
            "https://h.example/@handle/a?utm_source=x&utm_campaign=y;z&fbclid=AbC_-#a/b=c",
            "/a/b",
            "https://h",
            "https://h?",
            "https://h/#",
            "",
            "https://h//x",
            "https://ü.de/%",
            "android-app://com.example/x",
            "https://h/?gclid=a&value=3&url=b",
        ] {
            assert_eq!(url(same), (same.to_owned(), vec![]), "{same}");
        }
    }
}
