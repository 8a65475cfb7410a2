//! What the rule book is made of.

use crate::identity::form::Form;
use crate::identity::identifier::Identifier;
use crate::identity::reason::DropReason;

/// The rule of one field, or of several that share one.
#[derive(Debug)]
pub struct Rule {
    /// The standard field names.
    pub fields: &'static [&'static str],
    /// The rule for Meta, in a sentence or a few.
    pub rule: &'static str,
    /// What other forms do differently.
    pub forms: &'static [(Form, &'static str)],
    /// Platforms that take the field in clear where others take a digest, and in which form.
    pub in_clear: &'static [(&'static str, &'static str)],
    /// Worked examples, at least one of which is dropped.
    pub examples: &'static [Example],
    /// Where the rule comes from.
    pub sources: &'static [Source],
    /// The version of the rules that has it so.
    pub version: i16,
}

impl Rule {
    /// The identifier, unless the field always travels in clear.
    pub fn identifier(&self) -> Option<Identifier> {
        Identifier::parse(self.fields[0])
    }
}

/// A page that a rule rests on.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// What the page is.
    pub title: &'static str,
    /// Where it is.
    pub url: &'static str,
    /// The day of the copy that was read, `YYYY-MM-DD`; the month where the day is not on record.
    pub read: &'static str,
}

/// One worked example of a rule.
#[derive(Debug)]
pub struct Example {
    /// The value as a source has it.
    pub input: &'static str,
    /// The platform whose form is shown.
    pub platform: &'static str,
    /// The row's country.
    pub country: Option<&'static str>,
    /// The row's postal code.
    pub zip: Option<&'static str>,
    /// The source's order of dates: `dmy`, `mdy` or `ymd`.
    pub date_order: Option<&'static str>,
    /// When the click was, with an offset.
    pub clicked_at: Option<&'static str>,
    /// When the event was, with an offset.
    pub event_time: Option<&'static str>,
    /// What comes of it.
    pub outcome: Result<&'static str, DropReason>,
}

impl Example {
    pub(super) const fn new(
        input: &'static str,
        outcome: Result<&'static str, DropReason>,
    ) -> Self {
        Self {
            input,
            platform: "meta",
            country: None,
            zip: None,
            date_order: None,
            clicked_at: None,
            event_time: None,
            outcome,
        }
    }

    pub(super) const fn on(self, platform: &'static str) -> Self {
        Self { platform, ..self }
    }

    pub(super) const fn country(self, country: &'static str) -> Self {
        Self { country: Some(country), ..self }
    }

    pub(super) const fn zip(self, zip: &'static str) -> Self {
        Self { zip: Some(zip), ..self }
    }

    pub(super) const fn date_order(self, order: &'static str) -> Self {
        Self { date_order: Some(order), ..self }
    }

    pub(super) const fn clicked_at(self, time: &'static str) -> Self {
        Self { clicked_at: Some(time), ..self }
    }

    pub(super) const fn event_time(self, time: &'static str) -> Self {
        Self { event_time: Some(time), ..self }
    }
}
