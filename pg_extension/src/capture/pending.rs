//! The keys that the running transaction has changed, in backend memory.
//!
//! Keys of a rolled-back savepoint may stay: the view no longer shows their rows. What must be
//! right is when a deferred event is needed: if the savepoint that queued it is rolled back, the
//! next key must queue another one. And if the savepoint in which an event fired early (SET
//! CONSTRAINTS) is rolled back, Postgres fires it again, and its keys must be there again.
//!
//! Keys that were captured stay known until the commit: what changes after an early event (rows that
//! are deleted, tables without a trigger) fires nothing, and the commit must look again.

use std::cell::RefCell;
use std::ffi::c_void;
use std::mem;

use pgrx::prelude::*;

use super::drain;
use crate::{bell, gucs};

/// The changed keys of one source.
#[derive(Clone, Debug)]
pub(super) enum Keys {
    /// Keys of one integer column.
    Integers(Vec<i64>),
    /// Other keys, as the texts of their columns.
    Texts(Vec<Vec<String>>),
}

impl Keys {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Integers(keys) => keys.len(),
            Self::Texts(keys) => keys.len(),
        }
    }

    /// Puts the keys in order, each once.
    pub(super) fn sort(&mut self) {
        match self {
            Self::Integers(keys) => {
                keys.sort_unstable();
                keys.dedup();
            }
            Self::Texts(keys) => {
                keys.sort_unstable();
                keys.dedup();
            }
        }
    }

    /// Adds keys of the same kind.
    fn append(&mut self, more: Self) {
        match (self, more) {
            (Self::Integers(keys), Self::Integers(mut more)) => keys.append(&mut more),
            (Self::Texts(keys), Self::Texts(mut more)) => keys.append(&mut more),
            // The table got another key in between: the triggers were made anew.
            (keys, more) => *keys = more,
        }
    }

    pub(super) fn chunks(&self, size: usize) -> impl Iterator<Item = Self> {
        (0..self.len().div_ceil(size)).map(move |n| {
            let range = n * size..self.len().min((n + 1) * size);
            match self {
                Self::Integers(keys) => Self::Integers(keys[range].to_vec()),
                Self::Texts(keys) => Self::Texts(keys[range].to_vec()),
            }
        })
    }

    /// Two halves; none of a single key.
    pub(super) fn halves(&self) -> Option<(Self, Self)> {
        let mut halves = (self.len() > 1).then(|| self.chunks(self.len().div_ceil(2)))?;
        Some((halves.next()?, halves.next()?))
    }

    /// The keys as the outbox stores them.
    pub(super) fn texts(&self) -> Vec<String> {
        match self {
            Self::Integers(keys) => keys.iter().map(ToString::to_string).collect(),
            Self::Texts(keys) => keys
                .iter()
                .map(|columns| match columns.as_slice() {
                    [one] => one.clone(),
                    // As jsonb writes an array, which is how the view's rows spell their keys.
                    many => {
                        let quoted = many.iter().map(|c| serde_json::Value::from(c.as_str()));
                        let quoted: Vec<String> = quoted.map(|c| c.to_string()).collect();
                        format!("[{}]", quoted.join(", "))
                    }
                })
                .collect(),
        }
    }
}

#[derive(Default)]
struct Pending {
    /// The subtransaction whose end decides over the queued event; none when none is queued.
    armed: Option<pg_sys::SubTransactionId>,
    sources: Vec<(i32, Keys)>,
    /// What was taken inside savepoints that still may be rolled back, oldest first.
    taken: Vec<Taken>,
    /// What has been captured, and the command counter after that; none when it has been captured
    /// in several goes.
    captured: Vec<(i32, Keys)>,
    captured_at: Option<pg_sys::CommandId>,
}

/// Keys that were taken in a savepoint.
struct Taken {
    /// The savepoint.
    within: pg_sys::SubTransactionId,
    /// The subtransaction that had queued their event.
    armed: pg_sys::SubTransactionId,
    sources: Vec<(i32, Keys)>,
}

/// The transaction itself, as Postgres numbers subtransactions.
const TOP: pg_sys::SubTransactionId = 1;

thread_local! {
    static PENDING: RefCell<Pending> = const {
        RefCell::new(Pending {
            armed: None,
            sources: Vec::new(),
            taken: Vec::new(),
            captured: Vec::new(),
            captured_at: None,
        })
    };
}

pub(super) fn note_integer(source: i32, key: i64) -> bool {
    note(
        source,
        || Keys::Integers(Vec::new()),
        |keys| {
            if let Keys::Integers(keys) = keys
                && keys.last() != Some(&key)
            {
                keys.push(key);
            }
        },
    )
}

pub(super) fn note_texts(source: i32, key: Vec<String>) -> bool {
    note(
        source,
        || Keys::Texts(Vec::new()),
        |keys| {
            if let Keys::Texts(keys) = keys
                && keys.last() != Some(&key)
            {
                keys.push(key);
            }
        },
    )
}

/// Adds to a source's keys; true when a deferred event must be queued for them.
fn note(source: i32, empty: impl FnOnce() -> Keys, add: impl FnOnce(&mut Keys)) -> bool {
    if !gucs::capture() {
        return false;
    }
    PENDING.with_borrow_mut(|pending| {
        let known = pending.sources.iter().position(|(s, _)| *s == source);
        let at = known.unwrap_or_else(|| {
            pending.sources.push((source, empty()));
            pending.sources.len() - 1
        });
        add(&mut pending.sources[at].1);
        let first = pending.armed.is_none();
        if first {
            // SAFETY: a WHEN clause is evaluated inside a transaction.
            pending.armed = Some(unsafe { pg_sys::GetCurrentSubTransactionId() });
        }
        first
    })
}

/// Takes all keys. What is noted from here on queues an event of its own.
pub(super) fn take() -> Vec<(i32, Keys)> {
    PENDING.with_borrow_mut(|pending| {
        let sources = mem::take(&mut pending.sources);
        // SAFETY: a trigger runs inside a transaction.
        let within = unsafe { pg_sys::GetCurrentSubTransactionId() };
        if let Some(armed) = pending.armed.take()
            && within != TOP
        {
            pending.taken.push(Taken { within, armed, sources: sources.clone() });
        }
        sources
    })
}

/// Keeps keys that have just been captured, for a second look at the commit.
pub(super) fn keep(sources: Vec<(i32, Keys)>) {
    PENDING.with_borrow_mut(|pending| {
        pending.captured_at = pending.captured.is_empty().then(command);
        for (source, keys) in sources {
            match pending.captured.iter_mut().find(|(s, _)| *s == source) {
                Some((_, known)) => known.append(keys),
                None => pending.captured.push((source, keys)),
            }
        }
    });
}

/// Takes the keys that were captured before the transaction's last change; none when nothing was
/// changed since.
pub(super) fn take_early() -> Vec<(i32, Keys)> {
    PENDING.with_borrow_mut(|pending| {
        if pending.captured.is_empty() || pending.captured_at == Some(command()) {
            return Vec::new();
        }
        mem::take(&mut pending.captured)
    })
}

/// The number of the next command. Only commands that change something count.
fn command() -> pg_sys::CommandId {
    // SAFETY: called inside a transaction, outside parallel mode; makes our own writes count as done.
    unsafe {
        pg_sys::CommandCounterIncrement();
        pg_sys::GetCurrentCommandId(false)
    }
}

impl Pending {
    /// A savepoint was released: what it held is its parent's.
    fn released(&mut self, ending: pg_sys::SubTransactionId, parent: pg_sys::SubTransactionId) {
        let hand_over = |id: &mut pg_sys::SubTransactionId| {
            if *id == ending {
                *id = parent;
            }
        };
        self.armed.as_mut().map(hand_over);
        for taken in &mut self.taken {
            hand_over(&mut taken.within);
            hand_over(&mut taken.armed);
        }
        if parent == TOP {
            // Nothing rolls back to here any more.
            self.taken.clear();
        }
    }

    /// A savepoint was rolled back.
    fn undone(&mut self, ending: pg_sys::SubTransactionId) {
        if self.armed == Some(ending) {
            // The queued event is gone, and so is every change since: all came after it.
            self.armed = None;
            self.sources.clear();
        }
        while let Some(taken) = self.taken.pop_if(|taken| taken.within == ending) {
            // An event that was queued before fires again.
            if taken.armed != ending {
                self.armed = Some(taken.armed);
                self.sources.extend(taken.sources);
            }
        }
    }
}

pub(super) fn register() {
    // SAFETY: called once per backend from _PG_init; the callbacks live as long as the library.
    unsafe {
        pg_sys::RegisterXactCallback(Some(at_transaction), std::ptr::null_mut());
        pg_sys::RegisterSubXactCallback(Some(at_subtransaction), std::ptr::null_mut());
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn at_transaction(event: pg_sys::XactEvent::Type, _arg: *mut c_void) {
    use pg_sys::XactEvent::{
        XACT_EVENT_ABORT, XACT_EVENT_COMMIT, XACT_EVENT_PRE_COMMIT, XACT_EVENT_PRE_PREPARE,
        XACT_EVENT_PREPARE,
    };
    match event {
        XACT_EVENT_PRE_COMMIT => {
            drain::look_again();
            bell::ring();
        }
        XACT_EVENT_PRE_PREPARE => drain::look_again(),
        XACT_EVENT_COMMIT | XACT_EVENT_ABORT | XACT_EVENT_PREPARE => {
            bell::reset();
            PENDING.with_borrow_mut(|pending| *pending = Pending::default());
        }
        _ => {}
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn at_subtransaction(
    event: pg_sys::SubXactEvent::Type,
    ending: pg_sys::SubTransactionId,
    parent: pg_sys::SubTransactionId,
    _arg: *mut c_void,
) {
    use pg_sys::SubXactEvent::{SUBXACT_EVENT_ABORT_SUB, SUBXACT_EVENT_COMMIT_SUB};
    PENDING.with_borrow_mut(|pending| match event {
        SUBXACT_EVENT_COMMIT_SUB => pending.released(ending, parent),
        SUBXACT_EVENT_ABORT_SUB => pending.undone(ending),
        _ => {}
    });
}
