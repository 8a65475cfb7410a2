//! The conversion event, as the outbox stores it and both halves see it.

mod digests;
mod facts;
mod node;
pub mod packed;

use serde::{Deserialize, Serialize};

use crate::money::{Amount, Currency};
use crate::time::Timestamp;

pub use digests::Identity;
pub use facts::{Facts, Fields, Json};

/// One conversion: digests and payload facts, never a clear-text identifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The outbox id.
    pub id: i64,
    /// Standard or custom name, case-sensitive, e.g. `Purchase`.
    pub event_name: String,
    /// The id that the pixel sends too; platforms drop duplicates by it.
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::hash::Digest;

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
        let identity = Identity::from(BTreeMap::from([
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
        let identity =
            Identity::from(BTreeMap::from([("phone/plus".into(), vec![digest.clone()])]));
        for platform in ["tiktok", "google_ads", "x"] {
            assert_eq!(identity.digests("phone", platform), std::slice::from_ref(&digest));
        }
        assert!(identity.digests("phone", "meta").is_empty());
    }
}
