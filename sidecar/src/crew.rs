//! Which workers there are: one per active destination that can be sent to. And which blocked
//! destinations wait for another credential.

use std::collections::HashMap;
use std::time::Duration;

use capi_core::destination;
use capi_core::time::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::alert::step_to;
use crate::config::{Credentials, Fingerprint};
use crate::http;
use crate::metrics::Meter;
use crate::queue::{DestinationRow, Polled};
use crate::retry::Rate;
use crate::vitals::Fleet;
use crate::worker::{Line, Mood, Tools, UsedCredential, Worker, now};

/// How often a destination that cannot be sent to is looked at again: its credential may come as a
/// file.
const SECOND_LOOK: Duration = Duration::from_secs(60);

/// How often the credentials of blocked destinations are looked at.
const CREDENTIAL_LOOK: Duration = Duration::from_secs(5);

/// The workers of this process.
pub struct Crew {
    tools: Tools,
    members: HashMap<i32, Member>,
    /// Destinations whose block another credential would lift.
    blocked: HashMap<i32, Blocked>,
    /// Destinations that are blocked, whatever for.
    blocked_count: usize,
    /// What was last sent with, by destination; outlives its worker.
    used: HashMap<i32, UsedCredential>,
    /// The list of destinations is to be read again, whatever the poll shows.
    stale: bool,
    last_credential_look: Instant,
    /// Active destinations that cannot be sent to from here, and the version that says so.
    skipped: HashMap<i32, Skipped>,
    workers: JoinSet<()>,
    last_look: Instant,
}

struct Member {
    version: i32,
    line: Line,
    stop: watch::Sender<bool>,
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
    pub hungry: bool,
    /// Somebody was just told of work.
    pub told: bool,
    /// The next batch is due after this time.
    pub due_in: Option<Duration>,
}

impl Crew {
    /// Makes an empty crew.
    pub fn new(tools: Tools) -> Self {
        Self {
            tools,
            members: HashMap::new(),
            blocked: HashMap::new(),
            blocked_count: 0,
            used: HashMap::new(),
            stale: true,
            last_credential_look: Instant::now(),
            skipped: HashMap::new(),
            workers: JoinSet::new(),
            last_look: Instant::now(),
        }
    }

    /// Goes on with other settings: the workers finish what is in flight, and new ones begin at the
    /// next look.
    pub fn reload(&mut self, tools: Tools) {
        self.keep(|_, _| false);
        self.skipped.clear();
        self.stale = true;
        self.tools = tools;
    }

    /// Whether the list of destinations must be read again for what the poll shows.
    pub fn is_stale(&mut self, polled: &[Polled]) -> bool {
        while self.workers.try_join_next().is_some() {}
        // Those that stopped by themselves.
        let before = self.members.len();
        self.members.retain(|_, member| !member.stop.is_closed());
        self.stale |= self.members.len() != before;
        let second_look = !self.skipped.is_empty() && self.last_look.elapsed() > SECOND_LOOK;
        let known = |id: &i32| {
            let member = self.members.get(id).map(|member| member.version);
            member.or_else(|| self.skipped.get(id).map(|skipped| skipped.version))
        };
        self.stale
            || second_look
            || polled.iter().any(|row| known(&row.destination) != Some(row.version))
    }

    /// Replaces the workers of changed destinations.
    pub fn rebuild(&mut self, destinations: Vec<DestinationRow>) {
        self.last_look = Instant::now();
        self.stale = false;
        self.note_blocked(&destinations);
        let active: HashMap<i32, DestinationRow> = destinations
            .into_iter()
            .filter(|row| row.state == "active")
            .map(|row| (row.destination, row))
            .collect();
        self.keep(|id, version| active.get(&id).is_some_and(|row| row.version == version));
        self.skipped.retain(|id, _| active.contains_key(id));
        for (id, row) in active {
            if !self.members.contains_key(&id) {
                self.hire(row);
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
            let platform = destination::build(&row.platform, &row.settings);
            if !platform.is_ok_and(|platform| platform.is_about_credential(reason)) {
                continue;
            }
            let known = self.blocked.remove(&id).filter(|known| known.version == version);
            let used = || self.used.get(&id).and_then(UsedCredential::get);
            let failed = known.map_or_else(used, |known| known.failed);
            let (name, credential) = (row.name.clone(), row.credential.clone());
            blocked.insert(id, Blocked { destination: id, version, name, credential, failed });
        }
        self.blocked = blocked;
        let is_news = self.blocked.values().any(|b| !before.contains(&(b.destination, b.version)));
        if is_news || count != self.blocked_count {
            self.tools.alarm.notify_one();
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
        let credentials = &self.tools.config.credentials;
        let mut changed = Vec::new();
        for blocked in self.blocked.values_mut() {
            let Ok(credential) = credentials.resolve(&blocked.credential) else { continue };
            let found = Some(Fingerprint::of(&credential));
            if blocked.failed != found {
                blocked.failed = found;
                changed.push(blocked.clone());
            }
        }
        changed
    }

    fn hire(&mut self, row: DestinationRow) {
        let (id, version) = (row.destination, row.version);
        let credentials = &self.tools.config.credentials;
        let platform = match ready(&row, credentials) {
            Ok(platform) => platform,
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
        let used = self.used.entry(id).or_default().clone();
        if let Ok(credential) = credentials.resolve(&row.credential) {
            used.set(&credential);
        }
        let line = Line::new(used);
        let of_platform = platform.requests_per_minute().and_then(|n| Rate::per_minute(n.into()));
        let worker = Worker {
            rate: self.tools.config.rate(&row.name).or(of_platform),
            meter: Meter::new(&self.tools.metrics, &row.name, &row.platform),
            tools: self.tools.clone(),
            id,
            name: row.name,
            credential: row.credential,
            platform,
            line: line.clone(),
            stop: stopped,
        };
        self.workers.spawn(worker.run());
        self.members.insert(id, Member { version, line, stop });
    }

    /// Tells the workers of work and stops those whose destination is no longer active.
    pub fn attend(&mut self, polled: &[Polled]) -> View {
        let listed: HashMap<i32, &Polled> =
            polled.iter().map(|row| (row.destination, row)).collect();
        let before = self.members.len();
        self.keep(|id, _| listed.contains_key(&id));
        // Paused, dropped or blocked by somebody: which of them matters.
        self.stale |= self.members.len() != before;
        self.skipped.retain(|id, _| listed.contains_key(id));
        self.tools.vitals.fleet(Fleet {
            sending: self.members.len(),
            skipped: self.skipped.len(),
            blocked: self.blocked_count,
        });
        let mut view = View::default();
        for (id, member) in &self.members {
            match member.line.mood() {
                Mood::Idle => {
                    view.idle = true;
                    let row = listed.get(id);
                    if row.is_some_and(|row| row.work) {
                        member.line.signal();
                        view.told = true;
                    } else if let Some(due_in) = row.and_then(|row| row.due_in) {
                        view.due_in = Some(view.due_in.map_or(due_in, |other| other.min(due_in)));
                    }
                }
                Mood::Hungry => view.hungry = true,
                Mood::Closed => {}
            }
        }
        view
    }

    fn keep(&mut self, wanted: impl Fn(i32, i32) -> bool) {
        self.members.retain(|id, member| {
            let stays = wanted(*id, member.version);
            if !stays {
                // It may have stopped by itself.
                let _ = member.stop.send(true);
            }
            stays
        });
    }

    /// Stops claiming and waits up to `grace` for what is in flight.
    pub async fn stand_down(mut self, grace: Duration) {
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

/// The platform of a destination, or why it cannot be sent to from here.
pub fn ready(
    row: &DestinationRow,
    credentials: &Credentials,
) -> Result<Box<dyn destination::Destination>, String> {
    let platform = destination::build(&row.platform, &row.settings).map_err(|e| e.to_string())?;
    let credential = credentials
        .resolve(&row.credential)
        .map_err(|error| format!("{error}: {}", row.credential))?;
    http::check(platform.spec().credential, &credential)
        .map_err(|error| format!("{error}: {}", row.credential))?;
    Ok(platform)
}
