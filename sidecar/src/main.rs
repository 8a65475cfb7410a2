//! `capi`: parses the command line, dispatches, and turns errors into exit codes.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | done, or stopped by SIGTERM or SIGINT |
//! | 1 | `capi check` found something that must be mended, or a `capi send-test` or `capi audience sync` was not taken |
//! | 2 | usage or configuration error |
//! | 3 | database unreachable, or it and this program do not fit together |
//! | 4 | anything else |

#![forbid(unsafe_code)]

use std::process::ExitCode;

use capi_sidecar::cli::{self, Cli};
use clap::Parser as _;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return cli::report(&error.into()),
    };
    let result = runtime.block_on(cli::dispatch(cli));
    cli::end(runtime);
    match result {
        Ok(code) => code,
        Err(error) => cli::report(&error),
    }
}
