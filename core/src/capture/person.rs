//! Whether a text holds what identifies a person by itself: an email address or an international phone
//! number.

use std::borrow::Cow;

use crate::identity::phone;

/// Rounds of percent-encoding that are looked through; more than one comes of redirects.
const ROUNDS: usize = 3;

/// The word for a text that holds an email address.
pub(super) const MAIL: &str = "email_address";

/// The word for a text that holds an international phone number.
pub(super) const PHONE: &str = "phone_number";

/// Digits of a phone number with its country: E.164.
const FEWEST_DIGITS: usize = 8;
const MOST_DIGITS: usize = 15;

/// Digits behind a `+` that are a number even where no plan knows it.
const SURELY_DIALLED: usize = 10;

/// Why a text may not be kept in clear.
pub(crate) fn person_in(text: &str) -> Option<&'static str> {
    // Nearly every text is done here: neither address nor number is without one of these.
    if !text.bytes().any(|b| matches!(b, b'@' | b'%' | b'+' | 0xef)) {
        return None;
    }
    match () {
        () if holds_mail(text) => Some(MAIL),
        () if holds_phone(text) => Some(PHONE),
        () => None,
    }
}

/// Whether an email address stands anywhere in the text, percent-encoded or not.
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

/// Whether an international phone number stands anywhere in the text, percent-encoded or not.
fn holds_phone(text: &str) -> bool {
    let text = decoded(text);
    text.match_indices(['+', '\u{ff0b}']).any(|(at, sign)| {
        let before = text[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && c != '+')
            && is_phone(&text[at + sign.len()..])
    })
}

/// Whether the text begins with the digits of a phone number, its calling code first.
fn is_phone(text: &str) -> bool {
    let (mut digits, mut is_compact, mut in_group) = (String::new(), true, false);
    for c in text.chars() {
        match c {
            '0'..='9' if digits.len() < MOST_DIGITS => {
                digits.push(c);
                in_group = true;
            }
            '0'..='9' => return false,
            ' ' | '-' | '.' | '(' | ')' | '/' | '\u{a0}' | '\u{202f}' | '\u{2009}' | '\u{2011}' => {
                if in_group && could_be_called(&digits, is_compact) {
                    return true;
                }
                is_compact &= !in_group;
                in_group = false;
            }
            c if c.is_alphanumeric() => return false,
            _ => break,
        }
    }
    in_group && could_be_called(&digits, is_compact)
}

/// Whether a plan knows the number; one without gaps counts as soon as it could exist.
fn could_be_called(digits: &str, is_compact: bool) -> bool {
    digits.len() >= FEWEST_DIGITS
        && (phone::is_valid(digits)
            || (is_compact && digits.len() >= SURELY_DIALLED && phone::is_possible(digits)))
}

/// The text without percent-encoding; bytes that are no text are left out.
pub(super) fn decoded(text: &str) -> Cow<'_, str> {
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
