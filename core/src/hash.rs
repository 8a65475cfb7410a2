//! SHA-256 as every platform wants it: 64 lower-case hex digits over UTF-8 bytes.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The SHA-256 digest of one normalised identifier: 64 lower-case hex digits.
///
/// Only hashing and recognising build one, so a digest of an empty string cannot exist.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

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
        Self(hex(&Sha256::digest(normalized.as_bytes())))
    }

    /// Recognises a value that is a digest already: exactly 64 hex digits of any case, with or
    /// without the suffix that Meta's parameter builder appends (`.xx` or `.xxxxxxxx`).
    ///
    /// 32 hex digits (MD5, a UUID without dashes) are not a digest: Meta takes SHA-256 only.
    pub fn recognise(value: &str) -> Option<Self> {
        let value = value.trim();
        let (head, suffix) = match value.split_once('.') {
            Some((head, suffix)) => (head, Some(suffix)),
            None => (value, None),
        };
        let suffix_ok = suffix.is_none_or(|s| {
            matches!(s.len(), 2 | 8)
                && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        });
        (suffix_ok && is_hex64(head)).then(|| Self(head.to_ascii_lowercase()))
    }

    /// The 64 lower-case hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Digest {
    type Error = NotADigest;

    fn try_from(value: String) -> Result<Self, NotADigest> {
        let lower = is_hex64(&value) && !value.bytes().any(|b| b.is_ascii_uppercase());
        if lower { Ok(Self(value)) } else { Err(NotADigest) }
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

// A digest of a mail address can be guessed by brute force, so it stays out of logs and panics.
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
    hasher.update(digest.0.as_bytes());
    hasher.finalize().into()
}

fn is_hex64(value: &str) -> bool {
    value.len() == 64 && value.bytes().all(|b| b.is_ascii_hexdigit())
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)] as char, DIGITS[usize::from(b & 15)] as char])
        .collect()
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
    fn debug_shows_no_digest() {
        assert!(!format!("{:?}", Digest::of("x")).contains("2d71"));
    }

    #[test]
    fn fingerprint_keeps_boundaries() {
        assert_ne!(fingerprint(&["ab", "c"]), fingerprint(&["a", "bc"]));
    }
}
