//! The program `capi` as a child process.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::process::Child;

use crate::database::Database;
use crate::patience::eventually;
use crate::platform::{TOKEN, endpoints};
use crate::shop::CREDENTIAL;

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running `capi run`. Dropping it kills it.
pub struct Sidecar {
    child: Child,
    log: PathBuf,
}

impl Sidecar {
    /// Starts one on this database, as the role `capi`, with the platform's token.
    pub fn start(database: &Database) -> Self {
        Self::start_with(database, &[])
    }

    /// Starts one with further variables, which win.
    pub fn start_with(database: &Database, variables: &[(&str, &str)]) -> Self {
        Self::start_at(database.cluster().folder(), &database.url("capi"), variables)
    }

    /// Starts one that connects to this address and logs into this folder.
    pub fn start_at(folder: &Path, url: &str, variables: &[(&str, &str)]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let log = folder.join(format!("sidecar-{number}.log"));
        let file = File::create(&log).expect("a log file");
        let mut command = Command::new(program());
        command
            .env_clear()
            .env("CAPI_DATABASE_URL", url)
            .env("CAPI_LOG", "debug")
            .env("CAPI_LEASE", "15")
            .env("CAPI_REQUEST_TIMEOUT", "2")
            .env(CREDENTIAL, TOKEN)
            .envs(declared(variables))
            .envs(variables.iter().copied())
            .arg("run")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file);
        let child = tokio::process::Command::from(command).kill_on_drop(true).spawn();
        Self { child: child.expect("the sidecar starts"), log }
    }

    /// Ends it as `kill -9` does.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("killed");
    }

    /// Sends SIGTERM and waits for the end.
    pub async fn terminate(mut self) -> ExitStatus {
        self.signal("TERM");
        self.ended().await
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().expect("still running").to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.expect("the program kill").success());
    }

    /// Waits until it ends by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("still running\n{}", self.log())).expect("a status")
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        read(&self.log)
    }

    /// Where it logs.
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// Waits until its log holds this text.
    pub async fn until_logged(&self, text: &str) {
        eventually(&format!("log says {text:?}"), 20, async || {
            let log = self.log();
            if log.contains(text) { Ok(()) } else { Err(log) }
        })
        .await;
    }
}

/// What the configuration must say of these variables: which of them are credentials, and that they may
/// go to the stand-ins of this process.
fn declared(variables: &[(&str, &str)]) -> [(&'static str, String); 2] {
    let own = |name: &&str| !name.starts_with("CAPI_") && !name.starts_with("PG");
    let names = variables.iter().map(|(name, _)| *name).filter(own);
    let names: Vec<_> = names.chain([CREDENTIAL]).collect();
    [("CAPI_CREDENTIALS", names.join(",")), ("CAPI_ENDPOINTS", endpoints())]
}

/// Runs a subcommand to its end, with these variables and those that declare their credentials.
pub async fn capi(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program());
    command.env_clear().envs(declared(variables)).envs(variables.iter().copied());
    command.args(arguments).stdin(Stdio::null());
    let output = tokio::process::Command::from(command).kill_on_drop(true).output();
    let ended = tokio::time::timeout(PATIENCE, output).await;
    ended.unwrap_or_else(|_| panic!("capi {arguments:?} does not end")).expect("capi runs")
}

fn read(file: &Path) -> String {
    String::from_utf8_lossy(&fs::read(file).expect("a log")).into_owned()
}

/// `CAPI_BIN`, or the program built beside the tests.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| match std::env::var_os("CAPI_BIN") {
        Some(path) => path.into(),
        None => build(),
    })
}

/// Cargo builds no program of another package for a test, so this asks it to.
fn build() -> PathBuf {
    let tests = std::env::current_exe().expect("the path of the tests");
    let profile = tests.parent().and_then(Path::parent).expect("target/<profile>/deps");
    let target = profile.parent().expect("target");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "--package", "capi-sidecar", "--bin", "capi", "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    if profile.ends_with("release") {
        command.arg("--release");
    }
    let status = command.status().expect("cargo runs");
    assert!(status.success(), "the sidecar does not build; set CAPI_BIN to a built one");
    profile.join("capi")
}
