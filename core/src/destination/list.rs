//! The list of platforms: a new one is a file or folder and an entry here.

use serde_json::Value;

use super::{Destination, SettingsError, Unfit};
use super::{ga4, google_ads, linkedin, meta, pinterest, reddit, snapchat, tiktok, webhook};
use crate::event::Event;
use std::time::Duration;

/// One platform: how its destinations are made, and what is known of it whatever the settings.
pub(super) struct Platform {
    /// Name in SQL.
    pub(super) name: &'static str,
    /// Makes a destination of its settings.
    pub(super) build: fn(&Value) -> Result<Box<dyn Destination>, SettingsError>,
    /// Oldest age of an event.
    pub(super) max_age: fn(&Event) -> Duration,
    /// Why it can never take an event.
    pub(super) unfit: fn(&Event) -> Option<Unfit>,
    /// What a reason of its own means.
    pub(super) explain: fn(&str) -> Option<&'static str>,
    /// What it has a place for.
    pub(super) takes: Takes,
}

/// What a platform has a place for, so that nobody else need ask.
#[derive(Clone, Copy, Debug)]
pub(super) struct Takes {
    /// Refunds.
    pub(super) refunds: bool,
    /// Events whose use is limited.
    pub(super) limited_use: bool,
    /// Names of events; otherwise ids that the advertiser has made, by the setting `events`.
    pub(super) names: bool,
}

impl Takes {
    /// What most platforms take.
    pub(super) const USUAL: Self = Self { refunds: false, limited_use: true, names: true };
}

/// Every platform that this build can send to.
pub(super) const PLATFORMS: &[Platform] = &[
    Platform {
        name: "meta",
        build: meta::build,
        max_age: meta::max_age,
        unfit: meta::unfit,
        explain: meta::explain,
        takes: Takes::USUAL,
    },
    Platform {
        name: "tiktok",
        build: tiktok::build,
        max_age: tiktok::max_age,
        unfit: tiktok::unfit,
        explain: tiktok::explain,
        takes: Takes::USUAL,
    },
    Platform {
        name: "ga4",
        build: ga4::build,
        max_age: ga4::max_age,
        unfit: ga4::unfit,
        explain: ga4::explain,
        takes: Takes { refunds: true, limited_use: false, ..Takes::USUAL },
    },
    Platform {
        name: "google_ads",
        build: google_ads::build,
        max_age: google_ads::max_age,
        unfit: google_ads::unfit,
        explain: google_ads::explain,
        takes: Takes { refunds: true, limited_use: false, names: false },
    },
    Platform {
        name: "pinterest",
        build: pinterest::build,
        max_age: pinterest::max_age,
        unfit: pinterest::unfit,
        explain: pinterest::explain,
        takes: Takes::USUAL,
    },
    Platform {
        name: "snapchat",
        build: snapchat::build,
        max_age: snapchat::max_age,
        unfit: snapchat::unfit,
        explain: snapchat::explain,
        takes: Takes::USUAL,
    },
    Platform {
        name: "reddit",
        build: reddit::build,
        max_age: reddit::max_age,
        unfit: reddit::unfit,
        explain: reddit::explain,
        takes: Takes::USUAL,
    },
    Platform {
        name: "linkedin",
        build: linkedin::build,
        max_age: linkedin::max_age,
        unfit: linkedin::unfit,
        explain: linkedin::explain,
        takes: Takes { limited_use: false, names: false, ..Takes::USUAL },
    },
    Platform {
        name: "webhook",
        build: webhook::build,
        max_age: webhook::max_age,
        unfit: webhook::unfit,
        explain: webhook::explain,
        takes: Takes { refunds: true, ..Takes::USUAL },
    },
];
