//! One rule per identifier (`docs/identifiers.md`), one file per rule.
//!
//! Each identifier is a type that only parsing can build, with a method per form that platforms
//! want. Destinations choose a form; they never trim, lower or hash.
