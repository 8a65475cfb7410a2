//! Locks that only this extension can take. Anybody may take advisory locks, and whoever knew the keys
//! could hold up the delivery or have it ring at every commit; no SQL function makes locks of this tag.
//! As of advisory locks there are those of a transaction and those of a session, which an error
//! leaves alone.

use pgrx::prelude::*;

use crate::error::Error;

/// Tells our locks from those of another extension that uses the tag.
const MARK: u16 = 0x4341;

/// What is locked. The numbers stand in `pg_locks.classid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lock {
    /// Held exclusively while the sidecar sleeps.
    Bell = 1,
    /// Shared by writers that rely on another one's ringing.
    Gate = 2,
    /// Held by the one writer that rings.
    Ringer = 3,
    /// Held by the session that maintains.
    Maintenance = 4,
    /// Held by the sidecar that keeps the bell.
    Keeper = 5,
    /// Held by who changes the list of alerts.
    Alerts = 6,
    /// Held by the sync of an audience.
    Audience = 7,
    /// Held by a replay to a destination.
    Replay = 8,
}

const NAMES: [(&str, Lock); 8] = [
    ("bell", Lock::Bell),
    ("gate", Lock::Gate),
    ("ringer", Lock::Ringer),
    ("maintenance", Lock::Maintenance),
    ("keeper", Lock::Keeper),
    ("alerts", Lock::Alerts),
    ("audience", Lock::Audience),
    ("replay", Lock::Replay),
];

/// How others are kept out.
#[derive(Clone, Copy)]
pub(crate) enum Mode {
    /// Others may share it.
    Shared,
    /// Nobody else.
    Exclusive,
}

/// How long a lock is held.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// To the end of the transaction.
    Commit,
    /// Until it is given back, or the session ends.
    Released,
}

impl Lock {
    fn named(name: &str) -> Self {
        let found = NAMES.iter().find(|(known, _)| *known == name);
        found.map_or_else(|| Error::UnknownLock.raise(), |(_, lock)| *lock)
    }

    fn tag(self, id: i32) -> pg_sys::LOCKTAG {
        pg_sys::LOCKTAG {
            // SAFETY: a static of the backend, which is set before any query runs.
            locktag_field1: unsafe { pg_sys::MyDatabaseId }.to_u32(),
            locktag_field2: self as u32,
            locktag_field3: id.cast_unsigned(),
            locktag_field4: MARK,
            locktag_type: pg_sys::LockTagType::LOCKTAG_USERLOCK as u8,
            locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
        }
    }

    /// Takes the lock if that needs no waiting. A lock table that is full counts as somebody who holds
    /// it: no order fails for that.
    pub(crate) fn try_take(self, id: i32, mode: Mode, until: Until) -> bool {
        let tag = self.tag(id);
        // SAFETY: the tag lives through the call; nobody asks for the local lock.
        let result = unsafe {
            pg_sys::LockAcquireExtended(
                &raw const tag,
                mode.number(),
                until == Until::Released,
                true,
                false,
                std::ptr::null_mut(),
                #[cfg(feature = "pg18")]
                false,
            )
        };
        result != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
    }
}

impl Mode {
    fn number(self) -> pg_sys::LOCKMODE {
        (match self {
            Self::Shared => pg_sys::ShareLock,
            Self::Exclusive => pg_sys::ExclusiveLock,
        }) as pg_sys::LOCKMODE
    }
}

/// Takes a lock of the extension to the end of the transaction, and waits for it.
#[pg_extern(volatile, name = "_lock")]
fn lock(lock: &str, id: default!(i32, 0)) {
    let tag = Lock::named(lock).tag(id);
    // SAFETY: the tag lives through the call.
    unsafe { pg_sys::LockAcquire(&raw const tag, Mode::Exclusive.number(), false, false) };
}

/// Takes a lock of the extension if nobody holds it, to the end of the transaction or of the session;
/// says whether it did.
#[pg_extern(volatile, name = "_try_lock")]
fn try_lock(lock: &str, id: default!(i32, 0), session: default!(bool, false)) -> bool {
    let until = if session { Until::Released } else { Until::Commit };
    Lock::named(lock).try_take(id, Mode::Exclusive, until)
}

/// Gives back a lock that the session holds once; says whether it did.
#[pg_extern(volatile, name = "_unlock")]
fn unlock(lock: &str, id: default!(i32, 0)) -> bool {
    let tag = Lock::named(lock).tag(id);
    // SAFETY: the tag lives through the call.
    unsafe { pg_sys::LockRelease(&raw const tag, Mode::Exclusive.number(), true) }
}

/// The numbers by which `pg_locks` shows the locks of the extension.
#[pg_extern(immutable, parallel_safe, name = "_lock_names")]
fn lock_names()
-> TableIterator<'static, (name!(lock, &'static str), name!(number, i32), name!(mark, i32))> {
    TableIterator::new(NAMES.map(|(name, lock)| (name, lock as i32, i32::from(MARK))))
}
