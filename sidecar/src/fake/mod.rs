//! Owns the local stand-ins for the platforms that `capi fake` runs: they check what the platforms
//! check, answer as the platforms answer, go wrong on request, and tell afterwards what arrived.
//!
//! Platform routes:
//!
//! | route | meaning |
//! |---|---|
//! | `POST /{version}/{pixel}/events` | the events edge; JSON or a form; the token as `Authorization: Bearer`, or as `access_token` in query or body |
//! | `POST /capi/{pixel}/events` | the same on a gateway, which has no versions |
//! | `POST`, `DELETE /{version}/{audience}/users` | who joins and who leaves a custom audience |
//! | `POST /v1/events:ingest`, `GET /v1/requestStatus:retrieve`, `POST /token` | Google Ads: events, what became of them, tokens |
//! | `POST /mp/collect`, `POST /debug/mp/collect` | GA4, silent and not |
//! | `POST /open_api/v1.3/event/track/` | TikTok |
//! | `POST /webhook/{receiver}` | a receiver of signed webhooks |
//! | `POST /v5/ad_accounts/{account}/events` | Pinterest |
//! | `POST /v3/{pixel}/events`, `…/events/validate` | Snapchat |
//! | `POST /api/v3/pixels/{pixel}/conversion_events` | Reddit |
//! | `POST /rest/conversionEvents`, `POST /oauth/v2/accessToken` | LinkedIn: events, tokens |
//!
//! Control routes, for tests and demos (JSON, no token, so keep it on loopback):
//!
//! | route | meaning |
//! |---|---|
//! | `GET /_fake/health` | alive, known versions, its clock |
//! | `GET /_fake/summary` | counts, duplicates, refusals, exact sums of value per currency of unique events, in all and by platform |
//! | `GET /_fake/events?limit&offset&event_id&platform` | accepted events as received |
//! | `GET /_fake/audiences` | custom audiences: members, rows, sessions |
//! | `GET /_fake/requests?limit` | latest requests with body, answer and the culprit of a refusal |
//! | `POST /_fake/faults` | puts a fault in force, see below |
//! | `GET`, `DELETE /_fake/faults`, `DELETE /_fake/faults/{id}` | lists, removes |
//! | `POST /_fake/clock` | `{"advance_seconds": 172800}` moves the clock that ages and duplicates go by |
//! | `POST /_fake/reset` | forgets events, faults and clock |
//!
//! A fault is `{"kind": "status", "status": 503, "times": 3, "probability": 0.5, "pixel": "1",
//! "platform": "tiktok"}`; all but `kind` is optional, and without `times` it lasts until it is
//! removed. Kinds that accept nothing: `status` (`status`, `code`, `subcode`, `transient`),
//! `throttle` (`status`, `code`, `minutes`, `header`), `expired_token`, `html` (`status`),
//! `cut_before_body`, `blackhole`, `poison` (`event_id`), `foreign_page` (`page_id`). Kinds that
//! accept the events first: `cut_after_body`, `cut_mid_answer`, `late` (`ms`), `lie` (`received`),
//! `invalid_entries` (`received`), `empty`, `garbage`. Kinds that add to others: `latency` (`ms`), `usage` (`percent`, `minutes`,
//! `header`: `app`, `ad_account` or `business_use_case`), `version_warning`, `no_indices`, `wording`
//! (`language`: `en`, `fr` or `da`; `error_data`: `object`, `text` or `none`). Any error answer takes
//! `retry_after` (seconds).
//!
//! `docs/fake.md` lists every rule with its source and what is not enforced. Stricter than what is
//! known of the platform, on purpose:
//!
//! - unknown keys, but for `custom_data` and its contents, where the sender may add its own; null
//!   and blank values; compressed bodies
//! - an event more than an hour in the future: its tolerance is not documented
//! - a malformed `fbp`, about which the platform may only warn; a click in the future; the digest
//!   of an empty text
//! - amounts of more than 18 digits before or after the point; fractions of a quantity;
//!   content types other than the two documented ones
//! - `page_id` for WhatsApp even where the business account's id is given
//! - country or state of Limited Data Use without its options
//! - the 48 hours of an appended attribution, counted from the original event to the receipt

mod answer;
mod arrival;
mod control;
mod decimal;
mod desk;
mod edge;
mod fault;
mod ga4;
mod google;
mod linkedin;
mod log;
mod meta;
mod oauth;
mod pinterest;
mod platform;
mod reddit;
mod roll;
mod schema;
mod serve;
mod snapchat;
mod stage;
#[cfg(test)]
mod tests;
mod tiktok;
mod webhook;
mod wording;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::routing::post;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::net::TcpListener;

use answer::Refusal;
use desk::Desk;
use edge::{receive, receive_gateway, receive_users, unsupported};
use fault::{Faults, scramble};
use log::{Bounds, Log};
use roll::Roll;
use wording::Wording;

pub use platform::Platform;
pub use wording::{ErrorData, Language};

/// The token that is accepted when none is configured. No secret: it opens nothing.
pub const DEMO_TOKEN: &str = "fake-token-for-local-use";

/// Versions that existed but have run out, by the platform's changelog.
const RETIRED_BEFORE: u32 = 21;

/// Options of the stand-in.
#[derive(Debug, Clone, clap::Args)]
pub struct FakeOptions {
    /// Address to listen on. The control routes ask for no token: keep it on loopback.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8790")]
    pub listen: SocketAddr,

    /// Environment variable that holds the token to accept; without it, the demo token
    /// `fake-token-for-local-use`.
    #[arg(long, value_name = "NAME")]
    pub token_env: Option<String>,

    /// The token to accept. Filled from `token_env` by whoever may read the environment.
    #[arg(skip)]
    pub token: Option<SecretString>,

    /// Environment variable that holds a platform's credential to accept, as
    /// `tiktok=TIKTOK_TOKEN`; may be repeated. Without it, the demo token. Google's and LinkedIn's
    /// may be JSON: a service account's key file, or `client_id`, `client_secret`, `refresh_token`.
    #[arg(long = "credential-env", value_name = "PLATFORM=NAME", value_parser = credential_env)]
    pub credential_env: Vec<(Platform, String)>,

    /// The credentials to accept. Filled from `credential_env` by whoever may read the environment.
    #[arg(skip)]
    pub credentials: BTreeMap<Platform, SecretString>,

    /// How often Google's status still says PROCESSING before it tells the outcome.
    #[arg(long, value_name = "POLLS", default_value_t = 1)]
    pub google_polls: u32,

    /// The only pixel (dataset) id that exists; without it, any number does.
    #[arg(long, value_name = "ID")]
    pub pixel: Option<String>,

    /// API versions that are served.
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "v21.0,v22.0,v23.0,v24.0,v25.0,v26.0"
    )]
    pub versions: Vec<String>,

    /// Accepted events that are kept to be looked at.
    #[arg(long, value_name = "EVENTS", default_value_t = 200_000)]
    pub keep: usize,

    /// Event ids that are remembered to find duplicates (about 60 bytes each).
    #[arg(long, value_name = "IDS", default_value_t = 2_000_000)]
    pub keep_ids: usize,

    /// Requests that are kept to be looked at; their bodies share 32 MiB.
    #[arg(long, value_name = "REQUESTS", default_value_t = 1_000)]
    pub keep_requests: usize,

    /// How far in the future an event may lie, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600)]
    pub max_future: i64,

    /// Language of the texts for people in errors.
    #[arg(long, value_enum, default_value_t)]
    pub language: Language,

    /// Form of the details in errors.
    #[arg(long, value_enum, default_value_t)]
    pub error_data: ErrorData,

    /// Largest request body that is read, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20)]
    pub max_body: usize,

    /// Start of the pseudo-random numbers behind fault probabilities and trace ids.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
}

fn credential_env(text: &str) -> Result<(Platform, String), String> {
    let (platform, name) =
        text.split_once('=').ok_or("must be PLATFORM=NAME, such as tiktok=TIKTOK_TOKEN")?;
    match Platform::parse(platform) {
        Some(platform) => Ok((platform, name.to_owned())),
        None => Err(format!("no such platform; there are {}", Platform::names().join(", "))),
    }
}

impl Default for FakeOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8790)),
            token_env: None,
            token: None,
            credential_env: Vec::new(),
            credentials: BTreeMap::new(),
            google_polls: 1,
            pixel: None,
            versions: (21..=26).map(|version| format!("v{version}.0")).collect(),
            keep: 200_000,
            keep_ids: 2_000_000,
            keep_requests: 1_000,
            max_future: 3_600,
            language: Language::En,
            error_data: ErrorData::Object,
            max_body: 16 << 20,
            seed: 1,
        }
    }
}

/// What the stand-in knows; clones share it.
#[derive(Debug, Clone)]
pub struct FakeState(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: FakeOptions,
    bounds: Bounds,
    clock_offset_us: AtomicI64,
    log: Mutex<Log>,
    faults: Mutex<Faults>,
    desk: Mutex<Desk>,
    roll: Mutex<Roll>,
}

impl FakeState {
    /// Starts with nothing received and no faults.
    pub fn new(options: &FakeOptions) -> Self {
        let bounds = Bounds {
            events: options.keep,
            ids: options.keep_ids,
            requests: options.keep_requests,
            body_bytes: 32 << 20,
        };
        Self(Arc::new(Inner {
            bounds,
            clock_offset_us: AtomicI64::new(0),
            log: Mutex::new(Log::new(bounds)),
            faults: Mutex::new(Faults::new(options.seed)),
            desk: Mutex::new(Desk::default()),
            roll: Mutex::new(Roll::default()),
            options: options.clone(),
        }))
    }

    /// Answers what `GET /_fake/summary` answers.
    pub fn summary(&self) -> Value {
        self.log().summary()
    }

    /// Answers what `GET /_fake/audiences` answers.
    pub fn audiences(&self) -> Value {
        self.roll().shown()
    }

    /// Moves the clock that ages and duplicates go by.
    pub fn advance_clock(&self, seconds: i64) {
        let offset_us = seconds.saturating_mul(1_000_000);
        self.0.clock_offset_us.fetch_add(offset_us, Ordering::Relaxed);
    }

    /// Forgets events, requests, audiences, faults and the moved clock; tokens stay good.
    pub fn reset(&self) {
        *self.log() = Log::new(self.0.bounds);
        self.desk().forget_requests();
        *self.roll() = Roll::default();
        *self.faults() = Faults::new(self.0.options.seed);
        self.0.clock_offset_us.store(0, Ordering::Relaxed);
    }

    fn now_us(&self) -> i64 {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX);
        now.saturating_add(self.0.clock_offset_us.load(Ordering::Relaxed))
    }

    fn versions(&self) -> &[String] {
        &self.0.options.versions
    }

    // A panic while the lock was held leaves counts that are still worth showing.
    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.0.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.0.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn roll(&self) -> MutexGuard<'_, Roll> {
        self.0.roll.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The credential to accept, where one is configured.
    fn credential(&self, platform: Platform) -> Option<&str> {
        self.0.options.credentials.get(&platform).map(ExposeSecret::expose_secret)
    }

    fn trace(&self, request: u64) -> String {
        let seed = scramble(self.0.options.seed);
        format!("A{:016x}{:06x}", scramble(seed ^ request), request & 0xff_ffff)
    }

    fn token_matches(&self, token: &str) -> bool {
        let expected =
            self.0.options.token.as_ref().map_or(DEMO_TOKEN, ExposeSecret::expose_secret);
        token == expected
    }

    fn wording(&self) -> Wording {
        Wording { language: self.0.options.language, error_data: self.0.options.error_data }
    }

    /// Checks version and pixel or audience; a gateway has no versions.
    fn check_path(
        &self,
        version: Option<&str>,
        pixel: &str,
        is_pixel: bool,
    ) -> Result<(), Refusal> {
        if let Some(version) = version
            && !self.versions().iter().any(|known| known == version)
        {
            let major = version.strip_prefix('v').and_then(|v| v.strip_suffix(".0"));
            let retired = major
                .and_then(|major| major.parse::<u32>().ok())
                .is_some_and(|major| (1..RETIRED_BEFORE).contains(&major));
            return Err(match self.versions().last() {
                Some(newest) if retired => Refusal::retired_version(newest),
                _ => Refusal::unknown_path(),
            });
        }
        let exists = match &self.0.options.pixel {
            Some(only) if is_pixel => only == pixel,
            _ => !pixel.is_empty() && pixel.bytes().all(|byte| byte.is_ascii_digit()),
        };
        if exists { Ok(()) } else { Err(Refusal::unknown_object()) }
    }
}

/// Builds the routes; without [`serve()`] a cut connection shows as an empty 503.
pub fn router(state: FakeState) -> Router {
    Router::new()
        .route("/{version}/{pixel}/events", post(receive).fallback(unsupported))
        .route(
            "/{version}/{audience}/users",
            post(receive_users).delete(receive_users).fallback(unsupported),
        )
        .route("/capi/{pixel}/events", post(receive_gateway).fallback(unsupported))
        .merge(platform::routes())
        .merge(control::routes())
        .fallback(unsupported)
        .with_state(state)
}

/// Serves on the listener until the future is dropped.
pub async fn serve(options: &FakeOptions, listener: TcpListener) -> io::Result<()> {
    serve_state(FakeState::new(options), listener).await
}

/// Serves a state that the caller keeps a handle of, until the future is dropped.
pub async fn serve_state(state: FakeState, listener: TcpListener) -> io::Result<()> {
    serve::serve(router(state), listener).await
}
