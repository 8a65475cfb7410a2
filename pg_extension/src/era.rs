//! The era: which stretch of history on which cluster this is.

use capi_core::hash::fingerprint;
use pgrx::prelude::*;

/// Identifies cluster, database and generation: snapshots do not travel between eras.
#[pg_extern(stable, parallel_safe, name = "_era")]
pub(crate) fn era(generation: i32) -> i64 {
    // SAFETY: both are set before any query runs.
    let (cluster, database) = unsafe { (pg_sys::GetSystemIdentifier(), pg_sys::MyDatabaseId) };
    let bytes = fingerprint(&[
        &cluster.to_string(),
        &database.to_u32().to_string(),
        &generation.to_string(),
    ]);
    let mut head = [0; 8];
    head.copy_from_slice(&bytes[..8]);
    i64::from_be_bytes(head) & i64::MAX
}
