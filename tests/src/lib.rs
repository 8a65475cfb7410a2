//! What the end-to-end tests stand on: a private Postgres cluster, databases with the example
//! shop, the stand-in, and the sidecar as a child process.
//!
//! The extension must be installed for the server that `pg_config` (or `PG_CONFIG`) belongs to:
//! `cargo pgrx install --release -p pg_capi`.

pub mod chance;
pub mod cluster;
pub mod database;
pub mod everywhere;
pub mod hostile_arguments;
pub mod leaks;
pub mod matrix;
pub mod pages;
pub mod patience;
pub mod platform;
pub mod pooler;
pub mod proxy;
pub mod receiver;
pub mod schema_changes;
pub mod shop;
pub mod sidecar;
pub mod tap;
pub mod torture;
pub mod unharmed;
