//! `capi-standin`: runs the stand-in for the platforms until a signal.

use std::io::Write as _;

use anyhow::Context as _;
use capi_standin::{StandinOptions, serve};
use clap::Parser;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// A local stand-in for the ad platforms, for tests and demonstrations: it checks what they check,
/// answers as they answer, and tells afterwards what arrived.
#[derive(Debug, Parser)]
#[command(name = "capi-standin", version)]
struct Cli {
    #[command(flatten)]
    options: StandinOptions,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Cli { mut options } = Cli::parse();
    if let Some(name) = &options.token_env {
        options.token = Some(credential("--token-env", name)?);
    }
    for (platform, name) in &options.credential_env {
        options.credentials.insert(*platform, credential("--credential-env", name)?);
    }
    let listener = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("listen on {}", options.listen))?;
    writeln!(std::io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        served = serve(&options, listener) => served.context("serve")?,
        _ = terminated.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(())
}

/// A credential that an option names the environment variable of.
fn credential(option: &str, name: &str) -> anyhow::Result<SecretString> {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => Ok(value.into()),
        _ => anyhow::bail!("environment variable {name} of {option} is not set"),
    }
}
