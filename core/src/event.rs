//! The conversion event, as the outbox stores it and both halves see it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::hash::Digest;
use crate::identity::{Form, Identifier};
use crate::money::{Amount, Currency};
use crate::time::Timestamp;

/// One conversion: digests and payload facts, never a clear-text identifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The outbox id.
    pub id: i64,
    /// Standard or custom name, case-sensitive, e.g. `Purchase`.
    pub event_name: String,
    /// The id that the pixel sends too; platforms drop doubles by it.
    pub event_id: String,
    /// Business time, never the time of sending.
    pub event_time: Timestamp,
    /// Where the conversion happened, e.g. `website`.
    pub action_source: ActionSource,
    /// Amount in major units.
    pub value: Option<Amount>,
    /// Currency of `value`.
    pub currency: Option<Currency>,
    /// Digests by identifier and form.
    pub identity: Identity,
    /// What platforms take in clear.
    pub facts: Facts,
}

/// Where a conversion happened; the words are Meta's and the IAB's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum ActionSource {
    Email,
    Website,
    App,
    PhoneCall,
    Chat,
    PhysicalStore,
    SystemGenerated,
    BusinessMessaging,
    Other,
}

impl ActionSource {
    /// Every source, in the order of Meta's documentation.
    pub const ALL: [Self; 9] = [
        Self::Email,
        Self::Website,
        Self::App,
        Self::PhoneCall,
        Self::Chat,
        Self::PhysicalStore,
        Self::SystemGenerated,
        Self::BusinessMessaging,
        Self::Other,
    ];

    /// The word in SQL and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Website => "website",
            Self::App => "app",
            Self::PhoneCall => "phone_call",
            Self::Chat => "chat",
            Self::PhysicalStore => "physical_store",
            Self::SystemGenerated => "system_generated",
            Self::BusinessMessaging => "business_messaging",
            Self::Other => "other",
        }
    }

    /// Reads the word; exact, as a wrong case is a mistake worth hearing of.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == text)
    }
}

/// Digests by identifier and form: `email` holds the plain form, `email/gmail` another one.
///
/// A form is stored only where its digests differ from the plain ones; an empty list means that
/// its rule drops the value. See [`Identity::digests`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(pub BTreeMap<String, Vec<Digest>>);

impl Identity {
    /// The digests of `identifier` in the form of `platform`.
    pub fn digests(&self, identifier: &str, platform: &str) -> &[Digest] {
        let form = Identifier::parse(identifier).map(|known| (known, Form::of(known, platform)));
        let own = match form {
            None | Some((_, Form::Plain)) => None,
            Some((identifier, form)) => self.0.get(&form.key(identifier)),
        };
        own.or_else(|| self.0.get(identifier)).map_or(&[], Vec::as_slice)
    }

    /// Whether no identifier is left.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(Vec::is_empty)
    }
}

/// Payload facts in clear, by standard field name (`capi.field`), already checked and typed:
/// texts as strings, counts and amounts as numbers, `contents`, `app_data` and the like as JSON whose
/// parts are typed, too. What asks for restricted use and cannot be read is the text `unreadable`.
///
/// Open on purpose: a newer extension may store fields that an older sidecar does not know.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Facts(pub Map<String, Value>);

impl Facts {
    /// The text of a field, if it is there.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field).and_then(Value::as_str)
    }

    /// The JSON of a field, if it is there.
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn action_sources_are_found_by_their_own_words_and_by_no_other() {
        for source in ActionSource::ALL {
            assert_eq!(ActionSource::parse(source.as_str()), Some(source));
            let json = serde_json::to_value(source).expect("a word");
            assert_eq!(json, source.as_str());
        }
        assert_eq!(ActionSource::parse("Website"), None);
    }

    #[test]
    fn the_form_of_the_platform_wins_and_may_be_empty() {
        let digest = Digest::of("x");
        let identity = Identity(BTreeMap::from([
            ("state".into(), vec![digest.clone()]),
            ("state/two_letters".into(), vec![]),
        ]));
        assert_eq!(identity.digests("state", "meta"), [digest]);
        assert!(identity.digests("state", "pinterest").is_empty());
        assert!(identity.digests("city", "meta").is_empty());
    }

    #[test]
    fn a_form_may_be_there_without_the_plain_one() {
        let digest = Digest::of("x");
        let identity = Identity(BTreeMap::from([("phone/plus".into(), vec![digest.clone()])]));
        for platform in ["tiktok", "google_ads", "x"] {
            assert_eq!(identity.digests("phone", platform), std::slice::from_ref(&digest));
        }
        assert!(identity.digests("phone", "meta").is_empty());
    }
}
