//! The extension `pg_capi`: thin wrappers over `capi-core`, and the capture of conversions in the
//! order's own transaction.
//!
//! The extension script holds functions only. Tables, views and the functions that touch them are
//! ordinary objects made by `capi.setup()` (`layout.rs`), so that `pg_dump` carries them with
//! their owner.

// A panic is an error that names no field and no rule. What a user can bring about raises one that
// does (`error.rs`), and what nobody can is an error all the same, so that an order's capture that
// fails is on record.
#![cfg_attr(
    not(any(test, feature = "pg_test")),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::string_slice
    )
)]

use pgrx::prelude::*;

mod batch;
mod bell;
mod capture;
mod destination;
mod era;
mod error;
mod explain;
mod field;
mod gucs;
mod identity;
mod layout;
mod lock;
// The program that runs the tests has none of the server's functions.
#[cfg(not(test))]
mod memory;
mod pack;
mod pixel;
mod receipts;
mod relation;
mod rights;
mod sequence;
mod statement;
mod tables;
#[cfg(any(test, feature = "pg_test"))]
mod tests;

::pgrx::pg_module_magic!(name, version);

#[cfg(not(test))]
#[global_allocator]
static ALLOCATOR: memory::Allocator = memory::Allocator;

extension_sql_file!("../../sql/extension/_with_roles.sql", name = "with_roles");
extension_sql_file!("../../sql/extension/_strangers.sql", name = "strangers");
extension_sql_file!(
    "../../sql/extension/setup.sql",
    name = "setup",
    requires = ["with_roles", "strangers"]
);
extension_sql_file!("../../sql/extension/comments.sql", name = "library_comments", finalize);

/// Registers settings and callbacks, once per backend.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    error::without_backtraces();
    gucs::register();
    capture::register();
}

/// The version of the loaded library.
#[pg_extern(immutable, parallel_safe)]
fn library_version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// The version of the normalisation rules.
#[pg_extern(immutable, parallel_safe)]
fn rules_version() -> i16 {
    capi_core::RULES_VERSION
}

#[cfg(test)]
pub mod pg_test {
    //! Required by `cargo pgrx test` at the crate's root.

    /// Runs once before the tests.
    pub fn setup(_options: Vec<&str>) {}

    /// Settings of the test cluster.
    #[must_use]
    pub fn postgresql_conf_options() -> Vec<&'static str> {
        vec!["max_prepared_transactions = 10"]
    }
}
