//! The command line: one file per subcommand. Data goes to standard output, the rest to standard
//! error.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::Runtime;

use crate::config::{Config, ConfigError, Log, SETTINGS, variable_of};
use crate::handshake::Misfit;
use crate::queue::QueueError;
use crate::telemetry;
use crate::worker::ContextError;

mod adopt;
mod audience;
mod check;
mod replay;
mod run;
mod send_test;
mod status;
mod switch;
mod way_out;

/// Delivers the conversion events of pg_capi to ad platforms.
#[derive(Debug, Parser)]
#[command(
    name = "capi",
    version,
    after_help = after_help()
)]
pub struct Cli {
    /// Configuration file (TOML); default: the one that CAPI_CONFIG names, or none.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Claims, sends and records until SIGTERM. SIGHUP reads the configuration again.
    Run,
    /// Says for each precondition whether it is met, and the way out if not.
    Check {
        /// One JSON array instead of lines.
        #[arg(long)]
        json: bool,
    },
    /// Shows state and counts of each destination.
    Status {
        /// One JSON array instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Allows this database to send, after a restore or clone. Needs the role capi_admin.
    Adopt,
    /// Stops sending to a destination; capture goes on. Needs the role capi_admin.
    Pause {
        /// Name of the destination.
        destination: String,
        /// Why, for those who read the status.
        #[arg(long, default_value = "paused by hand")]
        reason: String,
    },
    /// Sends to a destination from now on, the backlog first. Needs the role capi_admin.
    Resume {
        /// Name of the destination.
        destination: String,
    },
    /// Sends settled events again, by number or by what became of them. Needs the role capi_admin.
    Replay(replay::ReplayOptions),
    /// Keeps a list of people at a platform (custom audience) as its view says.
    Audience(audience::AudienceOptions),
    /// Sends one event to a destination and shows what the platform says.
    SendTest(send_test::TestOptions),
}

fn after_help() -> String {
    let settings =
        SETTINGS.iter().map(|(key, meaning)| format!("  {:<27} {meaning}\n", variable_of(key)));
    format!(
        "Settings, as variables or, in lower case without CAPI_, in the file:\n{}\nA destination \
         names its credential, which must be declared: in CAPI_CREDENTIALS, in the table \
         [credentials] of the file, or by its file in CAPI_CREDENTIALS_DIR. Unless that says \
         otherwise it is the variable of its name. It goes to the hosts of the destination's vendor \
         and to CAPI_ENDPOINTS, or to its own hosts.\n\nExit codes:\n  \
         0  done, or stopped by a signal\n  1  a check failed, or the platform did not take a test or an audience\n  2  usage or configuration \
         error\n  3  database unreachable, or not fitting this program\n  4  anything else",
        settings.collect::<String>()
    )
}

/// Runs the subcommand.
pub async fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let file = cli.config.as_deref();
    match cli.command {
        Command::Check { json } => {
            telemetry::start(&Log::load()?);
            return check::check(Config::load(file), json).await;
        }
        Command::Run => run::run(started(file)?, cli.config.clone()).await?,
        Command::Status { json } => status::status(&started(file)?, json).await?,
        Command::Adopt => adopt::adopt(&started(file)?).await?,
        Command::Pause { destination, reason } => {
            switch::pause(&started(file)?, &destination, &reason).await?;
        }
        Command::Resume { destination } => switch::resume(&started(file)?, &destination).await?,
        Command::Replay(options) => return replay::replay(&started(file)?, options).await,
        Command::Audience(options) => {
            return audience::audience(&started(file)?, options).await;
        }
        Command::SendTest(options) => {
            return send_test::send_test(&started(file)?, &options).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn started(file: Option<&std::path::Path>) -> Result<Config, ConfigError> {
    let config = Config::load(file)?;
    telemetry::start(&config.log);
    Ok(config)
}

/// Ends the process's runtime without waiting for what cannot be stopped: the lookup of a host name runs
/// in a thread of the system's library, which gives up when it likes.
pub fn end(runtime: Runtime) {
    runtime.shutdown_background();
}

/// Prints an error with its causes once and chooses the exit code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    use std::io::Write as _;
    // Nobody is left to hear that standard error is closed.
    let _ = writeln!(std::io::stderr(), "capi: {error:#}");
    let of_database =
        error.is::<QueueError>() || error.is::<way_out::Explained>() || error.is::<Misfit>();
    ExitCode::from(match () {
        () if error.is::<ConfigError>() || error.is::<ContextError>() => 2,
        () if error.is::<send_test::Unusable>() => 2,
        () if of_database => 3,
        () => 4,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_lookup_that_hangs_does_not_hold_the_process() {
        let runtime = Runtime::new().expect("a runtime");
        let (release, hangs) = mpsc::channel::<()>();
        runtime.spawn_blocking(move || hangs.recv_timeout(Duration::from_secs(60)));
        let began = Instant::now();
        end(runtime);
        assert!(began.elapsed() < Duration::from_secs(30), "it waited");
        drop(release);
    }
}
