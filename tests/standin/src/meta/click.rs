//! Owns the ids that the vendor's pixel keeps in a browser: of the click and of the browser.

use serde_json::Value;

use super::clock::{Clock, DAY};
use super::shape::{Fields, is_digits};
use crate::refusal::Checked;

/// Life of a click id, in milliseconds: the cookie that holds it lives 90 days.
const CLICK_LIFE_MS: i64 = 90 * DAY * 1000;

/// Judges `fbc`.
pub(super) fn check_click(
    user: Fields<'_>,
    value: &Value,
    event_time: i64,
    clock: Clock,
) -> Checked<()> {
    let refuse = |rule| user.refuse_as(2_804_001, "fbc", rule);
    let clicked_at = value
        .as_str()
        .and_then(|text| parse(text, |tail| tail.bytes().all(is_base64url)))
        .ok_or_else(|| refuse("must be fb.<index>.<milliseconds>.<click id>"))?;
    if clicked_at < event_time.saturating_mul(1000) - CLICK_LIFE_MS {
        return Err(refuse("the click must lie within the 90 days before the event"));
    }
    // Not the event's time: the vendor's SDK makes ids of the moment when it builds the event.
    if clicked_at / 1000 > clock.now + clock.max_future {
        return Err(refuse("the click must not lie in the future"));
    }
    Ok(())
}

/// Judges `fbp`, which has no subcode: the platform itself may only warn.
pub(super) fn check_browser(user: Fields<'_>, value: &Value) -> Checked<()> {
    match value.as_str().and_then(|text| parse(text, is_digits)) {
        Some(_) => Ok(()),
        None => Err(user.refuse("fbp", "must be fb.<index>.<milliseconds>.<digits>")),
    }
}

/// Splits `fb.<index>.<milliseconds>.<tail>[.<appendix>]` and answers the milliseconds.
fn parse(text: &str, tail_is_valid: impl Fn(&str) -> bool) -> Option<i64> {
    let parts: Vec<&str> = text.split('.').collect();
    let (head, appendix) = match parts.as_slice() {
        [head @ .., appendix] if parts.len() == 5 => (head, Some(*appendix)),
        head => (head, None),
    };
    // Any one digit: the documented 0 to 2 count the labels of the domain, and some have more.
    let &["fb", index, millis, tail] = head else { return None };
    let well_formed = index.len() == 1
        && is_digits(index)
        && millis.len() == 13
        && is_digits(millis)
        && !tail.is_empty()
        && tail_is_valid(tail)
        && appendix.is_none_or(is_appendix);
    well_formed.then(|| millis.parse().ok()).flatten()
}

/// Whether this is what the vendor's parameter builder appends: 2 or 8 characters.
pub(super) fn is_appendix(text: &str) -> bool {
    matches!(text.len(), 2 | 8) && text.bytes().all(is_base64url)
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}
