//! What to do about an error of the database, where that is known.

use crate::config::Database;
use crate::queue::QueueError;
use crate::worker::chain;

/// Calls that the sidecar's own role may not make.
const FOR_ADMINS: [&str; 4] = ["capi.adopt", "capi.pause", "capi.resume", "capi.replay"];

/// What to do about a call that the database refused, where that is known.
pub(super) fn way_out(error: &QueueError, database: &Database) -> Option<String> {
    let (role, name, place) = (database.role(), database.name(), database.place());
    Some(match (error, error.code()) {
        (QueueError::Unreachable(_), _) => format!(
            "start Postgres, correct `database_url`, or open the way to {place}; for a private \
             certificate authority set `database_root_cert`"
        ),
        (_, Some("28P01")) => format!("correct the password of {role} in `database_url`"),
        (_, Some("28000")) => format!(
            "create the role ({role}) with LOGIN, and allow it in pg_hba.conf for this host"
        ),
        (_, Some("3D000")) => format!("create database {name}, or correct `database_url`"),
        (_, Some("53300")) => "raise max_connections or lower `database_connections`".to_owned(),
        (_, Some("57P03")) => "wait until the server has started".to_owned(),
        (QueueError::Call { call, .. }, Some("42501")) if FOR_ADMINS.contains(call) => {
            "connect as a member of capi_admin".to_owned()
        }
        (QueueError::Call { call: "capi.replay", .. }, Some("22007" | "22008")) => {
            "write times as 2026-01-31 or '2026-01-31 18:00+01'".to_owned()
        }
        (QueueError::Call { call: "capi.replay", .. }, Some("22023")) => {
            "--status takes delivered, refused, expired, suppressed, unrouted or undecided".to_owned()
        }
        (QueueError::Call { call: "capi.audience_open", .. }, Some("55006")) => {
            "another sync of this audience is under way: wait for its end".to_owned()
        }
        (QueueError::Call { call: "capi.audience_open", .. }, Some("55000")) => {
            "the destination is paused or blocked (`capi resume`), or this database is a copy (`capi \
             adopt`)"
                .to_owned()
        }
        (
            QueueError::Call { call: "capi.audience_batch" | "capi.audience_record", .. },
            Some("55000"),
        ) => {
            "the destination was paused, the audience dropped, or another sync has begun: sync again"
                .to_owned()
        }
        (QueueError::Call { call: "capi.test_open", .. }, Some("55000")) => {
            "the event is too old, withdrawn or refused by the customer, or this database is a copy: \
             choose another event"
                .to_owned()
        }
        (_, Some("42501")) => format!("run `grant capi_sidecar to {role};`"),
        (_, Some("3F000" | "42883")) => {
            format!("in database {name} run `create extension pg_capi; select capi.setup();`")
        }
        (_, Some("42P01")) => format!("in database {name} run `select capi.setup();`"),
        _ => return None,
    })
}

/// An error together with the way out.
#[derive(Debug, thiserror::Error)]
#[error("{}; {way_out}", chain(error))]
pub(super) struct Explained {
    error: QueueError,
    way_out: String,
}

pub(super) fn explained(error: QueueError, database: &Database) -> anyhow::Error {
    match way_out(&error, database) {
        Some(way_out) => Explained { error, way_out }.into(),
        None => error.into(),
    }
}
