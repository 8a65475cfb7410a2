//! Owns the list of platforms by their names.

use serde::{Deserialize, Serialize};

/// Whom the stand-in stands in for.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Platform {
    /// Meta's Conversions API.
    #[default]
    Meta,
    /// Google Ads through the Data Manager API.
    GoogleAds,
    /// Google's token endpoint.
    GoogleOauth,
    /// Google Analytics 4, Measurement Protocol.
    Ga4,
    /// TikTok's Events API.
    Tiktok,
    /// A receiver of signed webhooks.
    Webhook,
    /// Pinterest's API for conversions.
    Pinterest,
    /// Snapchat's Conversions API.
    Snapchat,
    /// Reddit's Conversions API.
    Reddit,
    /// LinkedIn's Conversions API.
    Linkedin,
    /// LinkedIn's token endpoint.
    LinkedinOauth,
}

const ALL: [(Platform, &str); 11] = [
    (Platform::Meta, "meta"),
    (Platform::GoogleAds, "google_ads"),
    (Platform::GoogleOauth, "google_oauth"),
    (Platform::Ga4, "ga4"),
    (Platform::Tiktok, "tiktok"),
    (Platform::Webhook, "webhook"),
    (Platform::Pinterest, "pinterest"),
    (Platform::Snapchat, "snapchat"),
    (Platform::Reddit, "reddit"),
    (Platform::Linkedin, "linkedin"),
    (Platform::LinkedinOauth, "linkedin_oauth"),
];

impl Platform {
    /// Its name in the summary, in faults and in rules.
    pub fn name(self) -> &'static str {
        ALL.iter().find(|(platform, _)| *platform == self).map_or("", |(_, name)| name)
    }

    /// The platform of that name.
    pub fn parse(name: &str) -> Option<Self> {
        ALL.iter().find(|(_, known)| *known == name).map(|(platform, _)| *platform)
    }

    /// The names that take a credential.
    pub(super) fn names() -> Vec<&'static str> {
        let takes = |platform: &Platform| *platform != Self::Meta && !platform.gives_tokens();
        ALL.iter().filter(|(platform, _)| takes(platform)).map(|(_, name)| *name).collect()
    }

    /// Whether it hands out tokens instead of taking events.
    pub(super) fn gives_tokens(self) -> bool {
        matches!(self, Self::GoogleOauth | Self::LinkedinOauth)
    }
}
