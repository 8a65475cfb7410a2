//! Owns the time that a request is judged at.

pub(super) const DAY: i64 = 86_400;

/// The moment of receipt and what is tolerated around it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    pub(crate) now: i64,
    pub(crate) max_future: i64,
}
