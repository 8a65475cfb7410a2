//! What every identifier shares: Unicode NFC, trimming, lower case, and what counts as
//! punctuation. ASCII text, the common case, is only copied when something changes.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// Brings a value to NFC, trims Unicode white space, lowers it and drops what is not to be seen.
pub(super) fn fold(value: &str) -> Cow<'_, str> {
    let trimmed = value.trim();
    if trimmed.is_ascii() {
        return if trimmed.bytes().any(|b| b.is_ascii_uppercase()) {
            Cow::Owned(trimmed.to_ascii_lowercase())
        } else {
            Cow::Borrowed(trimmed)
        };
    }
    if trimmed.contains(is_unseen) {
        let seen: String = trimmed.chars().filter(|c| !is_unseen(*c)).collect();
        return Cow::Owned(fold(&seen).into_owned());
    }
    // Composing first, as some capitals only appear then (the Kelvin sign becomes `K`).
    let lower = nfc(Cow::Borrowed(trimmed)).to_lowercase();
    Cow::Owned(nfc(Cow::Owned(lower)).into_owned())
}

/// Drops the characters that `keep` refuses; what remains is NFC again.
pub(super) fn retain(text: Cow<'_, str>, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().all(&keep) {
        return text;
    }
    let kept: String = text.chars().filter(|c| keep(*c)).collect();
    nfc(Cow::Owned(kept))
}

/// Drops white space and punctuation: the heart of the rules for names and places.
pub(super) fn squeeze(text: Cow<'_, str>) -> Cow<'_, str> {
    retain(text, |c| !c.is_whitespace() && !is_punctuation(c))
}

/// The key under which names are looked up: letters and digits only, accents folded.
pub(super) fn key(value: &str) -> String {
    if value.is_ascii() {
        let letters = value.chars().filter(char::is_ascii_alphanumeric);
        return letters.map(|c| c.to_ascii_lowercase()).collect();
    }
    value
        .nfd()
        .filter(|c| is_word(*c) && !is_mark(*c))
        .flat_map(char::to_lowercase)
        .filter(|c| !is_mark(*c))
        .collect()
}

/// Whether the text is one of `key`'s results for `name`, without building it.
pub(super) fn has_key(name: &str, key: &str) -> bool {
    if name.is_ascii() {
        let letters = name.bytes().filter(u8::is_ascii_alphanumeric);
        return letters.map(|b| b.to_ascii_lowercase()).eq(key.bytes());
    }
    self::key(name) == key
}

/// Punctuation in the sense of the rules: Unicode's, and all of ASCII's, because Meta's builder
/// drops `$+<=>^|~` and the backtick too, which Unicode calls symbols.
pub(super) fn is_punctuation(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_punctuation()
    } else {
        c.general_category_group() == GeneralCategoryGroup::Punctuation
    }
}

/// Characters without width that say nothing: soft hyphen, zero-width space, byte order mark,
/// direction marks. Copying and exporting leave them behind, and nobody can see that the digest
/// is another. The joiners stay: they shape Persian and Indic names.
pub(super) fn is_unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206f}')
}

/// White space, and what is not to be seen either.
pub(super) fn is_blank(c: char) -> bool {
    c.is_whitespace() || is_unseen(c)
}

/// A letter, a mark that belongs to one, or a digit, of any script.
pub(super) fn is_word(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric();
    }
    match c.general_category_group() {
        GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number => true,
        // Variation selectors are marks by category but belong to emoji.
        GeneralCategoryGroup::Mark => !('\u{fe00}'..='\u{fe0f}').contains(&c),
        _ => false,
    }
}

/// A letter of any script.
pub(super) fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic()
        || (!c.is_ascii() && c.general_category_group() == GeneralCategoryGroup::Letter)
}

/// A combining mark.
pub(super) fn is_mark(c: char) -> bool {
    !c.is_ascii() && c.general_category_group() == GeneralCategoryGroup::Mark
}

fn nfc(text: Cow<'_, str>) -> Cow<'_, str> {
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => text,
        _ => Cow::Owned(text.nfc().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_and_trims() {
        assert_eq!(fold("\u{a0} ÉMILE\t"), "émile");
        assert_eq!(fold("e\u{301}"), "é");
        assert_eq!(fold("\u{212a}"), "k");
        assert!(matches!(fold(" plain "), Cow::Borrowed("plain")));
        assert_eq!(fold("\u{feff} Ja\u{200b}ne\u{202c}"), "jane");
        assert_eq!(fold("e\u{200b}\u{301}"), "é", "composed once nothing is between");
        assert_eq!(fold("امیر\u{200c}حسین"), "امیر\u{200c}حسین");
        assert_eq!(fold("\u{200b}"), "");
    }

    #[test]
    fn dropping_a_separator_composes_again() {
        assert_eq!(squeeze(Cow::Borrowed("e-\u{301}")), "é");
    }

    #[test]
    fn keys_ignore_case_accents_and_punctuation() {
        assert_eq!(key("Côte d'Ivoire"), "cotedivoire");
        assert!(has_key("Korea (Republic of)", "korearepublicof"));
        assert!(has_key("Türkiye", "turkiye"));
        assert!(!has_key("Korea (Republic of)", "korea"));
    }
}
