//! Versions of a platform's API, and when they end.

use crate::time::Timestamp;

/// The version of a platform's API that a destination uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiVersion {
    /// As it stands in the URL, e.g. `v26.0`.
    pub name: String,
    /// The day it stops working as `YYYY-MM-DD`, as far as the vendor has said so.
    pub ends: Option<&'static str>,
    /// Whether this build knows it.
    pub listing: Listing,
}

/// Where a version stands to those that this build knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// It is one of them.
    Listed,
    /// Newer than all of them: nobody has looked at it when this build was made.
    Newer,
    /// Older than all of them: it has ended.
    Older,
    /// Between them, where the vendor has none: most likely a slip.
    Unknown,
}

/// What is wrong with a version, today or soon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionTrouble {
    /// One clause.
    pub what: String,
    /// The way out.
    pub way_out: &'static str,
    /// Whether everything that is sent to it fails already.
    pub has_ended: bool,
}

impl ApiVersion {
    /// What is wrong with this version at `now`, or within 90 days.
    pub fn trouble(&self, now: Timestamp) -> Option<VersionTrouble> {
        const SOON_US: i64 = 90 * 86_400 * 1_000_000;
        const NEWER: &str = "set api_version to a newer one with capi.alter_destination";
        const KNOWN: &str = "set api_version to one that this program knows, or leave it out";
        let Self { name, ends, listing } = self;
        let trouble = |what: String, way_out, has_ended| {
            Some(VersionTrouble { what: format!("API {name} {what}"), way_out, has_ended })
        };
        match listing {
            Listing::Older => {
                return trouble("is older than any that still works".into(), NEWER, true);
            }
            Listing::Newer => {
                let what = "is newer than this program, which was not tried with it";
                return trouble(what.into(), KNOWN, false);
            }
            Listing::Unknown => {
                let what = "is none that the platform has announced";
                return trouble(what.into(), KNOWN, false);
            }
            Listing::Listed => {}
        }
        let day = (*ends)?;
        let end = Timestamp::parse(&format!("{day}T00:00:00Z")).ok()?;
        match end.micros_since(now) {
            left if left <= 0 => trouble(format!("ended on {day}"), NEWER, true),
            left if left < SOON_US => trouble(format!("ends on {day}"), NEWER, false),
            _ => None,
        }
    }
}
