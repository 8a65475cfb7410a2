//! The tables of the schema: their oids, their owner, and whether they have ever held a row.

use pgrx::PgRelation;
use pgrx::prelude::*;

use crate::error::c_string;
use crate::relation;

/// The owner of the schema's tables.
pub(crate) fn owner() -> Option<pg_sys::Oid> {
    relation::owner(oid("outbox")?)
}

/// Whether a table of the schema has ever had a row since it was last emptied: what is visible
/// stands on a page of the file.
pub(crate) fn has_pages(name: &str) -> bool {
    oid(name).is_none_or(|relation| {
        // SAFETY: the table exists; the lock is the one that reading it takes.
        unsafe {
            let relation =
                PgRelation::with_lock(relation, pg_sys::AccessShareLock as pg_sys::LOCKMODE);
            let main = pg_sys::ForkNumber::MAIN_FORKNUM;
            pg_sys::RelationGetNumberOfBlocksInFork(relation.as_ptr(), main) > 0
        }
    })
}

/// The relation of this name.
pub(crate) fn oid(name: &str) -> Option<pg_sys::Oid> {
    let name = c_string(name);
    // SAFETY: look-ups by valid names; missing ones are reported as InvalidOid.
    let oid = unsafe {
        let schema = pg_sys::get_namespace_oid(c"capi".as_ptr(), true);
        pg_sys::get_relname_relid(name.as_ptr(), schema)
    };
    (oid != pg_sys::InvalidOid).then_some(oid)
}
