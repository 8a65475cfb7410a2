//! The second look at what was captured before the transaction's last change.
//!
//! It must run when everything else has run, and as a trigger: in a transaction callback no code but
//! our own may run, since other extensions have ended their part of the transaction by then. So a
//! deferred event of our own is queued, for a trigger on `capi.second_look`: without a write, and not
//! on the source, which can be altered as if nothing were pending. When it fires and something has
//! changed, it looks and queues itself again; at the commit this ends when nothing has changed any
//! more. SET CONSTRAINTS ALL IMMEDIATE fires it in the middle of a transaction, too early to be of
//! use; a hook queues the next one after that.

use std::cell::Cell;
use std::ffi::{CStr, c_char};
use std::ptr;

use pgrx::prelude::*;

use super::guard::{Ending, as_role, subtransaction};
use super::pending;

use crate::tables;

/// The table, and the constraint trigger on it.
const NAME: &CStr = c"second_look";

thread_local! {
    /// Whether an event is being queued right now: what fires then fires too early.
    static QUEUEING: Cell<bool> = const { Cell::new(false) };
    /// Whether it did.
    static FIRED: Cell<bool> = const { Cell::new(false) };
    /// How many SET CONSTRAINTS are running: a trigger may run another one.
    static SETTING: Cell<usize> = const { Cell::new(0) };
}

pub(super) fn register() {
    // SAFETY: called once per backend from _PG_init, which no utility statement runs concurrently to.
    unsafe {
        PREVIOUS = pg_sys::ProcessUtility_hook;
        pg_sys::ProcessUtility_hook = Some(at_utility);
    }
}

/// The trigger function's part: whether it is time to look. What fires while it is queued, or in the middle of
/// the transaction, is too early.
pub(super) fn fired() -> bool {
    if QUEUEING.get() {
        FIRED.set(true);
        return false;
    }
    pending::look_has_fired();
    // The transaction goes on after SET CONSTRAINTS, which queues the next look.
    SETTING.get() == 0
}

/// Queues a second look unless there is nothing to look at, or one is queued already.
pub(super) fn queue() {
    if !pending::needs_a_look() {
        return;
    }
    // SAFETY: a plain read. Postgres queues nothing there; the sweep finds what is missing.
    if unsafe { pg_sys::InSecurityRestrictedOperation() } {
        return super::log::log("capi: a second look at a transaction could not be queued");
    }
    // Nothing where the table is missing: it came with a later version.
    let Some(table) = tables::oid("second_look") else { return };
    // SAFETY: takes a lock, to the end of the transaction, or does not.
    if unsafe {
        pg_sys::ConditionalLockRelationOid(table, pg_sys::AccessShareLock as pg_sys::LOCKMODE)
    } {
        return queue_for(table);
    }
    // Waiting for it may end in an error.
    match subtransaction(Ending::Keep, || {
        // SAFETY: takes a lock, to the end of the transaction, or raises an error.
        unsafe { pg_sys::LockRelationOid(table, pg_sys::AccessShareLock as pg_sys::LOCKMODE) }
    }) {
        Ok(()) => queue_for(table),
        Err(failure) if failure.must_not_be_swallowed() => failure.rethrow(),
        // The order commits; the sweep finds what is missing.
        Err(_) => super::log::log("capi: a second look at a transaction could not be queued"),
    }
}

/// Queues a second look. Nothing in here waits, runs somebody's code or depends on what a user has
/// made: what it can raise, such as that memory is out, ends the order's transaction anyway.
fn queue_for(table: pg_sys::Oid) {
    let Some(owner) = tables::owner() else { return };
    as_role(owner, || {
        FIRED.set(false);
        queue_event(table);
        if FIRED.get() {
            // SET CONSTRAINTS ALL IMMEDIATE is in force.
            keep_deferred();
            queue_event(table);
        }
    });
    pending::look_is_queued();
}

/// Queues an event for the trigger of the table, which is locked.
fn queue_event(table: pg_sys::Oid) {
    // SAFETY: the relation is locked to the end of the transaction, as firing relies on, and is null
    // where it was dropped before that. What Postgres keeps of these structs it copies: the
    // trigger's oid, the relation's oid and flags. By the oid it finds the real trigger when it
    // fires. A statement's event has no row, so that no row is needed.
    unsafe {
        let relation = pg_sys::try_relation_open(table, pg_sys::NoLock as pg_sys::LOCKMODE);
        if relation.is_null() {
            return;
        }
        if let Some(mut trigger) = real_trigger(relation) {
            trigger.tgtype = pg_sys::TRIGGER_TYPE_INSERT as i16;
            trigger.tgenabled = pg_sys::TRIGGER_FIRES_ALWAYS as c_char;
            let mut triggers = pg_sys::TriggerDesc {
                triggers: &raw mut trigger,
                numtriggers: 1,
                trig_insert_after_statement: true,
                ..Default::default()
            };
            let mut target = pg_sys::ResultRelInfo {
                type_: pg_sys::NodeTag::T_ResultRelInfo,
                ri_RelationDesc: relation,
                ri_TrigDesc: &raw mut triggers,
                ..Default::default()
            };
            let queueing = Queueing::begin();
            pg_sys::AfterTriggerBeginQuery();
            pg_sys::ExecASInsertTriggers(ptr::null_mut(), &raw mut target, ptr::null_mut());
            pg_sys::AfterTriggerEndQuery(ptr::null_mut());
            drop(queueing);
        }
        pg_sys::relation_close(relation, pg_sys::NoLock as pg_sys::LOCKMODE);
    }
}

/// A copy of the trigger as the relation has it.
///
/// # Safety
///
/// The relation must be open.
unsafe fn real_trigger(relation: pg_sys::Relation) -> Option<pg_sys::Trigger> {
    // SAFETY: an open relation has its triggers in the cache, or null; names end with a zero byte.
    unsafe {
        let all = (*relation).trigdesc;
        if all.is_null() {
            return None;
        }
        (0..usize::try_from((*all).numtriggers).unwrap_or(0))
            .map(|n| *(*all).triggers.add(n))
            .find(|trigger| trigger.tgdeferrable && CStr::from_ptr(trigger.tgname) == NAME)
    }
}

/// As SET CONSTRAINTS capi.second_look DEFERRED.
fn keep_deferred() {
    // SAFETY: nodes as the parser makes them, in memory of the current context; the names are static.
    unsafe {
        let name = pg_sys::makeRangeVar(c"capi".as_ptr().cast_mut(), NAME.as_ptr().cast_mut(), -1);
        let mut statement = pg_sys::ConstraintsSetStmt {
            type_: pg_sys::NodeTag::T_ConstraintsSetStmt,
            constraints: pg_sys::lappend(ptr::null_mut(), name.cast()),
            deferred: true,
        };
        pg_sys::AfterTriggerSetState(&raw mut statement);
    }
}

static mut PREVIOUS: pg_sys::ProcessUtility_hook_type = None;

/// Queues the next second look when SET CONSTRAINTS may have fired the last one.
#[pg_guard]
#[expect(clippy::too_many_arguments, reason = "Postgres' type of the hook")]
unsafe extern "C-unwind" fn at_utility(
    statement: *mut pg_sys::PlannedStmt,
    text: *const c_char,
    read_only: bool,
    context: pg_sys::ProcessUtilityContext::Type,
    parameters: pg_sys::ParamListInfo,
    environment: *mut pg_sys::QueryEnvironment,
    receiver: *mut pg_sys::DestReceiver,
    completion: *mut pg_sys::QueryCompletion,
) {
    // SAFETY: a planned utility statement has its node.
    let sets_constraints = unsafe {
        let node = (*statement).utilityStmt;
        !node.is_null() && (*node).type_ == pg_sys::NodeTag::T_ConstraintsSetStmt
    };
    let setting = sets_constraints.then(Setting::begin);
    // SAFETY: what Postgres has handed over is handed on; the previous hook was written once, before
    // this one was in place.
    unsafe {
        match PREVIOUS {
            Some(previous) => pg_sys::ffi::pg_guard_ffi_boundary(|| {
                previous(
                    statement,
                    text,
                    read_only,
                    context,
                    parameters,
                    environment,
                    receiver,
                    completion,
                );
            }),
            None => pg_sys::standard_ProcessUtility(
                statement,
                text,
                read_only,
                context,
                parameters,
                environment,
                receiver,
                completion,
            ),
        }
    }
    drop(setting);
    if sets_constraints {
        queue();
    }
}

/// An event that is being queued; an error ends it as well.
struct Queueing;

impl Queueing {
    fn begin() -> Self {
        QUEUEING.set(true);
        Self
    }
}

impl Drop for Queueing {
    fn drop(&mut self) {
        QUEUEING.set(false);
    }
}

/// A running SET CONSTRAINTS; an error ends it as well.
struct Setting;

impl Setting {
    fn begin() -> Self {
        SETTING.set(SETTING.get() + 1);
        Self
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        SETTING.set(SETTING.get() - 1);
    }
}
