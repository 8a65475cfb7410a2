//! The block against capturing the past of a forgotten person again.

use std::collections::HashMap;

use capi_core::hash::salted;
use capi_core::time::Timestamp;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::prelude::*;
use pgrx::spi;

use super::clock;
use super::guard::as_role;
use super::source::Source;
use super::write::Keyed;
use crate::statement::{argument, committed};

/// Identifiers that belong to one person.
const PERSONAL: [&str; 3] = ["email", "phone", "external_id"];

/// Blanks events that are older than the day on which their person was forgotten. Whoever comes
/// back later is a new customer with a consent of his own.
pub(super) fn blank(source: &Source, events: &mut [Keyed]) {
    let Some(salt) = &source.salt else { return };
    let digests_of = |keyed: &Keyed| -> Vec<Vec<u8>> {
        let identity = &keyed.event.event.identity;
        identity
            .iter()
            .filter(|(form, _)| PERSONAL.contains(&form.split('/').next().unwrap_or_default()))
            .flat_map(|(_, digests)| digests)
            .map(|digest| salted(salt, digest).to_vec())
            .collect()
    };
    let all: Vec<Vec<Vec<u8>>> = events.iter().map(digests_of).collect();
    let wanted: Vec<Vec<u8>> = all.iter().flatten().cloned().collect();
    if wanted.is_empty() {
        return;
    }
    let forgotten = as_role(source.owner, || look_up(wanted))
        .unwrap_or_else(|e| pgrx::error!("forgotten persons cannot be looked up: {e}"));
    for (keyed, digests) in events.iter_mut().zip(all) {
        let at = digests.iter().filter_map(|digest| forgotten.get(digest)).max();
        if at.is_some_and(|at| keyed.event.event.event_time <= *at) {
            keyed.event.blank();
        }
    }
}

fn look_up(wanted: Vec<Vec<u8>>) -> Result<HashMap<Vec<u8>, Timestamp>, spi::Error> {
    // What the transaction's snapshot does not show is forgotten all the same.
    let query = "select salted, at from capi.forgotten where salted = any ($1)";
    let arguments = [(pg_sys::BYTEAARRAYOID, argument(wanted))];
    committed(query, &arguments, &[pg_sys::BYTEAOID, pg_sys::TIMESTAMPTZOID], |mut rows| {
        let mut forgotten = HashMap::new();
        while let Some(row) = rows.next() {
            if let (Some(salted), Some(at)) =
                (row.get::<Vec<u8>>(0), row.get::<TimestampWithTimeZone>(1))
            {
                forgotten.insert(salted, clock::from_postgres(at.into_inner()));
            }
        }
        forgotten
    })
}
