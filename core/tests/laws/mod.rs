//! What holds for every input of a parser: asserted by the property tests and the fuzz targets.

#![allow(dead_code, reason = "either test uses some of them")]

use capi_core::capture::{Captured, Options, Row, capture};
use capi_core::consent::{Consent, refuses};
use capi_core::event::packed::{self, Packer};
use capi_core::hash::Digest;
use capi_core::identity::rules::{self, FieldError, FieldValue, normalize_field};
use capi_core::identity::{
    Context, Form, Identifier, Normalized, PLATFORMS, country_code, hash_all, normalize,
};
use capi_core::money::{Amount, Currency};
use capi_core::time::Timestamp;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// SHA-256 of the empty string.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Every platform's form: normalising again changes nothing, digests are digests of something,
/// and all forms at once are the same as one at a time.
pub(crate) fn identifier(identifier: Identifier, value: &str, context: &Context<'_>) {
    in_clear(identifier, value, context);
    let hashed = hash_all(identifier, &[value], context);
    for platform in PLATFORMS {
        let form = Form::of(identifier, platform);
        let stored = hashed.forms.iter().find(|(stored, _)| *stored == form);
        let stored = stored.map_or(&hashed.digests, |(_, digests)| digests);
        let Ok(once) = normalize(identifier, value, platform, context) else {
            assert!(stored.is_empty(), "{identifier:?} {platform}: stored and yet dropped");
            continue;
        };
        let digest = once.digest();
        assert_eq!(*stored, std::slice::from_ref(&digest), "{identifier:?} {platform}");
        is_digest(identifier, &digest);
        if let Normalized::Text(text) = &once {
            assert!(!text.trim().is_empty(), "{identifier:?} {platform}: nothing is left");
            assert!(!Digest::is_mangled(text, true), "{identifier:?} {platform}: hashed again");
            assert_eq!(Digest::recognise(text), None, "{identifier:?} {platform}: hashed again");
        }
        let mut again = once.into_string();
        let expected = again.clone();
        // Digits alone do not say that they are international; the form with `+` does.
        if identifier == Identifier::Phone && again.len() != 64 && !again.starts_with('+') {
            again.insert(0, '+');
        }
        let again = normalize(identifier, &again, platform, context).map(Normalized::into_string);
        assert_eq!(again.as_deref(), Ok(&*expected), "{identifier:?} {platform}: not stable");
    }
}

/// What a platform takes in clear is something, and no digest is made of it.
fn in_clear(identifier: Identifier, value: &str, context: &Context<'_>) {
    let field = identifier.as_str();
    for platform in PLATFORMS.into_iter().filter(|platform| !rules::is_hashed(field, platform)) {
        let given = normalize_field(field, value, platform, context);
        assert_eq!(given == Err(FieldError::NotTaken), !rules::is_taken(field, platform));
        let Ok(once) = given else { continue };
        assert!(once.digest().is_err(), "{field} {platform}");
        let once = once.into_string();
        assert!(!once.trim().is_empty(), "{field} {platform}: nothing is left");
    }
}

fn is_digest(identifier: Identifier, digest: &Digest) {
    let text = digest.as_str();
    assert!(text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
    assert_ne!(text, EMPTY);
    for word in ["n/a", "none", "unknown", "test", "null", "null null", "undefined undefined", "-"]
    {
        // The family name Null is the one exception.
        let is_real = word == "null" && identifier == Identifier::LastName;
        assert!(is_real || *digest != Digest::of(word), "{identifier:?}: a placeholder was hashed");
    }
}

/// A field that travels in clear: normalising again changes nothing, and no digest is made.
pub(crate) fn clear_field(field: &str, value: &str, context: &Context<'_>) {
    assert!(!rules::is_hashed(field, "meta"));
    let Ok(once) = normalize_field(field, value, "meta", context) else { return };
    assert!(once.digest().is_err());
    let once = once.into_string();
    assert!(!once.trim().is_empty() && !once.contains(|c: char| c.is_control()), "{field}");
    let again = normalize_field(field, &once, "meta", context).map(FieldValue::into_string);
    assert_eq!(again.as_deref(), Ok(&*once), "{field}: not stable");
}

/// A digest is recognised with its suffix and stays itself; what is no digest is left to rules.
pub(crate) fn recognised(value: &str) {
    let Some(digest) = Digest::recognise(value) else {
        return;
    };
    is_hex(&digest);
    assert_eq!(Digest::recognise(digest.as_str()), Some(digest.clone()));
    let given = digest.as_str();
    assert!(value.to_lowercase().contains(given), "a digest was made up");
    for identifier in Identifier::ALL {
        match normalize(identifier, value, "meta", &Context::default()) {
            Ok(Normalized::Digest(passed)) => assert_eq!(passed, digest),
            Ok(Normalized::Text(_)) => panic!("{identifier:?}: a digest was hashed again"),
            Err(_) => {}
        }
    }
}

fn is_hex(digest: &Digest) {
    assert!(digest.as_str().bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
}

/// Three upper-case letters that parse as themselves.
pub(crate) fn currency(value: &str) {
    let Ok(code) = Currency::parse(value) else { return };
    assert!(code.as_str().len() == 3 && code.as_str().bytes().all(|b| b.is_ascii_uppercase()));
    assert_eq!(Currency::parse(code.as_str()), Ok(code));
}

/// A plain decimal number that parses as itself and goes through JSON unharmed.
pub(crate) fn amount(value: &str) {
    let Ok(amount) = Amount::parse(value) else { return };
    assert_eq!(Amount::parse(amount.as_str()), Ok(amount.clone()));
    let json = serde_json::to_string(&amount).expect("a JSON number");
    assert_eq!(json, amount.as_str());
    let back: Amount = serde_json::from_str(&json).expect("a JSON number");
    assert_eq!(back, amount);
}

/// A moment that can be written down and read again.
pub(crate) fn timestamp(value: &str) {
    let Ok(moment) = Timestamp::parse(value) else { return };
    let _ = (moment.seconds(), moment.date(), moment.micros_since(Timestamp(i64::MIN)));
    let nanos = i128::from(moment.0) * 1_000;
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanos).expect("in range");
    // In UTC the first and last hours of the calendar have no four-digit year.
    if let Ok(text) = time.format(&Rfc3339) {
        assert_eq!(Timestamp::parse(&text), Ok(moment));
    }
}

/// What is given is not refused, what is refused is, and nobody else slips through.
pub(crate) fn consent(value: &Value) {
    let Ok(consent) = Consent::parse(value) else { return };
    let refused = consent.refused();
    let refuses = |name: &str| refuses(&refused, name, name);
    match consent {
        Consent::Given | Consent::Unknown => assert!(refused.is_empty()),
        Consent::Refused => assert!(refuses("meta")),
        Consent::GivenTo(names) => {
            assert!(names.iter().all(|name| !refuses(name)));
            assert!(names.iter().any(|name| name == "nobody") || refuses("nobody"));
        }
        Consent::RefusedTo(names) => {
            assert!(names.iter().all(|name| refuses(name)));
            assert!(names.iter().any(|name| name == "nobody") || !refuses("nobody"));
        }
    }
}

/// Whatever a view yields, capture neither panics nor stores a clear identifier or the digest of
/// nothing.
pub(crate) fn row(row: &Value, options: &Options, now: Timestamp) {
    let Value::Object(object) = row else { return };
    let Captured::Event(new) = capture(Row::from_object(object.clone()), options, now) else {
        return;
    };
    assert!(new.event.event_time <= now);
    for (key, digests) in new.event.identity.iter() {
        let name = key.split('/').next().unwrap_or_default();
        let identifier = Identifier::parse(name);
        let identifier = identifier.unwrap_or_else(|| panic!("{key} is no form of an identifier"));
        digests.iter().for_each(|digest| is_digest(identifier, digest));
    }
    assert!(new.dropped.values().all(|reason| !reason.is_empty()));
    let stored = serde_json::to_string(&new.event).expect("an event is JSON");
    let back = serde_json::from_str(&stored).expect("an event is read again");
    assert_eq!(new.event, back);
    let mut packer = Packer::default();
    packer.event(&new.event).expect("a small event");
    assert_eq!(packed::unpack(&packer.into_bytes().into()).as_ref(), Ok(&new.event));
    for identifier in [Identifier::Email, Identifier::FirstName, Identifier::City] {
        let Some(Value::String(text)) = object.get(identifier.as_str()) else { continue };
        let others = object.iter().filter(|(name, _)| *name != identifier.as_str());
        let elsewhere = others.map(|(_, value)| value.to_string()).any(|v| v.contains(&**text));
        // Longer than any text that stands in an event by chance, and no digest.
        if text.len() > 20 && !elsewhere && Digest::recognise(text).is_none() {
            assert!(!stored.contains(&**text), "{identifier:?} was stored in clear");
        }
    }
}

/// A country in the two letters, which read as themselves.
pub(crate) fn country(value: &str) {
    let Ok(code) = country_code(value) else { return };
    assert!(code.len() == 2 && code.bytes().all(|b| b.is_ascii_lowercase()));
    assert_eq!(country_code(&code), Ok(code));
}

/// Whatever a web request holds, capture takes all of what is found in it.
pub(crate) fn web_request(value: &str, at: Timestamp) {
    let text = Some(value);
    let found = capi_core::browser::browser(text, text, text, text, at);
    let row = serde_json::json!({"event_name": "Lead", "event_id": "l", "event_time": at,
        "action_source": "website", "consent": true, "browser": found});
    let Value::Object(row) = row else { panic!("an object") };
    match capture(Row::from_object(row), &Options::default(), at) {
        Captured::Event(new) => assert!(new.dropped.is_empty(), "{:?}", new.dropped),
        other => panic!("an event was expected: {other:?}"),
    }
}
