//! Which tables' triggers speak for a source: its own table, the partitions and children of that, and
//! the tables that `also` names. Whoever may create a trigger on one of these may change the rows that
//! it would note; a trigger on any other table proves nothing.

use std::cell::RefCell;
use std::collections::HashSet;

use pgrx::prelude::*;

use super::guard::as_role;
use crate::statement::{argument, committed};
use crate::tables;

thread_local! {
    /// Pairs that were looked up and are right. What is wrong is looked up each time: a partition may
    /// be attached at any moment.
    static KNOWN: RefCell<HashSet<(pg_sys::Oid, i32)>> = RefCell::new(HashSet::new());
}

const SPEAKS_FOR: &str = "
with recursive above (relation) as (
    select $1
    union
    select i.inhparent from pg_catalog.pg_inherits i join above a on a.relation = i.inhrelid
)
select exists (
    select from capi.source s join above a
        on a.relation = s.relation::oid or a.relation = any (s.also_tables::oid[])
    where s.source = $2
)";

/// Whether it is known already that it speaks for it: no look-up, which nearly every order is spared.
pub(super) fn is_known(table: pg_sys::Oid, id: i32) -> bool {
    KNOWN.with_borrow(|known| known.contains(&(table, id)))
}

/// Whether a trigger on this table may have noted keys of this source.
pub(super) fn speaks_for(table: pg_sys::Oid, id: i32) -> bool {
    if is_known(table, id) {
        return true;
    }
    let Some(owner) = tables::owner() else { return false };
    let arguments = [(pg_sys::OIDOID, argument(table)), (pg_sys::INT4OID, argument(id))];
    let is_its_own = as_role(owner, || {
        committed(SPEAKS_FOR, &arguments, &[pg_sys::BOOLOID], |mut rows| {
            rows.next().and_then(|row| row.get(0)) == Some(true)
        })
        .unwrap_or_else(|e| pgrx::error!("source cannot be read: {e}"))
    });
    if is_its_own {
        KNOWN.with_borrow_mut(|known| known.insert((table, id)));
    }
    is_its_own
}

/// Forgets everything: sources have changed.
pub(super) fn forget() {
    KNOWN.with_borrow_mut(HashSet::clear);
}
