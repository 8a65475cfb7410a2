//! Values that stand for no value: `n/a`, `none`, `guest@…`. Their digest would tie strangers
//! together, so they are dropped.
//!
//! A word is on the list only where it is not also a real value: `na` is a Korean family name,
//! Naples and Namibia; `Null` and `Guest` are family names; Nan is a given name and a city; Nil
//! is a given name. A missing value reaches the rules as SQL null, not as the text `null`, so a
//! family name loses less by keeping `null` than the Null family by dropping it.

use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization as _;

use super::identifier::Identifier;
use crate::hash::Digest;
use crate::text;

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
static ANYWHERE: Words<31> = Words::new([
    "n/a",
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
///
/// `na` is none of them: those are somebody's initials. `nobody`, `null` and `xxx` are typed by
/// people who will not tell, and written by programs, more often than they are anybody's.
static MAILBOXES: Words<22> = Words::new([
    "anonymous",
    "do-not-reply",
    "do_not_reply",
    "donotreply",
    "guest",
    "n/a",
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
    "test",
    "undefined",
    "unknown",
    "xxx",
]);

/// Whether a folded value of this identifier is a placeholder.
pub(super) fn is_placeholder(identifier: Identifier, folded: &str) -> bool {
    // Nothing but punctuation identifies nobody, whatever the platform would make of it.
    // Joiners, which shape letters, are nothing without one.
    let says_nothing = |c: char| text::is_blank(c) || text::is_punctuation(c) || text::is_joiner(c);
    if !folded.is_empty() && folded.chars().all(says_nothing) {
        return true;
    }
    is_word(identifier, folded) || is_decorated(identifier, folded) || is_repeated(folded)
}

/// Whether this very word stands for no value of the identifier.
fn is_word(identifier: Identifier, word: &str) -> bool {
    use Identifier::{City, Country, FirstName, LastName, State};
    match word {
        "null" => identifier != LastName,
        "guest" => !matches!(identifier, LastName | City),
        "nan" | "nil" => !matches!(identifier, FirstName | LastName | City | State | Country),
        "na" => !matches!(identifier, FirstName | LastName | City | State | Country),
        // With a space between the letters nobody takes the initials for a placeholder.
        "n.a." => !matches!(identifier, FirstName | LastName),
        _ => ANYWHERE.contains(word),
    }
}

/// Whether a placeholder stands in quotes, before a full stop, in full-width letters, or with other
/// separators: `'none'`, `not-set`.
fn is_decorated(identifier: Identifier, folded: &str) -> bool {
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
        return is_word_in_marks(
            identifier,
            str::from_utf8(&plain[..folded.len()]).expect("ASCII"),
        );
    }
    is_word_in_marks(identifier, &folded.nfkc().map(separated).collect::<String>())
}

fn is_word_in_marks(identifier: Identifier, plain: &str) -> bool {
    let bare = plain.trim_matches(|c: char| c.is_whitespace() || text::is_punctuation(c));
    is_word(identifier, plain) || is_word(identifier, bare)
}

/// Whether every word is a placeholder, as `first || ' ' || last` makes of two missing names.
///
/// `na na`, `nan nan` and `nil nil` are not among them: the first two are Chinese given names.
fn is_repeated(folded: &str) -> bool {
    // Four placeholders and what is between them.
    if folded.len() > 80 || !folded.contains(char::is_whitespace) {
        return false;
    }
    folded.split_whitespace().all(|word| {
        let bare = word.trim_matches(text::is_punctuation);
        [word, bare].into_iter().any(|word| word == "null" || ANYWHERE.contains(word))
    })
}

/// Whether an address goes to a mailbox of nobody: `guest@…`, `noreply@…`, `na@na.…`, a reserved
/// domain.
pub(super) fn is_mailbox(local: &str, domain: &str) -> bool {
    let name = local.split_once('+').map_or(local, |(name, _)| name);
    // RFC 2606 reserves this domain so that it never resolves.
    MAILBOXES.contains(name)
        || domain.ends_with(".invalid")
        || (name == "na" && domain.starts_with("na."))
}

/// SHA-256 of the empty string, which a careless source sends for every missing value.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Whether a digest that the source made stands for no value: that of an empty string or of a
/// placeholder in lower, upper or title case, alone or twice, or zeros only.
pub(super) fn is_digest_of_none(digest: &Digest) -> bool {
    static WORDS: LazyLock<Vec<Digest>> = LazyLock::new(|| {
        let words = ANYWHERE.words.into_iter().chain(["n.a.", "null", "nan", "nil", "-", " "]);
        let mut digests: Vec<Digest> = words
            .flat_map(|word| {
                let (first, rest) = word.split_at(1);
                let title = format!("{}{rest}", first.to_uppercase());
                [word.to_owned(), word.to_uppercase(), title]
            })
            .flat_map(|word| [Digest::of(&word), Digest::of(&format!("{word} {word}"))])
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
    matches!(&*value, "n.a." | "null" | "nan" | "nil" | "-") || ANYWHERE.contains(&value)
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
            (Identifier::FirstName, "n.a."),
            (Identifier::LastName, "n. a."),
            (Identifier::LastName, "'null'"),
            (Identifier::FirstName, "nan nan"),
            (Identifier::FirstName, "na na"),
            (Identifier::LastName, "test unit"),
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
            for word in [
                "undefined undefined",
                "null null",
                "none none",
                "n/a n/a",
                "unknown unknown",
                "null, null",
                "undefined null",
                "\"none\" \u{a0}none",
            ] {
                assert!(is_placeholder(identifier, word), "{word}");
            }
        }
        assert!(is_mailbox("guest", "shop.example.com"));
        assert!(is_mailbox("noreply+42", "example.com"));
        assert!(is_mailbox("test", "example.com") && is_mailbox("test+1", "gmail.com"));
        assert!(is_mailbox("na", "na.com"));
        for real in ["guestave", "na", "tester", "n.a"] {
            assert!(!is_mailbox(real, "example.com"), "{real}");
        }
        assert!(is_digest_of_none(&Digest::recognise(EMPTY).expect("64 hex digits")));
        for word in ["unknown", "None", "NULL", "N/A", "NaN"] {
            assert!(is_digest_of_none(&Digest::of(word)), "{word}");
        }
        assert!(is_digest_of_none(&Digest::recognise(&"0".repeat(64)).expect("64 hex digits")));
        assert!(!is_digest_of_none(&Digest::of("jo@example.com")));
        assert!(is_one_digit("0000000") && !is_one_digit("0000001"));
    }
}
