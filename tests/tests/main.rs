//! End-to-end tests: real Postgres, real sidecar, fake platform. One module per subject.

mod capture;
mod catalog;
mod checkout;
mod complaints;
mod completeness;
mod consent;
mod contract;
mod cookbook;
mod crash;
mod delivery;
mod dump;
mod exactly_once;
mod explain;
mod faults;
mod platforms;
mod pooler;
mod privacy;
mod roles;
mod torture;
mod vectors_sql;
mod wrong_input;
