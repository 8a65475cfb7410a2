//! Taps on the sidecar's two lines, to Postgres and to the platform: each waits for a chosen step and
//! then holds it, cuts the line or spoils what comes back. So a test can kill the sidecar between any
//! two steps without a word of it in the program.

mod http;
mod orders;
mod postgres;

pub use http::HttpTap;
pub use orders::{Then, When};
pub use postgres::PostgresTap;
