//! SHA-256 as every platform wants it: 64 lower-case hex digits over UTF-8 bytes.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use unicode_normalization::UnicodeNormalization;

use crate::text::{is_joiner, is_unseen};

/// The SHA-256 digest of one normalised identifier: 64 lower-case hex digits.
///
/// Only hashing and recognising build one, so a digest of an empty string cannot exist.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 64]);

/// The text is not 64 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256 digest of 64 hex digits")]
pub struct NotADigest;

impl Digest {
    /// Hashes a normalised, non-empty value.
    ///
    /// # Panics
    /// When `normalized` is empty: normalising turns emptiness into absence before this.
    pub fn of(normalized: &str) -> Self {
        assert!(!normalized.is_empty(), "an empty value is absent and is never hashed");
        Self(hex(Sha256::digest(normalized.as_bytes()).into()))
    }

    /// Recognises a value that is a digest already: exactly 64 hex digits of any case, with or
    /// without the suffix that Meta's parameter builder appends (`.xx` or `.xxxxxxxx`).
    ///
    /// 32 hex digits (MD5, a UUID without dashes) are not a digest: Meta takes SHA-256 only.
    pub fn recognise(value: &str) -> Option<Self> {
        // Most values are through here at once.
        if value.len() < 64 {
            return None;
        }
        let value = value.trim();
        let (head, suffix) = match value.split_once('.') {
            Some((head, suffix)) => (head, Some(suffix)),
            None => (value, None),
        };
        let suffix_ok = suffix.is_none_or(|s| {
            matches!(s.len(), 2 | 8)
                && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        });
        let mut digits: [u8; 64] = head.as_bytes().try_into().ok()?;
        digits.make_ascii_lowercase();
        (suffix_ok && is_hex64(head)).then_some(Self(digits))
    }

    /// Whether a value is a digest with something around or between its digits: quotes, a prefix
    /// such as `sha256:`, `0x` or the `\x` of a Postgres `bytea`, separators, characters without
    /// width, full-width digits, also with the builder's suffix.
    ///
    /// Hashing one would make a digest of a digest, which matches nobody and says so nowhere.
    /// With `punctuation_counts`, punctuation between the digits makes another value of them: two
    /// UUIDs with a hyphen between are an id, not a digest.
    pub fn is_mangled(value: &str, punctuation_counts: bool) -> bool {
        // Every digit takes a byte at least, so that real values are through here at once.
        if value.len() < 64 {
            return false;
        }
        // Compatibility forms turn full-width and mathematical digits into plain ones.
        let value: Cow<'_, str> =
            if value.is_ascii() { value.into() } else { value.nfkc().collect::<String>().into() };
        let is_suffix = |suffix: &str| {
            let suffix = suffix.trim_end_matches(|c: char| !c.is_alphanumeric());
            matches!(suffix.chars().count(), 2 | 8)
        };
        let stem = value.rsplit_once('.').filter(|(_, suffix)| is_suffix(suffix));
        is_wrapped(&value, punctuation_counts)
            || stem.is_some_and(|(stem, _)| is_wrapped(stem, punctuation_counts))
    }

    /// The 64 lower-case hex digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only hex digits are stored")
    }
}

impl TryFrom<&str> for Digest {
    type Error = NotADigest;

    fn try_from(value: &str) -> Result<Self, NotADigest> {
        let lower = |b: &u8| b.is_ascii_digit() || (b'a'..=b'f').contains(b);
        match <[u8; 64]>::try_from(value.as_bytes()) {
            Ok(digits) if digits.iter().all(lower) => Ok(Self(digits)),
            _ => Err(NotADigest),
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = NotADigest;

    fn try_from(value: String) -> Result<Self, NotADigest> {
        value.as_str().try_into()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.as_str().to_owned()
    }
}

// A digest of an email address can be guessed by brute force, so it stays out of logs and panics.
impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digest(..)")
    }
}

/// The first 128 bits of the SHA-256 over length-prefixed parts: the arbiter key of an event.
///
/// Length prefixes keep ("ab", "c") and ("a", "bc") apart.
pub fn fingerprint(parts: &[&str]) -> [u8; 16] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let mut out = [0; 16];
    out.copy_from_slice(&hasher.finalize()[..16]);
    out
}

/// The SHA-256 over a salt and a digest's hex digits: finds a person again without keeping the
/// digest, which can be guessed.
pub fn salted(salt: &[u8], digest: &Digest) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(salt);
    hasher.update(digest.0);
    hasher.finalize().into()
}

/// What is written in front of a digest, without its punctuation.
const PREFIXES: [&str; 8] = ["", "sha256", "sha2", "sha", "0x", "x", "hex", "hash"];

fn is_wrapped(value: &str, punctuation_counts: bool) -> bool {
    let mut digits = String::with_capacity(72);
    let mut since_punctuation = 0;
    for c in value.chars() {
        if is_unseen(c) {
            continue;
        }
        if c.is_alphanumeric() {
            // Longer than any prefix and a digest, or of no hex digit: something else.
            if digits.len() > 71 || !c.is_ascii() {
                return false;
            }
            digits.push(c.to_ascii_lowercase());
            since_punctuation += 1;
        } else if !c.is_whitespace() && !is_joiner(c) {
            // Behind the last digit it is a closing quote.
            if since_punctuation < 64 {
                since_punctuation = 0;
            }
        }
    }
    let Some(prefix) = digits.len().checked_sub(64) else { return false };
    is_hex64(&digits[prefix..])
        && PREFIXES.contains(&&digits[..prefix])
        && (!punctuation_counts || since_punctuation >= 64)
}

pub(crate) fn is_hex64(value: &str) -> bool {
    value.len() == 64 && value.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The two hex digits of every byte.
const HEX: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let (mut table, mut byte) = ([[0; 2]; 256], 0);
    while byte < 256 {
        table[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    table
};

fn hex(bytes: [u8; 32]) -> [u8; 64] {
    let mut digits = [0; 64];
    for (two, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        two.copy_from_slice(&HEX[usize::from(byte)]);
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    // Published on Meta's customer-information-parameters page, read 2026-09-12.
    const JOHN: &str = "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f";

    #[test]
    fn hashes_the_published_example() {
        assert_eq!(Digest::of("john_smith@gmail.com").as_str(), JOHN);
    }

    #[test]
    fn recognises_a_digest_with_and_without_the_builders_suffix() {
        for value in [
            JOHN.to_owned(),
            JOHN.to_uppercase(),
            format!(" {JOHN} "),
            format!("{JOHN}.AQ"),
            format!("{JOHN}.AQQCAQIB"),
        ] {
            assert_eq!(Digest::recognise(&value).expect("a digest").as_str(), JOHN);
        }
    }

    #[test]
    fn refuses_what_only_looks_like_a_digest() {
        for value in [&JOHN[..32], &JOHN[..63], &format!("{JOHN}a"), &format!("{JOHN}.AQQ"), ""] {
            assert_eq!(Digest::recognise(value), None);
        }
    }

    #[test]
    fn knows_a_digest_in_disguise() {
        let spaced = format!("{} {}", &JOHN[..32], &JOHN[32..]);
        let wide: String = JOHN
            .chars()
            .map(|c| {
                if c.is_ascii_digit() { char::from_u32(c as u32 + 0xfee0).unwrap_or(c) } else { c }
            })
            .collect();
        for value in [
            format!("'{JOHN}'"),
            format!("sha256:{JOHN}"),
            format!("SHA-256={JOHN}"),
            format!("0x{}", JOHN.to_uppercase()),
            format!("\\x{JOHN}"),
            format!("\u{feff}{JOHN}"),
            format!("\"{JOHN}.AQQCAQIB\""),
            spaced.replace(' ', "\u{200b}"),
            spaced.replace(' ', "\u{3164}"),
            spaced.replace(' ', "\u{2800}"),
            spaced.replace(' ', "\u{fe0f}"),
            spaced.replace(' ', "\u{200d}"),
            spaced,
            wide,
        ] {
            assert_eq!(Digest::recognise(&value), None, "{value}");
            assert!(Digest::is_mangled(&value, false), "{value}");
            assert!(Digest::is_mangled(&value, true), "{value}");
        }
        let uuids = "123e4567-e89b-12d3-a456-426614174000:123e4567-e89b-12d3-a456-426614174001";
        assert!(Digest::is_mangled(uuids, false) && !Digest::is_mangled(uuids, true));
        for value in [&JOHN[1..], &format!("{JOHN}00"), &format!("user{JOHN}"), &"é".repeat(64)] {
            assert!(!Digest::is_mangled(value, false), "{value}");
        }
    }

    #[test]
    fn debug_shows_no_digest() {
        assert!(!format!("{:?}", Digest::of("x")).contains("2d71"));
    }

    #[test]
    fn fingerprint_keeps_boundaries() {
        assert_ne!(fingerprint(&["ab", "c"]), fingerprint(&["a", "bc"]));
    }
}
