//! Owns the local stand-ins for the platforms that `capi-standin` runs: they check what the platforms
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
//! | `GET /_standin/health` | alive, known versions, its clock |
//! | `GET /_standin/summary` | counts, duplicates, refusals, exact sums of value per currency of unique events, in all and by platform |
//! | `GET /_standin/events?limit&offset&event_id&platform` | accepted events as received |
//! | `GET /_standin/audiences` | custom audiences: members, rows, sessions |
//! | `GET /_standin/requests?limit` | latest requests with body, answer and the culprit of a refusal |
//! | `POST /_standin/faults` | puts a fault in force, see below |
//! | `GET`, `DELETE /_standin/faults`, `DELETE /_standin/faults/{id}` | lists, removes |
//! | `POST /_standin/clock` | `{"advance_seconds": 172800}` moves the clock that ages and duplicates go by |
//! | `POST /_standin/reset` | forgets events, faults and clock |
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
//! `docs/contributing/standin.md` lists every rule with its source and what is not enforced. Stricter than what is
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

mod accepted_event;
mod answer;
mod audiences;
mod call;
mod control;
mod decimal;
mod edge;
mod exchange;
mod fault;
mod ga4;
mod google;
mod issued;
mod judges;
mod linkedin;
mod log;
mod meta;
mod oauth;
mod options;
mod pinterest;
mod platform;
mod reddit;
mod refusal;
mod schema;
mod serve;
mod snapchat;
mod state;
#[cfg(test)]
mod tests;
mod tiktok;
mod webhook;
mod wording;

use std::io;

use axum::Router;
use axum::routing::post;
use tokio::net::TcpListener;

use edge::{receive, receive_gateway, receive_users, unsupported};

pub use options::{DEMO_TOKEN, StandinOptions};
pub use platform::Platform;
pub use state::Standin;
pub use wording::{ErrorData, Language};

/// Builds the routes; without [`serve()`] a cut connection shows as an empty 503.
pub fn router(state: Standin) -> Router {
    Router::new()
        .route("/{version}/{pixel}/events", post(receive).fallback(unsupported))
        .route(
            "/{version}/{audience}/users",
            post(receive_users).delete(receive_users).fallback(unsupported),
        )
        .route("/capi/{pixel}/events", post(receive_gateway).fallback(unsupported))
        .merge(exchange::routes())
        .merge(control::routes())
        .fallback(unsupported)
        .with_state(state)
}

/// Serves on the listener until the future is dropped.
pub async fn serve(options: &StandinOptions, listener: TcpListener) -> io::Result<()> {
    serve_state(Standin::new(options), listener).await
}

/// Serves a state that the caller keeps a handle of, until the future is dropped.
pub async fn serve_state(state: Standin, listener: TcpListener) -> io::Result<()> {
    serve::serve(router(state), listener).await
}
