//! Owns `user_data`: the keys that tell who it was, and whether they tell enough.

use std::net::IpAddr;

use serde_json::Value;

use super::click;
use super::clock::Clock;
use super::shape::{Fields, is_digits, texts};
use crate::refusal::Checked;
use crate::refusal::Refusal;

/// How a key is judged.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// SHA-256, one or several.
    Digests,
    /// SHA-256, one only.
    Digest,
    /// The advertiser's own id, one or several.
    Ids,
    /// Plain text.
    Text,
    Address,
    Click,
    Browser,
    Login,
    Lead,
}

const KEYS: &[(&str, Kind)] = &[
    ("em", Kind::Digests),
    ("ph", Kind::Digests),
    ("fn", Kind::Digests),
    ("ln", Kind::Digests),
    ("db", Kind::Digests),
    ("ge", Kind::Digests),
    ("ct", Kind::Digests),
    ("st", Kind::Digests),
    ("zp", Kind::Digests),
    ("country", Kind::Digests),
    ("f5first", Kind::Digest),
    ("f5last", Kind::Digest),
    ("fi", Kind::Digest),
    ("dobd", Kind::Digest),
    ("dobm", Kind::Digest),
    ("doby", Kind::Digest),
    ("app_user_id", Kind::Digest),
    ("external_id", Kind::Ids),
    ("client_ip_address", Kind::Address),
    ("client_user_agent", Kind::Text),
    ("fbc", Kind::Click),
    ("fbp", Kind::Browser),
    ("subscription_id", Kind::Text),
    ("fb_login_id", Kind::Login),
    ("lead_id", Kind::Lead),
    ("anon_id", Kind::Text),
    ("madid", Kind::Text),
    ("page_id", Kind::Text),
    ("page_scoped_user_id", Kind::Text),
    ("ctwa_clid", Kind::Text),
    ("ig_account_id", Kind::Text),
    ("ig_sid", Kind::Text),
    ("whatsapp_business_account_id", Kind::Text),
];

/// An event whose keys all lie within one of these groups cannot be matched to anybody.
const TOO_BROAD: [&[&str]; 4] = [
    &["ct", "country", "st", "zp", "ge", "client_user_agent"],
    &["db", "client_user_agent"],
    &["fn", "ge"],
    &["ln", "ge"],
];

/// SHA-256 of nothing: formally a digest, in fact a field that was empty.
pub(crate) const DIGEST_OF_NOTHING: &str =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Judges all keys and whether they could find somebody.
pub(super) fn check(user: Fields<'_>, event_time: i64, clock: Clock) -> Checked<()> {
    let kind_of = |key: &str| KEYS.iter().find(|(known, _)| *known == key).map(|(_, kind)| *kind);
    if let Some((key, _)) = user.iter().find(|(key, _)| kind_of(key).is_none()) {
        return Err(user.refuse(key, "is not a parameter of this edge"));
    }
    // What is empty does not count, whatever the key promises.
    let usable: Vec<&str> =
        user.iter().filter(|(_, value)| !is_nothing(value)).map(|(key, _)| key).collect();
    if TOO_BROAD.iter().any(|group| usable.iter().all(|key| group.contains(key))) {
        let rule = "the customer information is missing or too broad to match anybody";
        return Err(Refusal::coded(2_804_050, "user_data", rule));
    }
    for (key, value) in user.iter() {
        if let Some(kind) = kind_of(key) {
            check_value(user, key, kind, value, event_time, clock)?;
        }
    }
    Ok(())
}

fn check_value(
    user: Fields<'_>,
    key: &str,
    kind: Kind,
    value: &Value,
    event_time: i64,
    clock: Clock,
) -> Checked<()> {
    let refuse_unless = |holds: bool, rule: &str| match holds {
        true => Ok(()),
        false => Err(user.refuse(key, rule)),
    };
    match kind {
        Kind::Digests => texts(value)
            .ok_or_else(|| user.refuse(key, "must be text or a list of texts, not empty"))?
            .into_iter()
            .try_for_each(|text| check_digest(user, key, text)),
        Kind::Digest => {
            let text = value.as_str().ok_or_else(|| user.refuse(key, "must be text"))?;
            check_digest(user, key, text)
        }
        Kind::Ids => {
            let ids = texts(value).filter(|ids| ids.iter().all(|id| !id.trim().is_empty()));
            refuse_unless(ids.is_some(), "must be text or a list of texts, not empty")
        }
        Kind::Text => {
            let holds = value.as_str().is_some_and(|text| !text.trim().is_empty());
            refuse_unless(holds, "must be text, not empty")
        }
        Kind::Address => {
            let holds = value.as_str().is_some_and(is_address);
            refuse_unless(holds, "must be an IPv4 or IPv6 address")
        }
        Kind::Click => click::check_click(user, value, event_time, clock),
        Kind::Browser => click::check_browser(user, value),
        // Documented as an integer; the vendor's SDK declares text.
        Kind::Login => {
            let holds = value.is_u64() || value.as_str().is_some_and(is_digits);
            refuse_unless(holds, "must be an integer")
        }
        Kind::Lead => {
            let digits = match value {
                Value::Number(number) => number.to_string(),
                Value::String(text) => text.clone(),
                _ => String::new(),
            };
            let holds = is_digits(&digits) && (15..=17).contains(&digits.len());
            refuse_unless(holds, "must have 15 to 17 digits")
        }
    }
}

fn check_digest(user: Fields<'_>, key: &str, text: &str) -> Checked<()> {
    let (digest, appendix) = text.split_once('.').map_or((text, None), |(d, a)| (d, Some(a)));
    let is_digest =
        digest.len() == 64 && digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !is_digest || !appendix.is_none_or(click::is_appendix) {
        let rule = "must be SHA-256 in 64 lower-case hex digits";
        return Err(user.refuse_as(2_804_016, key, rule));
    }
    if digest == DIGEST_OF_NOTHING {
        return Err(user.refuse(key, "is the digest of an empty text"));
    }
    Ok(())
}

/// An address, alone or with the parameter builder's appendix. A port, a blank or brackets make it
/// none.
fn is_address(text: &str) -> bool {
    let is_ip = |text: &str| text.parse::<IpAddr>().is_ok();
    is_ip(text)
        || text.rsplit_once('.').is_some_and(|(ip, appendix)| {
            // Two digits would be a fifth number of the address.
            is_ip(ip) && click::is_appendix(appendix) && !is_digits(appendix)
        })
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty() || text == DIGEST_OF_NOTHING,
        Value::Array(list) => list.iter().all(is_nothing),
        _ => false,
    }
}
