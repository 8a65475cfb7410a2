//! E-email addresses.
//!
//! Meta: trimmed and in lower case; documentation of customer information parameters, read
//! 2026-09-12, <https://developers.facebook.com/docs/marketing-api/conversions-api/parameters/customer-information-parameters>.

use std::borrow::Cow;

use super::identifier::Identifier;
use super::placeholder;
use super::reason::DropReason;
use crate::text;

/// An address in Meta's form: one `@`, a local part, a domain with a dot.
///
/// ` John_Smith@Gmail.com ` is `john_smith@gmail.com`; `tést@gmail.com` stays; `a@b` is none.
#[derive(Clone, PartialEq, Eq)]
pub struct Email<'a> {
    text: Cow<'a, str>,
    at: usize,
}

crate::opaque::opaque_debug!(Email<'_>);

impl<'a> Email<'a> {
    /// Parses an address as a person or a program wrote it.
    ///
    /// RFC 5322's specials outside of dots are refused, as Meta's builder does: brackets and
    /// quotes are the remains of a header (`<jo@example.com>`), not part of an address. Dots may
    /// stand anywhere in the local part, because Japanese carriers hand out such addresses.
    pub fn parse(value: &'a str) -> Result<Self, DropReason> {
        let text = text::fold(value);
        if text.is_empty() {
            return Err(DropReason::Empty);
        }
        if placeholder::is_placeholder(Identifier::Email, &text) {
            return Err(DropReason::Placeholder);
        }
        // Folding drops them as unseen, and an address with one is a program's mistake.
        if value.trim().contains(char::is_control) {
            return Err(DropReason::Malformed);
        }
        let (local, domain) = text.split_once('@').ok_or(DropReason::Malformed)?;
        if local.is_empty() || !is_local(local) || !is_domain(domain) {
            return Err(DropReason::Malformed);
        }
        if placeholder::is_mailbox(local, domain) {
            return Err(DropReason::Placeholder);
        }
        let at = local.len();
        Ok(Self { text, at })
    }

    /// Meta's form, which most platforms share.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// GA4's form: the dots of a Gmail address removed.
    /// <https://developers.google.com/analytics/devguides/collection/ga4/uid-data>
    pub fn gmail_dots(&self) -> Result<Cow<'_, str>, DropReason> {
        if !self.is_gmail() || !self.local().contains('.') {
            return Ok(Cow::Borrowed(&self.text));
        }
        self.with_local(undotted(self.local()))
    }

    /// Google Ads' form: as GA4's, and a Gmail address also loses `+` and what follows.
    /// <https://developers.google.com/data-manager/api/devguides/concepts/formatting>
    pub fn gmail(&self) -> Result<Cow<'_, str>, DropReason> {
        if !self.is_gmail() || !self.local().contains(['.', '+']) {
            return Ok(Cow::Borrowed(&self.text));
        }
        self.with_local(undotted(before_plus(self.local())))
    }

    /// Reddit's form: in every domain cut at `+`, only letters and digits before the `@`.
    pub fn alphanumeric(&self) -> Result<Cow<'_, str>, DropReason> {
        if self.local().chars().all(text::is_word) {
            return Ok(Cow::Borrowed(&self.text));
        }
        let kept = text::retain(Cow::Borrowed(before_plus(self.local())), text::is_word);
        self.with_local(kept.into_owned())
    }

    /// Microsoft's form: in every domain cut at `+`, dots removed before the `@`.
    /// <https://learn.microsoft.com/en-us/advertising/guides/uet-conversion-api-integration>
    pub fn untagged(&self) -> Result<Cow<'_, str>, DropReason> {
        if !self.local().contains(['.', '+']) {
            return Ok(Cow::Borrowed(&self.text));
        }
        self.with_local(undotted(before_plus(self.local())))
    }

    /// Whether no form has anything to remove.
    pub(super) fn has_one_form(&self) -> bool {
        self.local().bytes().all(|b| b.is_ascii_alphanumeric())
    }

    fn local(&self) -> &str {
        &self.text[..self.at]
    }

    fn is_gmail(&self) -> bool {
        matches!(&self.text[self.at + 1..], "gmail.com" | "googlemail.com")
    }

    fn with_local(&self, mut local: String) -> Result<Cow<'_, str>, DropReason> {
        if local.is_empty() {
            return Err(DropReason::NotInForm);
        }
        if placeholder::is_mailbox(&local, &self.text[self.at + 1..]) {
            return Err(DropReason::Placeholder);
        }
        local.push_str(&self.text[self.at..]);
        Ok(Cow::Owned(local))
    }
}

/// No white space, no control character and no special of a mail header.
fn is_local(local: &str) -> bool {
    let special = |b| {
        matches!(b, b'@' | b'<' | b'>' | b'(' | b')' | b'[' | b']' | b',' | b';')
            || matches!(b, b':' | b'"' | b'\\')
    };
    local.bytes().all(|b| b > b' ' && b != 0x7f && !special(b))
        && (local.is_ascii() || !local.contains(|c: char| text::is_blank(c) || c.is_control()))
}

/// At least two labels of letters, digits, hyphens and underscores, of any script.
fn is_domain(domain: &str) -> bool {
    if domain.is_ascii() {
        let bytes = domain.as_bytes();
        let fits = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        // No empty label: neither end is a dot and no two stand together.
        return domain.contains('.')
            && bytes.iter().all(fits)
            && !domain.starts_with('.')
            && !domain.ends_with('.')
            && !domain.contains("..");
    }
    let label =
        |l: &str| !l.is_empty() && l.chars().all(|c| matches!(c, '-' | '_') || text::is_word(c));
    domain.contains('.') && domain.split('.').all(label)
}

/// Without dots, and composed again where a dot kept a letter from its accent.
fn undotted(local: &str) -> String {
    text::retain(Cow::Borrowed(local), |c| c != '.').into_owned()
}

fn before_plus(local: &str) -> &str {
    local.split_once('+').map_or(local, |(before, _)| before)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(value: &str) -> Result<String, DropReason> {
        Email::parse(value).map(|email| email.as_str().to_owned())
    }

    #[test]
    fn worked_examples() {
        assert_eq!(meta(" John_Smith@Gmail.com ").as_deref(), Ok("john_smith@gmail.com"));
        assert_eq!(meta("tést@gmail.com").as_deref(), Ok("tést@gmail.com"));
        assert_eq!(meta("jo@my_shop.example.com").as_deref(), Ok("jo@my_shop.example.com"));
        assert_eq!(meta("a@b"), Err(DropReason::Malformed));
    }

    #[test]
    fn refuses_what_is_no_address() {
        for value in [
            "@example.com",
            "jo@",
            "jo@@example.com",
            "jo@example.com@example.com",
            "jo smith@example.com",
            "jo@exam ple.com",
            "jo@.example.com",
            "jo@example.com.",
            "<jo@example.com>",
            "jo\u{7}@example.com",
        ] {
            assert_eq!(meta(value), Err(DropReason::Malformed), "{value}");
        }
        assert_eq!(meta(" \u{3000} "), Err(DropReason::Empty));
    }

    #[test]
    fn drops_placeholders() {
        for value in [
            "n/a",
            "Guest@example.com",
            "no-reply@example.com",
            "jo@shop.invalid",
            "test@gmail.com",
        ] {
            assert_eq!(meta(value), Err(DropReason::Placeholder), "{value}");
        }
    }

    #[test]
    fn forms_of_the_platforms() {
        let email = Email::parse(" Jane.Doe+Promo@Gmail.com ").expect("an address");
        assert_eq!(email.as_str(), "jane.doe+promo@gmail.com");
        assert_eq!(email.gmail_dots().as_deref(), Ok("janedoe+promo@gmail.com"));
        assert_eq!(email.gmail().as_deref(), Ok("janedoe@gmail.com"));
        assert_eq!(email.alphanumeric().as_deref(), Ok("janedoe@gmail.com"));

        let email = Email::parse(" Jane.Doe+Promo@Example.com ").expect("an address");
        assert_eq!(email.gmail_dots().as_deref(), Ok("jane.doe+promo@example.com"));
        assert_eq!(email.gmail().as_deref(), Ok("jane.doe+promo@example.com"));
        assert_eq!(email.alphanumeric().as_deref(), Ok("janedoe@example.com"));
        assert_eq!(email.untagged().as_deref(), Ok("janedoe@example.com"));

        let email = Email::parse("jane_d.oe@example.com").expect("an address");
        assert_eq!(email.alphanumeric().as_deref(), Ok("janedoe@example.com"));
        assert_eq!(email.untagged().as_deref(), Ok("jane_doe@example.com"));

        let email = Email::parse("e.\u{301}@gmail.com").expect("an address");
        for form in [email.gmail_dots(), email.gmail(), email.untagged(), email.alphanumeric()] {
            assert_eq!(form.as_deref(), Ok("\u{e9}@gmail.com"));
        }

        let email = Email::parse("n.a@gmail.com").expect("initials");
        assert_eq!(email.gmail().as_deref(), Ok("na@gmail.com"));
        assert_eq!(email.alphanumeric().as_deref(), Ok("na@gmail.com"));

        let email = Email::parse("+@gmail.com").expect("an address");
        assert_eq!(email.gmail(), Err(DropReason::NotInForm));
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Email::parse("jo@example.com")), "Ok(Email(..))");
    }
}
