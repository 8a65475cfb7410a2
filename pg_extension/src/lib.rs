//! The extension `pg_capi`: thin wrappers over `capi-core`, and the capture of conversions in the
//! order's own transaction.
//!
//! The extension script holds functions only. Tables, views and the functions that touch them are
//! ordinary objects made by `capi.setup()` (`layout.rs`), so that `pg_dump` carries them with
//! their owner.

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
mod pack;
mod pixel;
mod receipts;
mod statement;
#[cfg(any(test, feature = "pg_test"))]
mod tests;

::pgrx::pg_module_magic!(name, version);

extension_sql_file!("../../sql/functions/_with_roles.sql", name = "with_roles");
extension_sql_file!("../../sql/functions/setup.sql", name = "setup", requires = ["with_roles"]);
extension_sql_file!("../../sql/library_comments.sql", name = "library_comments", finalize);

/// Registers settings and callbacks, once per backend.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
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
