//! Which workers there are: one per active destination that can be sent to. And which blocked
//! destinations wait for another credential.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use capi_core::destination;
use capi_core::platform;
use capi_core::time::Timestamp;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::alert::step_to;
use crate::config::{Credential, Credentials, Fingerprint};
use crate::http::{self, SendError};
use crate::metrics::Meter;
use crate::queue::{DestinationRow, Polled};
use crate::retry::{Pace, Rate};
use crate::vitals::DestinationCounts;
use crate::worker::{Activity, Context, Stop, UsedCredential, WorkSignal, Worker, now};

/// How often a destination that cannot be sent to is looked at again: its credential may come as a
/// file.
const SECOND_LOOK: Duration = Duration::from_secs(60);

/// How often the credentials of blocked destinations are looked at.
const CREDENTIAL_LOOK: Duration = Duration::from_secs(5);

/// Longest pause before a worker that came back empty-handed is told of the same work again: somebody
/// else holds what it would claim.
const LONGEST_RETELLING: Duration = Duration::from_secs(1);

/// The workers of this process.
pub struct Workers {
    context: Context,
    /// Turns true when the process is to end: workers hear it from here, whatever else hangs.
    ending: watch::Receiver<bool>,
    running: HashMap<i32, Running>,
    /// Destinations whose block another credential would lift.
    blocked: HashMap<i32, Blocked>,
    /// Destinations that are blocked, whatever for.
    blocked_count: usize,
    /// What outlives the worker of a destination.
    kept: HashMap<i32, Kept>,
    /// The list of destinations is to be read again, whatever the poll shows.
    stale: bool,
    last_credential_look: Instant,
    /// Active destinations that cannot be sent to from here, and the version that says so.
    skipped: HashMap<i32, Skipped>,
    workers: JoinSet<()>,
    last_look: Instant,
}

/// What a destination's next worker learns from the one before.
#[derive(Default)]
struct Kept {
    /// What was last sent with.
    used: UsedCredential,
    /// Whose pace it is; none when it begins anew.
    account: Option<Account>,
    pace: Arc<Mutex<Pace>>,
    /// Held while requests may be in flight.
    seat: Arc<tokio::sync::Mutex<()>>,
}

/// Whom a platform means when it asks for a pause.
#[derive(PartialEq, Eq)]
struct Account {
    platform: String,
    settings: Value,
    credential: Fingerprint,
}

struct Running {
    version: i32,
    signal: WorkSignal,
    stop: watch::Sender<bool>,
    telling: Telling,
}

/// When a worker is told of work, and when again. Pure.
#[derive(Default)]
struct Telling {
    /// What it had claimed when it was told last, and the pause before it is told again.
    last: Option<(u64, Duration)>,
    again_at: Option<Instant>,
}

/// What an idle worker is told of work that a poll shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// That there is work.
    Told,
    /// The same once more, and in vain so far.
    Retold,
    /// Nothing for so long.
    Later(Duration),
}

impl Telling {
    /// `claimed` is what the worker has claimed in its life.
    fn word(&mut self, claimed: u64, poll: Duration, now: Instant) -> Word {
        let pause = match self.last {
            Some((before, pause)) if before == claimed => pause,
            _ => {
                self.last = Some((claimed, poll));
                self.again_at = Some(now + poll);
                return Word::Told;
            }
        };
        if let Some(left) = self.again_at.and_then(|at| at.checked_duration_since(now))
            && !left.is_zero()
        {
            return Word::Later(left);
        }
        let pause = (pause * 2).min(LONGEST_RETELLING);
        self.last = Some((claimed, pause));
        self.again_at = Some(now + pause);
        Word::Retold
    }

    /// There is nothing to be told of.
    fn forget(&mut self) {
        *self = Self::default();
    }
}

/// A destination that waits for another credential.
#[derive(Clone, Debug)]
pub struct Blocked {
    /// Its number.
    pub destination: i32,
    /// The version that the block made.
    pub version: i32,
    /// Its name.
    pub name: String,
    credential: String,
    /// With what it was tried in vain; none when this process has never tried.
    failed: Option<Fingerprint>,
}

#[derive(PartialEq, Eq)]
struct Skipped {
    version: i32,
    why: String,
}

/// What the doorbell wants to know of all workers at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Somebody waits to be told of work.
    pub idle: bool,
    /// Somebody knows of work.
    pub busy: bool,
    /// Somebody was just told of work.
    pub told: bool,
    /// The next batch is due after this time, or somebody is to be told once more.
    pub due_in: Option<Duration>,
}

impl Workers {
    /// Begins without any; they end when `ending` turns true.
    pub fn new(context: Context, ending: watch::Receiver<bool>) -> Self {
        Self {
            context,
            ending,
            running: HashMap::new(),
            blocked: HashMap::new(),
            blocked_count: 0,
            kept: HashMap::new(),
            stale: true,
            last_credential_look: Instant::now(),
            skipped: HashMap::new(),
            workers: JoinSet::new(),
            last_look: Instant::now(),
        }
    }

    /// Goes on with other settings: the workers finish what is in flight, and new ones begin at the
    /// next look.
    pub fn reload(&mut self, context: Context) {
        self.keep(|_, _| false);
        self.skipped.clear();
        self.stale = true;
        self.context = context;
    }

    /// Whether the list of destinations must be read again for what the poll shows.
    pub fn is_stale(&mut self, polled: &[Polled]) -> bool {
        while self.workers.try_join_next().is_some() {}
        // Those that stopped by themselves.
        let before = self.running.len();
        self.running.retain(|_, worker| !worker.stop.is_closed());
        self.stale |= self.running.len() != before;
        let second_look = !self.skipped.is_empty() && self.last_look.elapsed() > SECOND_LOOK;
        let known = |id: &i32| {
            let worker = self.running.get(id).map(|worker| worker.version);
            worker.or_else(|| self.skipped.get(id).map(|skipped| skipped.version))
        };
        self.stale
            || second_look
            || polled.iter().any(|row| known(&row.destination) != Some(row.version))
    }

    /// Replaces the workers of changed destinations. A copy of a database has active destinations and
    /// polls none: there is no worker for what is not polled.
    pub fn rebuild(&mut self, destinations: Vec<DestinationRow>, polled: &[Polled]) {
        self.last_look = Instant::now();
        self.stale = false;
        self.note_blocked(&destinations);
        let is_polled = |id| polled.iter().any(|row| row.destination == id);
        let active: HashMap<i32, DestinationRow> = destinations
            .into_iter()
            .filter(|row| row.state == "active" && is_polled(row.destination))
            .map(|row| (row.destination, row))
            .collect();
        self.keep(|id, version| active.get(&id).is_some_and(|row| row.version == version));
        self.skipped.retain(|id, _| active.contains_key(id));
        // Whoever resumes a destination wants it sent to now.
        for (_, kept) in self.kept.iter_mut().filter(|(id, _)| !active.contains_key(id)) {
            kept.account = None;
        }
        for (id, row) in active {
            if !self.running.contains_key(&id) {
                self.start(row);
            }
        }
    }

    fn note_blocked(&mut self, destinations: &[DestinationRow]) {
        let before: Vec<(i32, i32)> =
            self.blocked.values().map(|b| (b.destination, b.version)).collect();
        let count = destinations.iter().filter(|row| row.state == "blocked").count();
        let mut blocked = HashMap::new();
        for row in destinations.iter().filter(|row| row.state == "blocked") {
            let DestinationRow { destination: id, version, .. } = *row;
            let reason = row.pause_reason.as_deref().unwrap_or_default();
            let platform = platform::build(&row.platform, &row.settings);
            if !platform.is_ok_and(|platform| platform.is_about_credential(reason)) {
                continue;
            }
            let known = self.blocked.remove(&id).filter(|known| known.version == version);
            let used = || self.kept.get(&id).and_then(|kept| kept.used.get());
            let failed = known.map_or_else(used, |known| known.failed);
            let (name, credential) = (row.name.clone(), row.credential.clone());
            blocked.insert(id, Blocked { destination: id, version, name, credential, failed });
        }
        self.blocked = blocked;
        let is_news = self.blocked.values().any(|b| !before.contains(&(b.destination, b.version)));
        if is_news || count != self.blocked_count {
            self.context.alarm.notify_one();
        }
        self.blocked_count = count;
    }

    /// Blocked destinations whose credential is another one than what was tried in vain; each content
    /// once. A process that has never tried does so once.
    pub fn changed_credentials(&mut self) -> Vec<Blocked> {
        if self.blocked.is_empty() || self.last_credential_look.elapsed() < CREDENTIAL_LOOK {
            return Vec::new();
        }
        self.last_credential_look = Instant::now();
        let credentials = &self.context.config.credentials;
        let mut changed = Vec::new();
        for blocked in self.blocked.values_mut() {
            let Ok(credential) = credentials.secret(&blocked.credential) else { continue };
            let found = Some(Fingerprint::of(&credential));
            if blocked.failed != found {
                blocked.failed = found;
                changed.push(blocked.clone());
            }
        }
        changed
    }

    fn start(&mut self, row: DestinationRow) {
        let (id, version) = (row.destination, row.version);
        let credentials = &self.context.config.credentials;
        let (platform, credential) = match ready(&row, credentials) {
            Ok(found) => found,
            Err(why) => {
                let skipped = Skipped { version, why };
                if self.skipped.get(&id) != Some(&skipped) {
                    let why = &skipped.why;
                    error!(destination = row.name, why, "destination is not sent to from here");
                    self.skipped.insert(id, skipped);
                }
                return;
            }
        };
        info!(destination = row.name, platform = row.platform, version, "sending");
        let trouble =
            platform.api_version().and_then(|version| version.trouble(crate::worker::now()));
        if let Some(trouble) = trouble {
            warn!(destination = row.name, way_out = trouble.way_out, "{}", trouble.what);
        }
        if let Some(days) = days_left(credentials, &row.credential, now()) {
            warn!(destination = row.name, credential = row.credential, days, "credential expires");
        }
        self.skipped.remove(&id);
        let (stop, stopped) = watch::channel(false);
        let of_platform = platform.requests_per_minute().and_then(|n| Rate::per_minute(n.into()));
        let rate = self.context.config.rate(&row.name).or(of_platform);
        let kept = self.kept.entry(id).or_default();
        kept.used.set(credential.secret());
        let account = Some(Account {
            platform: row.platform.clone(),
            settings: row.settings.clone(),
            credential: Fingerprint::of(credential.secret()),
        });
        if kept.account != account {
            kept.account = account;
            kept.pace = Arc::default();
        }
        kept.pace.lock().unwrap_or_else(PoisonError::into_inner).set_rate(rate);
        let signal = WorkSignal::new(kept.used.clone());
        let worker = Worker {
            pace: kept.pace.clone(),
            seat: kept.seat.clone(),
            version,
            meter: Meter::new(&self.context.metrics, &row.name, &row.platform),
            context: self.context.clone(),
            id,
            name: row.name,
            credential: row.credential,
            platform,
            signal: signal.clone(),
            stop: Stop { dismissed: stopped, ending: self.ending.clone() },
        };
        self.workers.spawn(worker.run());
        self.running.insert(id, Running { version, signal, stop, telling: Telling::default() });
    }

    /// Tells the workers of work and stops those whose destination is no longer active.
    pub fn tell(&mut self, polled: &[Polled]) -> View {
        let listed: HashMap<i32, &Polled> =
            polled.iter().map(|row| (row.destination, row)).collect();
        let before = self.running.len();
        self.keep(|id, _| listed.contains_key(&id));
        // Paused, dropped or blocked by somebody: which of them matters.
        self.stale |= self.running.len() != before;
        self.skipped.retain(|id, _| listed.contains_key(id));
        self.context.vitals.fleet(DestinationCounts {
            sending: self.running.len(),
            skipped: self.skipped.len(),
            blocked: self.blocked_count,
        });
        let mut view = View::default();
        let now = Instant::now();
        let poll = self.context.config.doorbell.poll;
        for (id, worker) in &mut self.running {
            worker.signal.look(now);
            let due_in = match worker.signal.activity() {
                Activity::Idle => {
                    view.idle = true;
                    let row = listed.get(id);
                    if row.is_some_and(|row| row.work) {
                        match worker.telling.word(worker.signal.claimed(), poll, now) {
                            Word::Told => {
                                worker.signal.wake();
                                view.told = true;
                                None
                            }
                            // Nobody is woken for it: most likely it is in vain again.
                            Word::Retold => {
                                worker.signal.wake();
                                Some(LONGEST_RETELLING)
                            }
                            Word::Later(left) => Some(left),
                        }
                    } else {
                        worker.telling.forget();
                        row.and_then(|row| row.due_in)
                    }
                }
                Activity::Busy => {
                    view.busy = true;
                    None
                }
                Activity::Asking | Activity::Closed => None,
            };
            view.due_in = match (view.due_in, due_in) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        view
    }

    fn keep(&mut self, wanted: impl Fn(i32, i32) -> bool) {
        self.running.retain(|id, worker| {
            let stays = wanted(*id, worker.version);
            if !stays {
                // It may have stopped by itself.
                let _ = worker.stop.send(true);
            }
            stays
        });
    }

    /// Stops claiming and waits up to `grace` for what is in flight.
    pub async fn shut_down(mut self, grace: Duration) {
        self.keep(|_, _| false);
        let landing = async { while self.workers.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, landing).await.is_err() {
            warn!("requests in flight were cut off: their batches go again when the lease ends");
        }
    }
}

/// The step of the days until the credential ends, if they are few and somebody has said so.
pub fn days_left(credentials: &Credentials, name: &str, now: Timestamp) -> Option<String> {
    step_to(credentials.expires(name).ok()??, now)
}

/// The platform of a destination and its credential, or why it cannot be sent to from here.
pub fn ready(
    row: &DestinationRow,
    credentials: &Credentials,
) -> Result<(Box<dyn destination::Destination>, Credential), String> {
    let DestinationRow { platform: name, settings, credential: named, .. } = row;
    let platform = platform::build(name, settings).map_err(|e| e.to_string())?;
    let credential = credentials.resolve(named, name).map_err(|error| error.about(named))?;
    if let Some(endpoint) = platform::endpoint_of(name, settings) {
        credentials.check_endpoint(named, &credential, endpoint)?;
    }
    http::check(platform.spec().credential, &credential).map_err(|error| match error {
        SendError::NotAllowed => format!(
            "the token_uri in credential {named} is at a host that it may not go to: add the host \
             to the credential's hosts"
        ),
        _ => format!("{error}: {named}"),
    })?;
    Ok((platform, credential))
}
