//! The pixel's half: the part of a page that fires in the browser what the server sends, with the
//! same id, amount, contents and digests. One file per platform that has a browser tag.
//!
//! It is made of the same [`Event`] as the server's request. A page holds no identifier in clear,
//! none of what only platforms may see (IP address, click ids), and nothing that is not a literal:
//! `script` writes all of it. Where nothing is to be fired, the page gets a comment that says why.

pub(crate) mod gtag;
pub(crate) mod half;
pub(crate) mod parts;
pub(crate) mod script;
pub(crate) mod tag;

use std::time::Duration;

use serde_json::{Value, json};

use crate::capture::{Captured, NewEvent, Options, Row, capture};
use crate::consent::refuses;
use crate::destination::SettingsError;
use crate::event::{ActionSource, Event};
use crate::platform;
use crate::time::Timestamp;
use half::{Build, Half, Silent};
use script::{attribute, literal};
use tag::Tag;

/// How the page wants it.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Whether the vendor's script is loaded too; without, the page has the vendor's base code.
    pub base: bool,
    /// Another address of the vendor's script.
    pub loader: Option<String>,
    /// The nonce of the page's Content-Security-Policy.
    pub nonce: Option<String>,
    /// Where the page reports that it has fired.
    pub beacon: Option<Beacon>,
    /// Oldest event that is fired: a page that is opened again later would count again, since
    /// platforms drop duplicates for two days at most.
    pub within: Duration,
}

/// A report to the shop that the browser's half ran.
#[derive(Clone, Debug, PartialEq)]
pub struct Beacon {
    /// Address of the shop's endpoint.
    pub url: String,
    /// What is posted there, with which the database knows its own page again.
    pub token: String,
}

/// Why there can be no snippet, whatever the row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PixelError {
    /// The platform has no browser tag, or none that this build knows.
    #[error("no browser tag for platform {platform}")]
    NoTag {
        /// The platform.
        platform: String,
    },
    /// The destination does not say which tag.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// An argument is none.
    #[error("{argument}: {rule}")]
    Argument {
        /// The argument.
        argument: &'static str,
        /// What it must be; never the value.
        rule: &'static str,
    },
}

/// Platforms with a browser tag.
pub fn platforms() -> Vec<&'static str> {
    platform::platforms().into_iter().filter(|name| platform::tag_of(name).is_some()).collect()
}

/// A destination, as far as its tag goes.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    /// Name of the destination.
    pub name: &'a str,
    /// Its platform.
    pub platform: &'a str,
    /// Its settings.
    pub settings: &'a Value,
}

/// The snippet of a row of a conversion view. Refused or unknown consent, a row that is no event,
/// and an event that its platform does not get, make a comment.
pub fn snippet(
    account: Account<'_>,
    row: Row,
    options: &Options,
    now: Timestamp,
    page: &Page,
) -> Result<String, PixelError> {
    let (build, mut tag) = find(account)?;
    check(page)?;
    let NewEvent { event, refused, .. } = match capture(row, options, now) {
        Captured::Event(event) => *event,
        Captured::Waiting => return Ok(silence("consent_unknown")),
        Captured::Fault(fault) => {
            return Ok(silence(&format!("{}: {}", fault.field, fault.reason)));
        }
    };
    if refuses(&refused, account.platform, account.name) {
        return Ok(silence("consent_refused"));
    }
    let made = match platform::for_page(account.platform, account.settings, &event)? {
        Ok((shaped, own)) => {
            tag.shape(&event.event_name, &shaped.event_name, own);
            not_here(&shaped, account.platform, now, page).map_or_else(|| build(&shaped, &tag), Err)
        }
        Err(reason) => Err(reason),
    };
    Ok(match made {
        Ok(half) => render(&half, page),
        Err(reason) => silence(reason),
    })
}

/// A snippet that fires nothing. The reason is a word of this program.
pub fn silence(reason: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "_: ".contains(c) { c } else { '_' };
    let reason: String = reason.chars().map(plain).collect();
    format!("<!-- pg_capi fires nothing: {reason} -->")
}

fn find(account: Account<'_>) -> Result<(Build, Tag), PixelError> {
    let known = platform::tag_of(account.platform);
    let (build, id) =
        known.ok_or_else(|| PixelError::NoTag { platform: account.platform.to_owned() })?;
    Ok((build, Tag::read(id, account.settings)?))
}

/// Why the browser fires nothing that the server may well send.
fn not_here(event: &Event, platform: &str, now: Timestamp, page: &Page) -> Option<Silent> {
    if event.action_source != ActionSource::Website {
        return Some("not_on_a_website");
    }
    let within = i64::try_from(page.within.as_micros()).unwrap_or(i64::MAX);
    if now.micros_since(event.event_time) > within {
        return Some("too_old");
    }
    // No tag can be told "for attribution only", and Meta's alone is told of limited use here.
    if event.facts.get("opt_out").and_then(Value::as_bool) == Some(true) {
        return Some("opt_out");
    }
    let limited = event.facts.get("data_processing_options");
    let off = limited.is_none_or(|options| options.as_array().is_some_and(Vec::is_empty));
    (!off && platform != "meta").then_some("limited_data_use")
}

/// Refuses arguments that could be more than they say.
fn check(page: &Page) -> Result<(), PixelError> {
    let refuse = |argument, rule| Err(PixelError::Argument { argument, rule });
    let is_nonce = |nonce: &String| {
        (1..=256).contains(&nonce.len())
            && nonce.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=_-".contains(&b))
    };
    if page.nonce.as_ref().is_some_and(|nonce| !is_nonce(nonce)) {
        return refuse("nonce", "must be base64");
    }
    let rule = "must be https://…, http:// on loopback, or a path of this site such as /x";
    if page.loader.as_deref().is_some_and(|url| !is_address(url)) {
        return refuse("loader", rule);
    }
    if page.beacon.as_ref().is_some_and(|beacon| !is_address(&beacon.url)) {
        return refuse("beacon", rule);
    }
    Ok(())
}

/// Whether a script or a report may go there.
fn is_address(url: &str) -> bool {
    let printable = url.len() <= 2048 && url.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    let host_of =
        |rest: &'_ str| rest.split(['/', '?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let named = match url.split_once("://") {
        Some(("https", rest)) => !host_of(rest).is_empty() && !host_of(rest).contains('@'),
        Some(("http", rest)) => {
            let host = host_of(rest);
            let port = |name: &str| {
                host.strip_prefix(name).is_some_and(|port| {
                    port.is_empty()
                        || port.strip_prefix(':').is_some_and(|p| p.parse::<u16>().is_ok())
                })
            };
            ["127.0.0.1", "localhost", "[::1]"].into_iter().any(port)
        }
        // `//host` would be another site.
        _ => url.starts_with('/') && !url.starts_with("//"),
    };
    printable && named
}

fn render(half: &Half, page: &Page) -> String {
    let nonce = page.nonce.as_ref().map_or_else(String::new, |nonce| format!(" nonce=\"{nonce}\""));
    let mut script = format!("<script{nonce}>");
    if page.base {
        script.push_str("(function(w){");
        script.push_str(&half.stub);
        script.push_str("})(window);");
        script::calls(&half.base, &mut script);
    }
    script::calls(&half.calls, &mut script);
    if let Some(beacon) = &page.beacon {
        // Old browsers have none.
        script.push_str("navigator.sendBeacon&&navigator.sendBeacon(");
        literal(&beacon.url.as_str().into(), &mut script);
        script.push(',');
        literal(&beacon.token.as_str().into(), &mut script);
        script.push_str(");");
    }
    script.push_str("</script>");
    if page.base {
        let address = page.loader.as_deref().unwrap_or(half.loader);
        let query = half.query.as_ref().map_or_else(String::new, |query| {
            format!("{}{query}", if address.contains('?') { '&' } else { '?' })
        });
        let address = attribute(&format!("{address}{query}"));
        script.push_str(&format!("\n<script async src=\"{address}\"{nonce}></script>"));
    }
    script
}

/// What a page posts to the shop's endpoint: `mac` is the database's mark on the rest.
pub fn report(destination: &str, event_name: &str, event_id: &str, mac: &str) -> String {
    json!([destination, event_name, event_id, mac]).to_string()
}

#[cfg(test)]
mod tests;
