//! End-to-end tests: real Postgres, real sidecar, fake platform. One module per subject.

mod capture;
mod catalog;
mod crash;
mod delivery;
mod exactly_once;
mod roles;
mod vectors_sql;
