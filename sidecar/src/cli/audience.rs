//! `capi audience sync`: tells a platform who has joined a list of people and who has left it.
//!
//! The database reads the view, hashes, and finds the changes; here they are sent in batches and
//! what is acknowledged is written down batch by batch. A sync that ends early is taken up by the
//! next one: who may have been sent goes again, which changes nothing at the platform.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use capi_core::destination::CredentialSlot;
use capi_core::platform;
use capi_core::platform::audience::{
    Audience, BATCH_LIMIT, Change, Decision, Member, SESSION_LIMIT, Session as Upload,
};
use clap::{Args, Subcommand};
use tokio::time::Instant;
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::send_test::Unusable;
use super::way_out::explained;
use crate::config::{Config, Credential};
use crate::http::{self, Http, SendError};
use crate::queue::audience::{Answered, Opened};
use crate::queue::{QueueError, Session};
use crate::{retry, tls};

/// How long an answer to ten thousand rows may take, whatever the setting for events.
const ANSWER: Duration = Duration::from_secs(60);

/// What to do with an audience.
#[derive(Debug, Args)]
pub(super) struct AudienceOptions {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Reads the audience's view and sends what has changed since the last sync: first who leaves,
    /// then who joins.
    Sync(SyncOptions),
}

/// Which audience, and how patiently.
#[derive(Debug, Args)]
struct SyncOptions {
    /// Name of the audience, see `capi.audience_status`.
    audience: String,
    /// Count, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// How long to wait in all, when the platform throttles or fails, before the rest is left to
    /// the next sync.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    wait: u64,
}

pub(super) async fn audience(
    config: &Config,
    options: AudienceOptions,
) -> anyhow::Result<ExitCode> {
    let Command::Sync(options) = options.command;
    let explain = |error| explained(error, &config.database);
    let session = Session::open(&config.database).await.map_err(explain)?;
    let handshake = session.handshake().await.map_err(explain)?;
    handshake.check_instance(config.instance.as_deref())?;
    let opened = session.audience_open(&options.audience, &config.worker, options.dry_run).await;
    let opened = opened.map_err(explain)?;
    if options.dry_run {
        let text = plan(&options.audience, &opened);
        std::io::stdout().write_all(text.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut sync = match Sync::ready(config, &options, &session, &opened) {
        Ok(sync) => sync,
        Err((reason, unusable)) => {
            let nothing = Answered::default();
            session.audience_close(opened.sync, Some(reason), &nothing).await.map_err(explain)?;
            return Err(unusable.into());
        }
    };
    let stopped = sync.run().await.map_err(explain)?;
    let text = outcome(&options.audience, &opened, &sync);
    std::io::stdout().write_all(text.as_bytes())?;
    let Some(reason) = stopped else { return Ok(ExitCode::SUCCESS) };
    let meaning = Audience::explain(&reason).map(|m| format!(" ({m})")).unwrap_or_default();
    let left = format!(
        "capi: {}: stopped: {reason}{meaning}; what was not acknowledged goes with the next sync\n",
        options.audience
    );
    // Nobody is left to hear that standard error is closed.
    let _ = std::io::stderr().write_all(left.as_bytes());
    Ok(ExitCode::from(1))
}

/// A sync under way.
struct Sync<'a> {
    name: &'a str,
    session: &'a Session,
    opened: &'a Opened,
    audience: Audience,
    http: Http,
    slot: CredentialSlot,
    credential: Credential,
    /// What is left of the time that may be waited.
    patience: Duration,
    added: i64,
    removed: i64,
    invalid: u64,
    barred: u64,
}

/// Several requests that belong together.
struct Series {
    id: i64,
    sequence: u32,
    began: Instant,
    estimated: u64,
    /// Whether its last request has been said to be that.
    is_over: bool,
}

impl Series {
    fn new(members: i64) -> Self {
        // Numbers below 2^53 survive every reader of JSON.
        let id = i64::try_from(rand::random::<u64>() >> 11).unwrap_or(1).max(1);
        let estimated = u64::try_from(members).unwrap_or(0);
        Self { id, sequence: 0, began: Instant::now(), estimated, is_over: false }
    }

    fn next(&mut self, nothing_follows: bool) -> Upload {
        self.sequence += 1;
        self.is_over = nothing_follows || self.began.elapsed() >= SESSION_LIMIT;
        let Self { id, sequence, is_over: is_last, estimated, .. } = *self;
        Upload { id, sequence, is_last, estimated }
    }
}

/// How one request ended.
enum Ended {
    /// All of it is with the platform.
    Taken(u64),
    /// It goes again after this long.
    Again(String, Duration),
    /// Nothing more is sent.
    Stop(String),
}

impl<'a> Sync<'a> {
    fn ready(
        config: &Config,
        options: &'a SyncOptions,
        session: &'a Session,
        opened: &'a Opened,
    ) -> Result<Self, (&'static str, Unusable)> {
        let Opened { platform, destination_settings, settings, credential, .. } = opened;
        let wrong =
            |reason, why: String| (reason, Unusable::new(format!("{}: {why}", options.audience)));
        let audience = Audience::build(platform, destination_settings, settings)
            .map_err(|error| wrong("settings", error.to_string()))?;
        let slot = platform::build(platform, destination_settings)
            .map_err(|error| wrong("settings", error.to_string()))?
            .spec()
            .credential;
        let name = credential;
        let credential = config
            .credentials
            .resolve(name, platform)
            .map_err(|error| wrong("no_credential", error.about(name)))?;
        if let Some(endpoint) = platform::endpoint_of(platform, destination_settings) {
            let checked = config.credentials.check_endpoint(name, &credential, endpoint);
            checked.map_err(|error| wrong("endpoint_not_allowed", error))?;
        }
        http::check(slot, &credential)
            .map_err(|error| wrong("credential_malformed", format!("{error}: {name}")))?;
        let timeout = config.delivery.request_timeout.max(ANSWER);
        let http =
            tls::client(None).map_err(|error| wrong("tls", error.to_string())).and_then(|tls| {
                Http::new(tls, config.delivery.connect_timeout, timeout)
                    .map_err(|error| wrong("http", error.to_string()))
            })?;
        Ok(Self {
            name: &options.audience,
            session,
            opened,
            audience,
            http,
            slot,
            credential,
            patience: Duration::from_secs(options.wait),
            added: 0,
            removed: 0,
            invalid: 0,
            barred: 0,
        })
    }

    /// Sends everything; why it stopped before the end, if so. The sync is closed either way.
    async fn run(&mut self) -> Result<Option<String>, QueueError> {
        let mut stopped = None;
        let mut last = Answered::default();
        for (change, members) in
            [(Change::Remove, self.opened.to_remove), (Change::Add, self.opened.to_add)]
        {
            if let Some((reason, answered)) = self.change(change, members).await? {
                (stopped, last) = (Some(reason), answered);
                break;
            }
        }
        self.session.audience_close(self.opened.sync, stopped.as_deref(), &last).await?;
        Ok(stopped)
    }

    /// Sends all of one change, page by page.
    async fn change(
        &mut self,
        change: Change,
        members: i64,
    ) -> Result<Option<(String, Answered)>, QueueError> {
        let (mut after, mut seen) = (None, 0);
        let mut series = Series::new(members);
        while seen < members {
            let sync = self.opened.sync;
            let page = self.session.audience_batch(sync, change, after, BATCH_LIMIT).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.person);
            seen += i64::try_from(page.len()).unwrap_or(i64::MAX);
            let (barred, free): (Vec<_>, Vec<_>) = page.into_iter().partition(|l| l.barred);
            self.barred += barred.len() as u64;
            if free.is_empty() {
                continue;
            }
            let (people, members_of): (Vec<Uuid>, Vec<Member>) =
                free.into_iter().map(|listed| (listed.person, listed.member)).unzip();
            let stopped =
                self.batch(change, &people, &members_of, &mut series, seen >= members).await?;
            if stopped.is_some() {
                return Ok(stopped);
            }
            if series.is_over {
                series = Series::new(members - seen);
            }
        }
        Ok(None)
    }

    /// Sends one batch until it is taken, given up or out of patience.
    async fn batch(
        &mut self,
        change: Change,
        people: &[Uuid],
        members: &[Member],
        series: &mut Series,
        nothing_follows: bool,
    ) -> Result<Option<(String, Answered)>, QueueError> {
        let mut tries = 0;
        loop {
            let upload = series.next(nothing_follows);
            let (ended, answered) = self.send(change, members, upload, tries).await;
            match ended {
                Ended::Taken(invalid) => {
                    let sync = self.opened.sync;
                    let done = self
                        .session
                        .audience_record(sync, change, people, invalid, &answered)
                        .await?;
                    match change {
                        Change::Add => self.added += done,
                        Change::Remove => self.removed += done,
                    }
                    self.invalid = self.invalid.max(invalid);
                    info!(
                        audience = self.name,
                        change = change.as_str(),
                        members = members.len(),
                        invalid,
                        "batch taken"
                    );
                    return Ok(None);
                }
                Ended::Again(reason, pause) if pause <= self.patience => {
                    warn!(audience = self.name, change = change.as_str(), %reason,
                        seconds = pause.as_secs(), "batch goes again");
                    self.patience -= pause;
                    tokio::time::sleep(pause).await;
                    tries += 1;
                    // Nobody says what a platform makes of a place in a session that comes twice.
                    *series = Series::new(i64::try_from(series.estimated).unwrap_or(0));
                }
                Ended::Again(reason, _) | Ended::Stop(reason) => {
                    return Ok(Some((reason, answered)));
                }
            }
        }
    }

    async fn send(
        &self,
        change: Change,
        members: &[Member],
        upload: Upload,
        tries: u32,
    ) -> (Ended, Answered) {
        let request = self.audience.request(change, members, upload);
        let again = |reason: String, after: Option<Duration>| {
            Ended::Again(reason, retry::backoff(tries, after, rand::random()))
        };
        match self.http.send(request, self.slot, &self.credential).await {
            Ok(answer) => {
                let verdict = Audience::verdict(members.len(), &answer);
                debug!(audience = self.name, status = answer.status, "answer");
                let ended = match verdict.decision {
                    Decision::Taken { invalid } => Ended::Taken(invalid),
                    Decision::Retry { reason, after } => again(reason.0, after),
                    Decision::Wait { reason, after } => {
                        Ended::Again(reason.0, retry::wait(after, rand::random()))
                    }
                    Decision::Refused { reason } | Decision::Blocked { reason } => {
                        Ended::Stop(reason.0)
                    }
                };
                let http_status = Some(answer.status.into());
                (ended, Answered { http_status, request_id: verdict.request_id })
            }
            Err(error) => {
                let reason = error.reason().to_owned();
                let ended = match error {
                    SendError::Build
                    | SendError::InClear
                    | SendError::NotAllowed
                    | SendError::Credential
                    | SendError::TokenRefused => Ended::Stop(reason),
                    SendError::TokenUnavailable
                    | SendError::Connect
                    | SendError::Timeout
                    | SendError::Broken
                    | SendError::Repeated => again(reason, None),
                };
                (ended, Answered::default())
            }
        }
    }
}

/// What a sync found in the view.
fn found(name: &str, opened: &Opened) -> String {
    let mut text = format!("{name} -> {}\n", opened.destination);
    line(&mut text, opened.rows, "rows");
    line(&mut text, opened.people, "people");
    for (reason, number) in opened.withheld.as_object().into_iter().flatten() {
        line(&mut text, number.as_i64().unwrap_or(0), &format!("withheld: {reason}"));
    }
    text
}

fn plan(name: &str, opened: &Opened) -> String {
    let mut text = found(name, opened);
    line(&mut text, opened.to_remove, "would be removed");
    line(&mut text, opened.to_add, "would be added");
    text
}

fn outcome(name: &str, opened: &Opened, sync: &Sync<'_>) -> String {
    let mut text = found(name, opened);
    let of = |done: i64, all: i64, what: &str| match done < all {
        true => format!("{what}, of {all}"),
        false => what.to_owned(),
    };
    line(&mut text, sync.removed, &of(sync.removed, opened.to_remove, "removed"));
    line(&mut text, sync.added, &of(sync.added, opened.to_add, "added"));
    if sync.barred > 0 {
        let barred = i64::try_from(sync.barred).unwrap_or(i64::MAX);
        line(&mut text, barred, "withdrawn or forgotten meanwhile, not sent");
    }
    if sync.invalid > 0 {
        let invalid = i64::try_from(sync.invalid).unwrap_or(i64::MAX);
        line(&mut text, invalid, "entries or more were invalid in the platform's eyes");
    }
    text
}

fn line(text: &mut String, number: i64, what: &str) {
    // Writing to a text cannot fail.
    let _ = writeln!(text, "{number:>10}  {what}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn opened(withheld: Value) -> Opened {
        Opened {
            sync: 1,
            destination: "meta-eu".into(),
            platform: "meta".into(),
            destination_settings: json!({"pixel_id": "1"}),
            credential: "META_TOKEN".into(),
            settings: json!({"audience_id": "6001"}),
            rows: 12,
            people: 9,
            withheld,
            to_add: 4,
            to_remove: 2,
        }
    }

    #[test]
    fn a_dry_run_says_counts_and_nothing_else() {
        let text = plan("newsletter", &opened(json!({"consent_refused": 2, "repeated": 1})));
        assert_eq!(
            text,
            "newsletter -> meta-eu\n        12  rows\n         9  people\n         \
             2  withheld: consent_refused\n         1  withheld: repeated\n         \
             2  would be removed\n         4  would be added\n"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_counts_from_one_and_ends_in_time() {
        let mut series = Series::new(30_000);
        assert!((1..1 << 53).contains(&series.id));
        let first = series.next(false);
        assert_eq!((first.sequence, first.is_last, first.estimated), (1, false, 30_000));
        assert!(series.next(true).is_last, "nothing follows");
        tokio::time::advance(SESSION_LIMIT).await;
        let late = series.next(false);
        assert_eq!((late.id, late.sequence, late.is_last), (series.id, 3, true));
        assert_ne!(Series::new(1).id, Series::new(1).id);
    }
}
