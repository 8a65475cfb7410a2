//! The command line: one file per subcommand. Data goes to standard output, the rest to standard
//! error.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, ConfigError, Database, Log, SETTINGS, variable_of};
use crate::handshake::Misfit;
use crate::queue::QueueError;
use crate::telemetry;
use crate::worker::{ToolsError, chain};

mod adopt;
mod audience;
mod check;
mod fake;
mod replay;
mod run;
mod send_test;
mod status;
mod switch;

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
    /// Runs a stand-in for the platforms, for tests and demonstrations.
    Fake(Box<crate::fake::FakeOptions>),
}

fn after_help() -> String {
    let settings =
        SETTINGS.iter().map(|(key, meaning)| format!("  {:<27} {meaning}\n", variable_of(key)));
    format!(
        "Settings, as variables or, in lower case without CAPI_, in the file:\n{}\nCredentials \
         are found by the name that the destination gives them: in the environment, in the \
         table [credentials] of the file, or as a file in CAPI_CREDENTIALS_DIR.\n\nExit codes:\n  \
         0  done, or stopped by a signal\n  1  a check failed, or the platform did not take a test or an audience\n  2  usage or configuration \
         error\n  3  database unreachable, or not fitting this program\n  4  anything else",
        settings.collect::<String>()
    )
}

/// Runs the subcommand.
pub async fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let file = cli.config.as_deref();
    match cli.command {
        Command::Fake(options) => {
            telemetry::start(&Log::load()?);
            fake::fake(*options).await?;
        }
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
        Command::Replay(options) => replay::replay(&started(file)?, options).await?,
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

/// Prints an error with its causes once and chooses the exit code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    use std::io::Write as _;
    // Nobody is left to hear that standard error is closed.
    let _ = writeln!(std::io::stderr(), "capi: {error:#}");
    let of_database = error.is::<QueueError>() || error.is::<Explained>() || error.is::<Misfit>();
    ExitCode::from(match () {
        () if error.is::<ConfigError>() || error.is::<ToolsError>() => 2,
        () if error.is::<send_test::Unusable>() => 2,
        () if of_database => 3,
        () => 4,
    })
}

/// Calls that the sidecar's own role may not make.
const FOR_ADMINS: [&str; 6] =
    ["capi.adopt", "capi.pause", "capi.resume", "capi.replay", "capi.test_open", "capi.test_close"];

/// What to do about a call that the database refused, where that is known.
fn way_out(error: &QueueError, database: &Database) -> Option<String> {
    let (role, name, place) = (database.role(), database.name(), database.place());
    Some(match (error, error.code()) {
        (QueueError::Unreachable(_), _) => format!(
            "start Postgres, correct `database_url`, or open the way to {place}; for a private \
             certificate authority set `database_root_cert`"
        ),
        (_, Some("28P01")) => format!("correct the password of {role} in `database_url`"),
        (_, Some("28000")) => format!(
            "create the role ({role}) with LOGIN, and allow it in pg_hba.conf for this host"
        ),
        (_, Some("3D000")) => format!("create database {name}, or correct `database_url`"),
        (_, Some("53300")) => "raise max_connections or lower `database_connections`".to_owned(),
        (_, Some("57P03")) => "wait until the server has started".to_owned(),
        (QueueError::Call { call, .. }, Some("42501")) if FOR_ADMINS.contains(call) => {
            "connect as a member of capi_admin".to_owned()
        }
        (QueueError::Call { call: "capi.replay", .. }, Some("22007" | "22008")) => {
            "write times as 2026-01-31 or '2026-01-31 18:00+01'".to_owned()
        }
        (QueueError::Call { call: "capi.replay", .. }, Some("22023")) => {
            "--status takes delivered, refused, expired, suppressed, unrouted or undecided".to_owned()
        }
        (QueueError::Call { call: "capi.audience_open", .. }, Some("55006")) => {
            "another sync of this audience is under way: wait for its end".to_owned()
        }
        (QueueError::Call { call: "capi.audience_open", .. }, Some("55000")) => {
            "the destination is paused or blocked (`capi resume`), or this database is a copy (`capi \
             adopt`)"
                .to_owned()
        }
        (
            QueueError::Call { call: "capi.audience_batch" | "capi.audience_record", .. },
            Some("55000"),
        ) => {
            "the destination was paused, the audience dropped, or another sync has begun: sync again"
                .to_owned()
        }
        (QueueError::Call { call: "capi.test_open", .. }, Some("55000")) => {
            "the event is too old, withdrawn or refused by the customer, or this database is a copy: \
             choose another event"
                .to_owned()
        }
        (_, Some("42501")) => format!("run `grant capi_sidecar to {role};`"),
        (_, Some("3F000" | "42883")) => {
            format!("in database {name} run `create extension pg_capi; select capi.setup();`")
        }
        (_, Some("42P01")) => format!("in database {name} run `select capi.setup();`"),
        _ => return None,
    })
}

/// An error together with the way out.
#[derive(Debug, thiserror::Error)]
#[error("{}; {way_out}", chain(error))]
struct Explained {
    error: QueueError,
    way_out: String,
}

fn explained(error: QueueError, database: &Database) -> anyhow::Error {
    match way_out(&error, database) {
        Some(way_out) => Explained { error, way_out }.into(),
        None => error.into(),
    }
}
