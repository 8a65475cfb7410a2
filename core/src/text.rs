//! What every identifier shares: Unicode NFC, trimming, lower case, and what counts as
//! punctuation. ASCII text, the common case, is only copied when something changes.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// Brings a value to NFC, trims Unicode white space, lowers it and drops what is not to be seen.
pub(super) fn fold(value: &str) -> Cow<'_, str> {
    lower(seen(value))
}

/// [`fold`], then only the characters that `keep` takes.
///
/// Greek capitals are lowered once the others are gone, as Meta's builder does: a sigma is a final
/// one only where the whole text ends.
pub(super) fn fold_only(value: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    let seen = seen(value);
    match seen.contains('Σ') {
        true => Cow::Owned(lower(retain(seen, keep)).into_owned()),
        false => retain(lower(seen), keep),
    }
}

/// Whether [`squeeze`] keeps a character: no white space, no punctuation.
pub(super) fn is_squeezed(c: char) -> bool {
    !c.is_whitespace() && !is_punctuation(c)
}

/// NFC, trimmed, without what nobody sees.
fn seen(value: &str) -> Cow<'_, str> {
    let trimmed = value.trim();
    if !trimmed.chars().any(|c| is_unseen(c) || is_joiner(c)) {
        return if trimmed.is_ascii() { Cow::Borrowed(trimmed) } else { nfc(trimmed.into()) };
    }
    let mut seen = String::with_capacity(trimmed.len());
    for c in trimmed.chars().filter(|c| !is_unseen(*c)) {
        if !is_joiner(c) || seen.chars().next_back().is_some_and(is_joined) {
            seen.push(c);
        }
    }
    Cow::Owned(nfc(seen.trim().into()).into_owned())
}

fn lower(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.is_ascii() {
        return match text.bytes().any(|b| b.is_ascii_uppercase()) {
            true => Cow::Owned(text.to_ascii_lowercase()),
            false => text,
        };
    }
    // Composing first, as some capitals only appear then (the Kelvin sign becomes `K`).
    Cow::Owned(nfc(Cow::Owned(text.to_lowercase())).into_owned())
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
    retain(text, is_squeezed)
}

/// The key under which names are looked up: letters and digits only, accents folded.
pub(super) fn key(value: &str) -> String {
    if value.is_ascii() && !value.contains('&') {
        let letters = value.chars().filter(char::is_ascii_alphanumeric);
        return letters.map(|c| c.to_ascii_lowercase()).collect();
    }
    value
        .replace('&', "and")
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

/// A name and the code behind it in parentheses: `california (ca)`.
pub(super) fn with_code(folded: &str) -> Option<(&str, &str)> {
    folded.strip_suffix(')')?.rsplit_once('(')
}

/// Punctuation in the sense of the rules: Unicode's, all of ASCII's, because Meta's builder drops
/// `$+<=>^|~` and the backtick too, which Unicode calls symbols, the full-width forms of those,
/// and what people type for an apostrophe or a hyphen.
pub(super) fn is_punctuation(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_punctuation()
    } else {
        let narrow = narrow(c);
        narrow.is_ascii_punctuation()
            || is_apostrophe(c)
            || c == '\u{2212}'
            || c.general_category_group() == GeneralCategoryGroup::Punctuation
    }
}

/// What stands for an apostrophe and is none to Unicode: the acute accent of many keyboards, the
/// modifier letters of Ukrainian, Hawaiian and transliterated Arabic names.
fn is_apostrophe(c: char) -> bool {
    matches!(c, '\u{b4}' | '\u{2b9}'..='\u{2bf}' | '\u{2c8}' | '\u{2ca}' | '\u{2cb}' | '\u{2ee}')
        || matches!(c, '\u{1fbd}' | '\u{1fbf}' | '\u{1ffe}')
}

/// A full-width letter, digit or sign of ASCII as its plain one.
pub(super) fn narrow(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        c => c,
    }
}

/// Characters that show nothing: control characters, Unicode's default ignorable ones (soft hyphen,
/// zero-width space, byte order mark, direction marks, fillers, variation selectors) and the
/// blank of Braille. Copying and exporting leave them behind, and nobody can see that the digest
/// is another. The joiners are no such: see [`is_joiner`].
pub(crate) fn is_unseen(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control() && !c.is_whitespace();
    }
    matches!(c, '\u{80}'..='\u{84}' | '\u{86}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}')
        || matches!(c, '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}')
        || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}')
        || matches!(c, '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}')
        || matches!(c, '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}')
        || matches!(c, '\u{e0000}'..='\u{e0fff}')
}

/// The two joiners, which shape Persian and Indic names.
pub(crate) fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

/// A letter or mark of a script that joins its letters: those from Arabic to the Indic ones.
fn is_joined(c: char) -> bool {
    let joins = matches!(c, '\u{600}'..='\u{1cff}' | '\u{a800}'..='\u{abff}' | '\u{10000}'..);
    joins && (is_letter(c) || is_mark(c))
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
        GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number => {
            !is_apostrophe(c) && !is_unseen(c)
        }
        // Variation selectors are marks by category but belong to emoji.
        GeneralCategoryGroup::Mark => !is_unseen(c),
        _ => false,
    }
}

/// A letter of any script.
pub(super) fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic()
        || (!c.is_ascii()
            && c.general_category_group() == GeneralCategoryGroup::Letter
            && !is_apostrophe(c)
            && !is_unseen(c))
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
    fn what_shows_nothing_goes() {
        for unseen in [
            "\u{ad}",
            "\u{34f}",
            "\u{115f}",
            "\u{1160}",
            "\u{17b4}",
            "\u{180e}",
            "\u{200b}",
            "\u{2060}",
            "\u{2800}",
            "\u{3164}",
            "\u{fe0f}",
            "\u{ffa0}",
            "\u{e0100}",
            "\u{1}",
            "\u{7f}",
            "\u{9b}",
            "\u{200d}",
            "\u{200c}",
        ] {
            assert_eq!(fold(&format!("Ja{unseen}ne {unseen}")), "jane", "{unseen:?}");
            assert_eq!(fold(unseen), "", "{unseen:?}");
        }
        assert_eq!(fold("क\u{94d}\u{200d}ष"), "क\u{94d}\u{200d}ष", "a joiner that shapes a letter");
        assert_eq!(fold("क\u{200d}\u{200d}ष"), "क\u{200d}ष");
    }

    #[test]
    fn greek_capitals_are_lowered_once_the_others_are_gone() {
        assert_eq!(fold("ΝΙΚΟΣ ΠΑΠΑΣ"), "νικος παπας");
        assert_eq!(fold_only("ΝΙΚΟΣ ΠΑΠΑΣ", is_squeezed), "νικοσπαπας");
        assert_eq!(fold_only("Νίκος Παπάς", is_squeezed), "νίκοςπαπάς");
        assert_eq!(fold_only("ΠΑΠΑΣ-", is_squeezed), "παπας");
    }

    #[test]
    fn signs_typed_for_an_apostrophe_or_a_hyphen_are_punctuation() {
        for sign in "'`´’‘ʹʻʼʽʾʿˈˊ′−-–—‐‑＇｀－・·，．～＋".chars()
        {
            assert!(is_punctuation(sign), "{sign} {:x}", sign as u32);
            assert!(!is_word(sign) && !is_letter(sign), "{sign}");
        }
        for letter in "ーｱａ１ªʰ".chars() {
            assert!(!is_punctuation(letter), "{letter}");
        }
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
        assert_eq!(key("Trinidad & Tobago"), "trinidadandtobago");
        assert_eq!(key("Hawaiʻi"), "hawaii");
    }
}
