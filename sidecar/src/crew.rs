//! Which workers there are: one per active destination that can be sent to.

use std::collections::HashMap;
use std::time::Duration;

use capi_core::destination;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::config::Credentials;
use crate::oauth;
use crate::queue::{DestinationRow, Polled};
use crate::worker::{Line, Mood, Tools, Worker};

/// How often a destination that cannot be sent to is looked at again: its credential may come as a
/// file.
const SECOND_LOOK: Duration = Duration::from_secs(60);

/// The workers of this process.
pub struct Crew {
    tools: Tools,
    members: HashMap<i32, Member>,
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
            skipped: HashMap::new(),
            workers: JoinSet::new(),
            last_look: Instant::now(),
        }
    }

    /// Whether the list of destinations must be read again for what the poll shows.
    pub fn is_stale(&mut self, polled: &[Polled]) -> bool {
        while self.workers.try_join_next().is_some() {}
        // Those that stopped by themselves.
        self.members.retain(|_, member| !member.stop.is_closed());
        let second_look = !self.skipped.is_empty() && self.last_look.elapsed() > SECOND_LOOK;
        let known = |id: &i32| {
            let member = self.members.get(id).map(|member| member.version);
            member.or_else(|| self.skipped.get(id).map(|skipped| skipped.version))
        };
        second_look || polled.iter().any(|row| known(&row.destination) != Some(row.version))
    }

    /// Replaces the workers of changed destinations.
    pub fn rebuild(&mut self, destinations: Vec<DestinationRow>) {
        self.last_look = Instant::now();
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

    fn hire(&mut self, row: DestinationRow) {
        let (id, version) = (row.destination, row.version);
        let platform = match ready(&row, &self.tools.config.credentials) {
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
        self.skipped.remove(&id);
        let (stop, stopped) = watch::channel(false);
        let line = Line::default();
        let worker = Worker {
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
        self.keep(|id, _| listed.contains_key(&id));
        self.skipped.retain(|id, _| listed.contains_key(id));
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

/// The platform of a destination, or why it cannot be sent to from here.
pub fn ready(
    row: &DestinationRow,
    credentials: &Credentials,
) -> Result<Box<dyn destination::Destination>, String> {
    let platform = destination::build(&row.platform, &row.settings).map_err(|e| e.to_string())?;
    let credential = credentials
        .resolve(&row.credential)
        .map_err(|error| format!("{error}: {}", row.credential))?;
    if let destination::CredentialSlot::OAuth(grant) = platform.spec().credential {
        oauth::check(grant, &credential).map_err(|error| format!("{error}: {}", row.credential))?;
    }
    Ok(platform)
}
