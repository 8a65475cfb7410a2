//! The keys that the running transaction has changed, in backend memory.
//!
//! Each source has a deferred event of its own per transaction, which proves that a trigger of that
//! source has noted something: what was noted without one, by whoever may call the function, is
//! never drained.
//!
//! Keys of a rolled-back savepoint may stay: the view no longer shows their rows. What must be
//! right is when a deferred event is needed: if the savepoint that queued it is rolled back, the
//! next key must queue another one. And if the savepoint in which an event fired early (SET
//! CONSTRAINTS) is rolled back, Postgres fires it again, and its keys must be there again.
//!
//! Keys that were captured stay known until the commit: what changes after an early event (rows that
//! are deleted, tables without a trigger) fires nothing, and the commit must look again (`look.rs`).

use std::cell::RefCell;
use std::ffi::c_void;
use std::mem;

use pgrx::prelude::*;

use crate::{bell, gucs};

/// Longest key that is captured, in bytes: twice as long, as quoting may make it, it still fits into
/// an index, and no key that names a row is as long.
const LONGEST_KEY: usize = 1_000;

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

    /// The keys that fit into an index, and the texts of those that do not; none when all fit.
    pub(super) fn without_long(&self) -> Option<(Self, Vec<String>)> {
        let Self::Texts(keys) = self else { return None };
        let is_long = |key: &Vec<String>| key.iter().map(String::len).sum::<usize>() > LONGEST_KEY;
        if !keys.iter().any(is_long) {
            return None;
        }
        let (long, short): (Vec<_>, Vec<_>) = keys.iter().cloned().partition(is_long);
        Some((Self::Texts(short), Self::Texts(long).texts()))
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
        let (integers, texts): (&[i64], &[Vec<String>]) = match self {
            Self::Integers(keys) => (keys, &[]),
            Self::Texts(keys) => (&[], keys),
        };
        let integers = integers.chunks(size).map(|keys| Self::Integers(keys.to_vec()));
        integers.chain(texts.chunks(size).map(|keys| Self::Texts(keys.to_vec())))
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
    noted: Vec<Noted>,
    /// What was taken inside savepoints that still may be rolled back, oldest first.
    taken: Vec<Taken>,
    /// Keys whose event is gone with its trigger, which this transaction has dropped.
    orphans: Vec<(i32, Keys)>,
    /// What has been captured, and the command counter after that; none when more may have changed.
    captured: Vec<(i32, Keys)>,
    captured_at: Option<pg_sys::CommandId>,
    /// The subtransaction whose end decides over the queued second look; none when none is queued.
    look: Option<pg_sys::SubTransactionId>,
}

/// Keys of a source that wait for its event.
struct Noted {
    source: i32,
    keys: Keys,
    /// The subtransaction whose end decides over the queued event; none when none is queued.
    armed: Option<pg_sys::SubTransactionId>,
}

/// Keys that were taken in a savepoint.
struct Taken {
    /// The savepoint.
    within: pg_sys::SubTransactionId,
    /// The subtransaction that had queued their event.
    armed: pg_sys::SubTransactionId,
    source: i32,
    keys: Keys,
}

/// The transaction itself, as Postgres numbers subtransactions.
const TOP: pg_sys::SubTransactionId = 1;

thread_local! {
    static PENDING: RefCell<Pending> = const {
        RefCell::new(Pending {
            noted: Vec::new(),
            taken: Vec::new(),
            orphans: Vec::new(),
            captured: Vec::new(),
            captured_at: None,
            look: None,
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
        let known = pending.noted.iter().position(|noted| noted.source == source);
        let at = known.unwrap_or_else(|| {
            pending.noted.push(Noted { source, keys: empty(), armed: None });
            pending.noted.len() - 1
        });
        let Some(noted) = pending.noted.get_mut(at) else { return false };
        add(&mut noted.keys);
        let first = noted.armed.is_none();
        if first {
            noted.armed = Some(subtransaction());
        }
        first
    })
}

/// Takes the keys of a source. What is noted from here on queues an event of its own.
pub(super) fn take(source: i32) -> Option<Keys> {
    PENDING.with_borrow_mut(|pending| {
        let at = pending.noted.iter().position(|noted| noted.source == source)?;
        let Noted { keys, armed, .. } = pending.noted.swap_remove(at);
        let within = subtransaction();
        if let Some(armed) = armed
            && within != TOP
        {
            pending.taken.push(Taken { within, armed, source, keys: keys.clone() });
        }
        Some(keys)
    })
}

/// An event that proves nothing has fired, or its keys could not be taken: the next key queues one.
pub(super) fn disarm(source: i32) {
    PENDING.with_borrow_mut(|pending| {
        for noted in pending.noted.iter_mut().filter(|noted| noted.source == source) {
            noted.armed = None;
        }
    });
}

/// Sets the keys of a source aside whose trigger was dropped.
pub(super) fn orphan(source: i32) {
    let Some(keys) = take(source) else { return };
    PENDING.with_borrow_mut(|pending| pending.orphans.push((source, keys)));
}

/// Takes the keys that were set aside.
pub(super) fn take_orphans() -> Vec<(i32, Keys)> {
    PENDING.with_borrow_mut(|pending| mem::take(&mut pending.orphans))
}

/// Whether nothing has changed since what was captured was captured.
pub(super) fn is_fresh() -> bool {
    let now = command();
    PENDING.with_borrow(|pending| pending.captured.is_empty() || pending.captured_at == Some(now))
}

/// Keeps keys that have just been captured, for a second look. `fresh` is what [`is_fresh`] said
/// before.
pub(super) fn keep(sources: Vec<(i32, Keys)>, fresh: bool) {
    let now = command();
    PENDING.with_borrow_mut(|pending| {
        pending.captured_at = fresh.then_some(now);
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
    if is_fresh() {
        return Vec::new();
    }
    PENDING.with_borrow_mut(|pending| mem::take(&mut pending.captured))
}

/// Whether there is something to look at again and nothing queued that does.
pub(super) fn needs_a_look() -> bool {
    PENDING.with_borrow(|pending| {
        pending.look.is_none() && !(pending.captured.is_empty() && pending.orphans.is_empty())
    })
}

/// A second look is queued, by the current subtransaction.
pub(super) fn look_is_queued() {
    let within = subtransaction();
    PENDING.with_borrow_mut(|pending| pending.look = Some(within));
}

/// The second look has fired.
pub(super) fn look_has_fired() {
    PENDING.with_borrow_mut(|pending| pending.look = None);
}

fn subtransaction() -> pg_sys::SubTransactionId {
    // SAFETY: reads the state of the transaction, in which triggers and their conditions run.
    unsafe { pg_sys::GetCurrentSubTransactionId() }
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
        self.noted.iter_mut().filter_map(|noted| noted.armed.as_mut()).for_each(hand_over);
        self.look.as_mut().map(hand_over);
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
        // The queued event is gone, and so is every change since: all came after it.
        self.noted.retain(|noted| noted.armed != Some(ending));
        while let Some(taken) = self.taken.pop_if(|taken| taken.within == ending) {
            // An event that was queued before fires again.
            if taken.armed == ending {
                continue;
            }
            let Taken { armed, source, keys, .. } = taken;
            match self.noted.iter_mut().find(|noted| noted.source == source) {
                Some(noted) => {
                    noted.keys.append(keys);
                    noted.armed = Some(armed);
                }
                None => self.noted.push(Noted { source, keys, armed: Some(armed) }),
            }
        }
        if self.look == Some(ending) {
            self.look = None;
        }
        // What the second look has written may be undone, too.
        self.captured_at = None;
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
        XACT_EVENT_ABORT, XACT_EVENT_COMMIT, XACT_EVENT_PRE_COMMIT, XACT_EVENT_PREPARE,
    };
    // Nothing that reads, writes or runs somebody's code: other extensions have ended their part of
    // the transaction by now, in an order that nobody knows.
    match event {
        XACT_EVENT_PRE_COMMIT => bell::ring(),
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
