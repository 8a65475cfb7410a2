//! Owns the list of platforms: their names, their paths, and who judges for them.

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::{MethodRouter, any};
use serde::{Deserialize, Serialize};

use super::FakeState;
use super::stage::{self, Call, Failure, Reply};
use super::{ga4, google, linkedin, oauth, pinterest, reddit, snapchat, tiktok, webhook};

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

    /// Judges one request.
    pub(super) fn judge(self, state: &FakeState, call: &Call) -> Reply {
        match self {
            Self::GoogleAds => google::judge(state, call),
            Self::GoogleOauth | Self::LinkedinOauth => oauth::judge(state, call),
            Self::Ga4 => ga4::judge(state, call),
            Self::Tiktok => tiktok::judge(state, call),
            Self::Webhook => webhook::judge(state, call),
            Self::Pinterest => pinterest::judge(state, call),
            Self::Snapchat => snapchat::judge(state, call),
            Self::Reddit => reddit::judge(state, call),
            Self::Linkedin => linkedin::judge(state, call),
            // Meta has its own edge, with encodings and wordings that nobody else has.
            Self::Meta => self.fail(Failure::NotFound, call),
        }
    }

    /// Puts a failure as the platform puts it.
    pub(super) fn fail(self, failure: Failure, call: &Call) -> Reply {
        match self {
            Self::GoogleAds => google::fail(failure, call),
            Self::GoogleOauth | Self::LinkedinOauth => oauth::fail(failure),
            Self::Ga4 => ga4::fail(failure),
            Self::Tiktok => tiktok::fail(failure, call),
            Self::Webhook | Self::Meta => webhook::fail(failure),
            Self::Pinterest => pinterest::fail(failure),
            Self::Snapchat => snapchat::fail(failure),
            Self::Reddit => reddit::fail(failure),
            Self::Linkedin => linkedin::fail(failure),
        }
    }
}

/// The routes of all platforms but Meta.
pub(super) fn routes() -> Router<FakeState> {
    let to = |platform: Platform| -> MethodRouter<FakeState> {
        any(move |State(state): State<FakeState>, request: Request| async move {
            stage::receive(state, platform, request).await
        })
    };
    Router::new()
        .route(google::INGEST, to(Platform::GoogleAds))
        .route(google::STATUS, to(Platform::GoogleAds))
        .route(oauth::GOOGLE, to(Platform::GoogleOauth))
        .route(ga4::COLLECT, to(Platform::Ga4))
        .route(ga4::DEBUG, to(Platform::Ga4))
        .route(tiktok::TRACK, to(Platform::Tiktok))
        .route("/webhook/{receiver}", to(Platform::Webhook))
        .route("/v5/ad_accounts/{account}/events", to(Platform::Pinterest))
        .route("/v3/{pixel}/events", to(Platform::Snapchat))
        .route("/v3/{pixel}/events/validate", to(Platform::Snapchat))
        .route("/api/v3/pixels/{pixel}/conversion_events", to(Platform::Reddit))
        .route(linkedin::EVENTS, to(Platform::Linkedin))
        .route(oauth::LINKEDIN, to(Platform::LinkedinOauth))
}
