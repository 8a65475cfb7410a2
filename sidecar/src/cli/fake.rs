//! `capi fake`: runs the stand-in for the platforms until a signal.

use std::io::Write as _;

use anyhow::Context as _;
use tokio::net::TcpListener;

use super::run::stopped;
use crate::config;
use crate::fake::{self, FakeOptions};

pub(super) async fn fake(mut options: FakeOptions) -> anyhow::Result<()> {
    if let Some(name) = &options.token_env {
        let token = config::variable(name)
            .with_context(|| format!("environment variable {name} of --token-env is not set"))?;
        options.token = Some(token.into());
    }
    for (platform, name) in &options.credential_env {
        let credential = config::variable(name).with_context(|| {
            format!("environment variable {name} of --credential-env is not set")
        })?;
        options.credentials.insert(*platform, credential.into());
    }
    let listener = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("listen on {}", options.listen))?;
    writeln!(std::io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    tokio::select! {
        served = fake::serve(&options, listener) => served.context("serve")?,
        signal = stopped() => signal?,
    }
    Ok(())
}
