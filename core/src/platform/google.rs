//! What Google's platforms have in common: its two kinds of consent.
//!
//! Without `ad_user_data` no event is sent at all. `ad_personalization` travels with the event. What
//! a row does not say is said by two settings; by default an event that may be sent has
//! `ad_user_data`, and of `ad_personalization` nothing is said.

use serde::Deserialize;
use serde_json::Value;

use crate::consent;
use crate::destination::SettingsError;
use crate::destination::settings::broken;
use crate::event::Event;

/// Setting and word on the wire: whether the event may be used for advertising.
pub(super) const AD_USER_DATA: &str = consent::AD_USER_DATA;

/// Setting and word on the wire: whether it may be used to choose what the customer is shown.
pub(super) const AD_PERSONALIZATION: &str = consent::AD_PERSONALIZATION;

/// What is said of events that say nothing themselves.
#[derive(Debug, Deserialize)]
pub(super) struct Consent {
    /// `granted`, which is the default, or `unsaid`.
    ad_user_data: Option<String>,
    /// `granted`, `denied`, or `unsaid`, which is the default.
    ad_personalization: Option<String>,
}

impl Consent {
    /// Checks the two settings. A destination that may use nothing is one to pause.
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        let is = |word: &Option<String>, words: &[&str]| {
            word.as_deref().is_none_or(|word| words.contains(&word))
        };
        if !is(&self.ad_user_data, &["granted", "unsaid"]) {
            return Err(broken(AD_USER_DATA, "must be granted or unsaid"));
        }
        if !is(&self.ad_personalization, &["granted", "denied", "unsaid"]) {
            return Err(broken(AD_PERSONALIZATION, "must be granted, denied or unsaid"));
        }
        Ok(())
    }

    /// The kinds that are known of an event, in the platform's words.
    pub(super) fn of(
        &self,
        event: &Event,
        platform: &str,
        yes: &'static str,
        no: &'static str,
    ) -> Vec<(&'static str, &'static str)> {
        let said = event.facts.get(consent::FACT).and_then(|fact| fact.get(platform));
        let kind = |kind: &'static str, word: Option<&str>, default: &'static str| {
            let said = said.and_then(|said| said.get(kind)).and_then(Value::as_bool);
            let answer = said.or_else(|| match word.unwrap_or(default) {
                "granted" => Some(true),
                "denied" => Some(false),
                _ => None,
            })?;
            Some((kind, if answer { yes } else { no }))
        };
        let data = kind(AD_USER_DATA, self.ad_user_data.as_deref(), "granted");
        let personal = kind(AD_PERSONALIZATION, self.ad_personalization.as_deref(), "unsaid");
        [data, personal].into_iter().flatten().collect()
    }
}
