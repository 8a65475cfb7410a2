//! The advertiser's own id of a customer.
//!
//! Meta: white space removed and lower case, as its newest builder and so the pixel does. The
//! other platforms take it as it is; only that pixel and server agree matters there.

use std::borrow::Cow;

use super::identifier::Identifier;
use super::placeholder;
use super::reason::DropReason;
use crate::text;

/// An advertiser's own id. For Meta ` User 42 ` is `user42`, for the others `User 42`.
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalId<'a> {
    folded: Cow<'a, str>,
    verbatim: &'a str,
}

crate::opaque::opaque_debug!(ExternalId<'_>);

impl<'a> ExternalId<'a> {
    /// Parses an id.
    pub fn parse(value: &'a str) -> Result<Self, DropReason> {
        let folded = text::fold(value);
        if placeholder::is_placeholder(Identifier::ExternalId, &folded) {
            return Err(DropReason::Placeholder);
        }
        let folded = text::fold_only(value, |c| !c.is_whitespace());
        if folded.is_empty() {
            return Err(DropReason::Empty);
        }
        if folded.len() == 36 && folded.bytes().all(|b| matches!(b, b'0' | b'-')) {
            return Err(DropReason::Placeholder);
        }
        Ok(Self { folded, verbatim: value.trim_matches(text::is_blank) })
    }

    /// Meta's form.
    pub fn as_str(&self) -> &str {
        &self.folded
    }

    /// The form of the other platforms: trimmed.
    pub fn verbatim(&self) -> &str {
        self.verbatim
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_examples() {
        let id = ExternalId::parse(" User 42 ").expect("an id");
        assert_eq!((id.as_str(), id.verbatim()), ("user42", "User 42"));
        assert_eq!(ExternalId::parse(" "), Err(DropReason::Empty));
        let nil_uuids =
            ["00000000-0000-0000-0000-000000000000", "00000000 -0000-0000-0000-000000000000"];
        for value in ["null", "undefined", "-"].into_iter().chain(nil_uuids) {
            assert_eq!(ExternalId::parse(value), Err(DropReason::Placeholder), "{value}");
        }
        assert_eq!(ExternalId::parse("0").expect("an id").as_str(), "0");
        assert_eq!(ExternalId::parse("ΝΙΚΟΣ ΠΑΠΑΣ").expect("an id").as_str(), "νικοσπαπας");
    }
}
