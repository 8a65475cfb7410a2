//! What the workers of the torture share.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

/// What every email address in the torture holds and nothing else does.
pub const TRACE: &str = "qxtorture";

/// How often each kind of thing happened.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<Mutex<BTreeMap<String, u64>>>);

impl Tally {
    /// One more.
    pub fn add(&self, kind: &str) {
        *self.0.lock().expect("no panic").entry(kind.to_owned()).or_default() += 1;
    }

    /// How many.
    pub fn of(&self, kind: &str) -> u64 {
        self.0.lock().expect("no panic").get(kind).copied().unwrap_or_default()
    }

    /// All of them, as `kind count`.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().expect("no panic").iter().map(|(k, n)| format!("{k} {n}")).collect()
    }
}

/// State that the workers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) open: AtomicBool,
    /// Numbers that each worker has used for keys.
    pub(super) numbers: Vec<AtomicU64>,
    /// Numbers whose rows were committed last.
    pub(super) recent: Mutex<VecDeque<u64>>,
    pub(super) tally: Tally,
}
