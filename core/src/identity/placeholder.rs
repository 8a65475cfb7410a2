//! Values that stand for no value: `n/a`, `none`, `guest@…`. Their digest would tie strangers
//! together, so they are dropped.
//!
//! A word is on the list only where it is not also a real value: `na` is a Korean family name,
//! Naples and Namibia; `Null` and `Guest` are family names; Nan is a given name and a city; Nil
//! is a given name. A missing value reaches the rules as SQL null, not as the text `null`, so a
//! family name loses less by keeping `null` than the Null family by dropping it.

use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization as _;

use super::{Identifier, text};
use crate::hash::Digest;

/// A list of words that answers for most values by their length and first byte alone.
struct Words<const N: usize> {
    words: [&'static str; N],
    /// Bit n: some word has n bytes.
    lengths: u64,
    /// Bit n: some word begins with the ASCII character n.
    firsts: u128,
}

impl<const N: usize> Words<N> {
    const fn new(words: [&'static str; N]) -> Self {
        let (mut lengths, mut firsts, mut n) = (0, 0, 0);
        while n < N {
            lengths |= 1 << words[n].len();
            firsts |= 1 << words[n].as_bytes()[0];
            n += 1;
        }
        Self { words, lengths, firsts }
    }

    fn contains(&self, word: &str) -> bool {
        let Some(first) = word.bytes().next().filter(u8::is_ascii) else { return false };
        word.len() < 64
            && self.lengths >> word.len() & 1 == 1
            && self.firsts >> first & 1 == 1
            && self.words.contains(&word)
    }
}

/// Placeholders of every identifier, in lower case.
static ANYWHERE: Words<32> = Words::new([
    "n/a",
    "n.a.",
    "n\\a",
    "#n/a",
    "none",
    "undefined",
    "unknown",
    "test",
    "anonymous",
    "tbd",
    "asdf",
    "asdfasdf",
    "qwerty",
    "xxx",
    "xxxx",
    "xxxxx",
    "(none)",
    "(null)",
    "[null]",
    "<null>",
    "(not set)",
    "not set",
    "not provided",
    "not available",
    "not applicable",
    "not specified",
    "not given",
    "no name",
    "noname",
    "no email",
    "no phone",
    "[object object]",
]);

/// Local parts of addresses that nobody reads, or that many share.
static MAILBOXES: Words<22> = Words::new([
    "anonymous",
    "do-not-reply",
    "do_not_reply",
    "donotreply",
    "guest",
    "n/a",
    "na",
    "no-email",
    "no-reply",
    "no_email",
    "no_reply",
    "noemail",
    "nomail",
    "none",
    "noreply",
    "notavailable",
    "notprovided",
    "nobody",
    "null",
    "undefined",
    "unknown",
    "xxx",
]);

/// Whether a folded value of this identifier is a placeholder.
pub(super) fn is_placeholder(identifier: Identifier, folded: &str) -> bool {
    use Identifier::{City, Country, FirstName, LastName, State};
    // Nothing but punctuation identifies nobody, whatever the platform would make of it.
    // Joiners, which shape letters, are nothing without one.
    let says_nothing = |c: char| {
        text::is_blank(c) || text::is_punctuation(c) || matches!(c, '\u{200c}' | '\u{200d}')
    };
    if !folded.is_empty() && folded.chars().all(says_nothing) {
        return true;
    }
    if ANYWHERE.contains(folded) || is_decorated(folded) {
        return true;
    }
    match folded {
        "null" => identifier != LastName,
        "guest" => !matches!(identifier, LastName | City),
        "nan" | "nil" => !matches!(identifier, FirstName | LastName | City | State | Country),
        "na" => !matches!(identifier, FirstName | LastName | City | State | Country),
        _ => false,
    }
}

/// Whether a placeholder stands in quotes, before a full stop, in full-width letters, or with other
/// separators: `'none'`, `not-set`.
fn is_decorated(folded: &str) -> bool {
    // Four bytes a letter at most, and the longest placeholder has 15; plain words are done.
    if folded.len() > 80 || folded.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return false;
    }
    let separated = |c: char| if c.is_whitespace() || matches!(c, '-' | '_') { ' ' } else { c };
    if folded.is_ascii() {
        // Nothing to compose, and no allocation: most addresses and cities come here.
        let mut plain = [0; 80];
        for (to, from) in plain.iter_mut().zip(folded.chars()) {
            *to = u8::try_from(separated(from)).expect("ASCII stays ASCII");
        }
        return is_word_in_marks(str::from_utf8(&plain[..folded.len()]).expect("ASCII"));
    }
    is_word_in_marks(&folded.nfkc().map(separated).collect::<String>())
}

fn is_word_in_marks(plain: &str) -> bool {
    let bare = plain.trim_matches(|c: char| c.is_whitespace() || text::is_punctuation(c));
    ANYWHERE.contains(plain) || ANYWHERE.contains(bare)
}

/// Whether an address goes to a mailbox of nobody: `guest@…`, `noreply@…`, a reserved domain.
pub(super) fn is_mailbox(local: &str, domain: &str) -> bool {
    let name = local.split_once('+').map_or(local, |(name, _)| name);
    // RFC 2606 reserves this domain so that it never resolves.
    MAILBOXES.contains(name) || domain.ends_with(".invalid")
}

/// SHA-256 of the empty string, which a careless source sends for every missing value.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Whether a digest that the source made stands for no value: that of an empty string or of a
/// placeholder in lower, upper or title case, or zeros only.
pub(super) fn is_digest_of_none(digest: &Digest) -> bool {
    static WORDS: LazyLock<Vec<Digest>> = LazyLock::new(|| {
        let words = ANYWHERE.words.into_iter().chain(["null", "nan", "nil", "-", " "]);
        let mut digests: Vec<Digest> = words
            .flat_map(|word| {
                let (first, rest) = word.split_at(1);
                let title = format!("{}{rest}", first.to_uppercase());
                [Digest::of(word), Digest::of(&word.to_uppercase()), Digest::of(&title)]
            })
            .chain([Digest::of("NaN")])
            .collect();
        digests.sort_unstable();
        digests
    });
    let is_zero = digest.as_str().bytes().all(|b| b == b'0');
    is_zero || digest.as_str() == EMPTY || WORDS.binary_search(digest).is_ok()
}

/// Whether clear text of an id is what a program writes for a missing one.
pub(super) fn is_missing_id(value: &str) -> bool {
    let value = value.trim();
    // Longer than any placeholder, as most ids are.
    if value.len() > 20 {
        return false;
    }
    let value = value.to_ascii_lowercase();
    matches!(&*value, "null" | "nan" | "nil" | "-") || ANYWHERE.contains(&value)
}

/// Whether digits are a filler such as `0000000` or `5555555555`.
pub(super) fn is_one_digit(digits: &str) -> bool {
    let first = digits.bytes().next();
    digits.bytes().all(|b| Some(b) == first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_real_values_stay() {
        for (identifier, word) in [
            (Identifier::LastName, "null"),
            (Identifier::LastName, "guest"),
            (Identifier::LastName, "na"),
            (Identifier::FirstName, "nan"),
            (Identifier::Country, "na"),
            (Identifier::ExternalId, "0"),
        ] {
            assert!(!is_placeholder(identifier, word), "{word}");
        }
    }

    #[test]
    fn fillers_go() {
        for identifier in Identifier::ALL {
            for word in ["n/a", "none", "unknown", "test", "-", "---", "(not set)"] {
                assert!(is_placeholder(identifier, word), "{word}");
            }
        }
        assert!(is_mailbox("guest", "shop.example.com"));
        assert!(is_mailbox("noreply+42", "example.com"));
        assert!(!is_mailbox("guestave", "example.com"));
        assert!(is_digest_of_none(&Digest::recognise(EMPTY).expect("64 hex digits")));
        for word in ["unknown", "None", "NULL", "N/A", "NaN"] {
            assert!(is_digest_of_none(&Digest::of(word)), "{word}");
        }
        assert!(is_digest_of_none(&Digest::recognise(&"0".repeat(64)).expect("64 hex digits")));
        assert!(!is_digest_of_none(&Digest::of("jo@example.com")));
        assert!(is_one_digit("0000000") && !is_one_digit("0000001"));
    }
}
