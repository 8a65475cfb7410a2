//! Click and browser ids: forwarded byte for byte or not at all.
//!
//! Meta's `fbc` and `fbp`: <https://developers.facebook.com/docs/marketing-api/conversions-api/parameters/fbp-and-fbc>,
//! read 2026-09-12. The fifth part is what Meta's parameter builder appends.

use crate::time::Timestamp;

use super::identifier::Identifier;
use super::normalize::{Context, normalize};
use super::placeholder;
use super::reason::DropReason;

/// Clicks older than this are refused by Meta: 90 days, in milliseconds.
const LIFETIME: i64 = 90 * 24 * 60 * 60 * 1_000;

/// The longest id, in bytes; the longest in the wild have a few hundred.
const LONGEST: usize = 1024;

/// The longest event id, in bytes, as in `capture`.
const LONGEST_EVENT_ID: usize = 256;

/// Checks Meta's click id `fb.1.<milliseconds>.<fbclid>` against the time of the event.
pub fn fbc(value: &str, event_time: Timestamp) -> Result<String, DropReason> {
    in_time(fbc_click(value)?, event_time)?;
    Ok(value.to_owned())
}

/// Checks the shape of a click id, whose event is not known.
pub(super) fn fbc_shape(value: &str) -> Result<String, DropReason> {
    fbc_click(value).map(|_| value.to_owned())
}

/// The moment of the click, in milliseconds.
fn fbc_click(value: &str) -> Result<i64, DropReason> {
    let (clicked_at, fbclid) = parts(value)?;
    if fbclid.is_empty() || !fbclid.bytes().all(is_base64url) {
        return Err(DropReason::Malformed);
    }
    Ok(clicked_at)
}

/// Checks Meta's browser id `fb.1.<milliseconds>.<random digits>`.
pub fn fbp(value: &str) -> Result<String, DropReason> {
    let (_, random) = parts(value)?;
    if random.is_empty() || !random.bytes().all(|b| b.is_ascii_digit()) {
        return Err(DropReason::Malformed);
    }
    Ok(value.to_owned())
}

/// Builds a click id from the query parameter `fbclid` and the moment of the click.
///
/// A value that is a whole click id already is checked and never wrapped again.
pub fn fbc_from_fbclid(
    fbclid: &str,
    clicked_at: Timestamp,
    event_time: Timestamp,
) -> Result<String, DropReason> {
    if fbclid.starts_with("fb.") {
        return fbc(fbclid, event_time);
    }
    fbclid_shape(fbclid)?;
    // Index 1 is `example.com`; Meta asks servers for it.
    fbc(&format!("fb.1.{}.{fbclid}", clicked_at.0.div_euclid(1_000)), event_time)
}

/// Checks the query parameter `fbclid` alone; it travels only inside a click id.
pub(super) fn fbclid_shape(fbclid: &str) -> Result<String, DropReason> {
    if fbclid.starts_with("fb.") {
        return fbc_shape(fbclid);
    }
    let fbclid = opaque_id(fbclid)?;
    if fbclid.bytes().all(is_base64url) { Ok(fbclid) } else { Err(DropReason::Malformed) }
}

/// Checks Meta's id of a lead: 15 to 17 digits.
pub fn lead_id(value: &str) -> Result<String, DropReason> {
    let id = numeric_id(value)?;
    if matches!(id.len(), 15..=17) { Ok(id) } else { Err(DropReason::Malformed) }
}

/// Checks an id that is a positive whole number, such as that of Facebook Login.
pub fn numeric_id(value: &str) -> Result<String, DropReason> {
    let id = opaque_id(value)?;
    let is_number = id.bytes().all(|b| b.is_ascii_digit()) && !id.starts_with('0');
    if is_number && id.parse::<u64>().is_ok() { Ok(id) } else { Err(DropReason::Malformed) }
}

/// Checks the id of an event: as it is, because the pixel sends the same.
pub fn event_id(value: &str) -> Result<String, DropReason> {
    match () {
        () if value.trim().is_empty() => Err(DropReason::Empty),
        () if value.len() > LONGEST_EVENT_ID => Err(DropReason::TooLong),
        () if value.chars().any(char::is_control) => Err(DropReason::Unprintable),
        () => Ok(value.to_owned()),
    }
}

/// Checks another platform's click, browser or device id, e.g. `gclid`, `ttclid`, `_scid`.
pub fn opaque_id(value: &str) -> Result<String, DropReason> {
    // Also the digest of nothing, and the zeros that a telephone gives to an app that may not
    // track: whoever shares an id with everybody is nobody.
    let is_nobody = || {
        let shop_id = normalize(Identifier::ExternalId, value, "meta", &Context::default());
        shop_id == Err(DropReason::Placeholder)
    };
    match () {
        () if value.trim().is_empty() => Err(DropReason::Empty),
        () if placeholder::is_missing_id(value) || is_nobody() => Err(DropReason::Placeholder),
        () if value.len() > LONGEST => Err(DropReason::TooLong),
        () if value.chars().any(|c| c.is_control() || c.is_whitespace()) => {
            Err(DropReason::Unprintable)
        }
        () => Ok(value.to_owned()),
    }
}

/// Splits `fb.<0-9>.<13 digits>.<value>[.<appendix>]` into milliseconds and value.
fn parts(value: &str) -> Result<(i64, &str), DropReason> {
    if value.trim().is_empty() {
        return Err(DropReason::Empty);
    }
    if placeholder::is_missing_id(value) {
        return Err(DropReason::Placeholder);
    }
    if value.len() > LONGEST {
        return Err(DropReason::TooLong);
    }
    let mut split = value.split('.');
    let parts = (split.next(), split.next(), split.next(), split.next(), split.next());
    let (Some("fb"), Some(index), Some(millis), Some(rest), appendix) = parts else {
        return Err(DropReason::Malformed);
    };
    let digits = |text: &str, n| text.len() == n && text.bytes().all(|b| b.is_ascii_digit());
    let appended = appendix.is_none_or(|a| matches!(a.len(), 2 | 8) && a.bytes().all(is_base64url));
    if !digits(index, 1) || !digits(millis, 13) || !appended || split.next().is_some() {
        return Err(DropReason::Malformed);
    }
    let millis = millis.parse().map_err(|_| DropReason::Malformed)?;
    Ok((millis, rest))
}

fn in_time(clicked_at_millis: i64, event_time: Timestamp) -> Result<(), DropReason> {
    // Whole milliseconds, so that rounding makes no click later than its event.
    match event_time.0.div_euclid(1_000) - clicked_at_millis {
        ..0 => Err(DropReason::LaterThanEvent),
        0..=LIFETIME => Ok(()),
        _ => Err(DropReason::Expired),
    }
}

fn is_base64url(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'-' || b == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLICK: Timestamp = Timestamp(1_700_000_000_123_456);
    const FBC: &str = "fb.1.1700000000123.AbC-dEf_123";

    fn after(days: i64) -> Timestamp {
        Timestamp(CLICK.0 + days * 24 * 60 * 60 * 1_000_000)
    }

    #[test]
    fn well_formed_ids_pass_byte_for_byte() {
        for value in [FBC, "fb.2.1700000000123.AbC.AQ", "fb.9.1700000000123.AbC.AQQCAQIB"] {
            assert_eq!(fbc(value, after(1)).as_deref(), Ok(value));
        }
        for value in ["fb.1.1700000000123.1098115397", "fb.0.1700000000123.1.AQQCAQIB"] {
            assert_eq!(fbp(value).as_deref(), Ok(value));
        }
    }

    #[test]
    fn malformed_ids_are_dropped() {
        for value in [
            "AbC-dEf_123",
            "fb.1.1700000000.AbC",
            "fb.12.1700000000123.AbC",
            "fb.1.1700000000123.",
            "fb.1.1700000000123.Ab C",
            "fb.1.1700000000123.AbC.AQQ",
            "fb.1.1700000000123.fb.1.1700000000123.AbC",
            " fb.1.1700000000123.AbC",
        ] {
            assert_eq!(fbc(value, after(1)), Err(DropReason::Malformed), "{value}");
        }
        assert_eq!(fbp(FBC), Err(DropReason::Malformed));
    }

    #[test]
    fn clicks_live_90_days_and_precede_the_event() {
        assert!(fbc(FBC, after(90)).is_ok());
        assert_eq!(fbc(FBC, after(91)), Err(DropReason::Expired));
        assert_eq!(fbc(FBC, after(-1)), Err(DropReason::LaterThanEvent));
        assert!(fbc(FBC, CLICK).is_ok());
    }

    #[test]
    fn fbclid_is_wrapped_once() {
        assert_eq!(fbc_from_fbclid("AbC-dEf_123", CLICK, after(1)).as_deref(), Ok(FBC));
        assert_eq!(fbc_from_fbclid(FBC, after(1), after(1)).as_deref(), Ok(FBC));
        assert_eq!(fbc_from_fbclid("Ab.C", CLICK, after(1)), Err(DropReason::Malformed));
        let seconds = Timestamp(1_700_000_000_123);
        assert_eq!(fbc_from_fbclid("AbC", seconds, after(1)), Err(DropReason::Malformed));
    }

    #[test]
    fn other_ids_are_verbatim() {
        assert_eq!(opaque_id("Cj0KCQ-AbC.1~2").as_deref(), Ok("Cj0KCQ-AbC.1~2"));
        assert_eq!(opaque_id("undefined"), Err(DropReason::Placeholder));
        assert_eq!(opaque_id("a b"), Err(DropReason::Unprintable));
        assert_eq!(opaque_id(&"x".repeat(2000)), Err(DropReason::TooLong));
    }
}
