//! Where variables come from.

/// Looks a variable up; tests pass their own.
pub(super) type Environment = fn(&str) -> Option<String>;
