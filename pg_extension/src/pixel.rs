//! The pixel's half in SQL: the snippet of a row, and what a web request tells of the browser.

#![expect(
    clippy::result_large_err,
    clippy::needless_pass_by_value,
    reason = "pgrx's own error type, raised at once; SQL arguments come by value"
)]

use std::time::Duration;

use capi_core::browser;
use capi_core::capture::{Options, Row};
use capi_core::pixel::{self, Account, Beacon, Page};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, datum::TimestampWithTimeZone};
use serde_json::Value;

use crate::capture::clock;
use crate::capture::jsonb::{Json, JsonText};
use crate::error::{Error, given};

/// The snippet of one row for a page. `page` has `base`, `nonce`, `beacon`, `loader` and `within`
/// in seconds, as `capi.pixel_snippet` takes them; `mac` marks the page's report.
#[pg_extern(stable, parallel_safe, name = "_pixel_snippet")]
fn pixel_snippet(
    name: Option<&str>,
    platform: Option<&str>,
    settings: Json,
    row: JsonText,
    options: Json,
    page: Json,
    mac: Option<&str>,
) -> Result<String, ErrorReport> {
    let (name, platform) = (given(name, "name"), given(platform, "platform"));
    let Value::Object(row) = row.0 else { return Err(Error::NotARow("pixel_snippet").into()) };
    if !row.contains_key("event_name") {
        return Err(Error::NotARow("pixel_snippet").into());
    }
    let text = |key: &str| page.0.get(key).and_then(Value::as_str).map(str::to_owned);
    let row = Row::from_object(row);
    let beacon = text("beacon").zip(mac).map(|(url, mac)| {
        let of = |key: &str| row.text(key).unwrap_or_default();
        let token = pixel::report(name, &of("event_name"), &of("event_id"), mac);
        Beacon { url, token }
    });
    let seconds = page.0.get("within").and_then(Value::as_f64).unwrap_or_default();
    let page = Page {
        base: page.0.get("base").and_then(Value::as_bool).unwrap_or(true),
        loader: text("loader"),
        nonce: text("nonce"),
        beacon,
        within: Duration::try_from_secs_f64(seconds).unwrap_or_default(),
    };
    let account = Account { name, platform, settings: &settings.0 };
    let options = Options::from_json(&options.0);
    let snippet = pixel::snippet(account, row, &options, clock::now(), &page);
    Ok(snippet.map_err(Error::from)?)
}

/// A snippet that fires nothing and says why.
#[pg_extern(immutable, parallel_safe, strict, name = "_pixel_comment")]
fn pixel_comment(reason: &str) -> String {
    pixel::silence(reason)
}

/// What a web request tells of the browser, as the `browser` object of conversion views.
#[pg_extern(immutable, parallel_safe, name = "_browser")]
fn browser_of(
    cookies: Option<&str>,
    url: Option<&str>,
    ip: Option<&str>,
    user_agent: Option<&str>,
    at: Option<TimestampWithTimeZone>,
) -> JsonB {
    let at = clock::from_postgres(given(at, "at").into_inner());
    JsonB(Value::Object(browser::browser(cookies, url, ip, user_agent, at)))
}
