//! Claim, send, record: the one loop per destination, with several batches in flight.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use capi_core::destination::{self, Destination};
use capi_core::event::{ActionSource, Event, Facts, Identity};
use capi_core::time::Timestamp;
use secrecy::SecretString;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{Instrument, debug, error, info, info_span, warn};

use crate::config::{Config, CredentialError, Fingerprint};
use crate::http::{ClientError, Http};
use crate::metrics::{Meter, Metrics};
use crate::queue::{Accepted, Claim, ClaimedEvent, ClaimedEvents, Queue, QueueError};
use crate::recording::{Flight, Recording, Settlement, Status, Step};
use crate::retry::{Health, Pace, Rate, backoff};
use crate::tls::{self, TlsError};
use crate::vitals::Vitals;

/// What every worker uses.
#[derive(Clone)]
pub struct Tools {
    /// The database.
    pub queue: Queue,
    /// The platforms.
    pub http: Http,
    /// Settings and credentials.
    pub config: Arc<Config>,
    /// Batches claimed by all workers: the doorbell's sign that work flows.
    pub claimed: Arc<AtomicU64>,
    /// Wakes the doorbell: a worker ran out of work, or a batch is due later.
    pub nudge: Arc<Notify>,
    /// Wakes whoever looks for alerts: a destination was blocked, or is so no more.
    pub alarm: Arc<Notify>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Signs of life.
    pub vitals: Arc<Vitals>,
}

/// Why the tools cannot be made of a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ToolsError {
    /// No way to the database.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// No TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No HTTP client.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl Tools {
    /// Makes them; nothing is connected yet.
    pub fn new(config: Config) -> Result<Self, ToolsError> {
        let delivery = &config.delivery;
        Ok(Self {
            queue: Queue::new(&config.database)?,
            http: Http::new(
                tls::client(None)?,
                delivery.connect_timeout,
                delivery.request_timeout,
            )?,
            config: Arc::new(config),
            claimed: Arc::default(),
            nudge: Arc::default(),
            alarm: Arc::default(),
            metrics: Arc::default(),
            vitals: Arc::default(),
        })
    }

    /// The same for another configuration: what is counted goes on.
    pub fn reloaded(&self, config: Config) -> Result<Self, ToolsError> {
        let Self { claimed, nudge, alarm, metrics, vitals, .. } = self.clone();
        Ok(Self { claimed, nudge, alarm, metrics, vitals, ..Self::new(config)? })
    }
}

/// What a destination was last sent with, so that another credential can be told from it.
#[derive(Clone, Default)]
pub struct UsedCredential(Arc<Mutex<Option<Fingerprint>>>);

impl UsedCredential {
    /// The last one.
    pub fn get(&self) -> Option<Fingerprint> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of one.
    pub fn set(&self, credential: &SecretString) {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *used = Some(Fingerprint::of(credential));
    }
}

/// What a worker is about, so that the doorbell knows whom to poll for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Waits to be told of work.
    Idle,
    /// Knows of work and needs no telling.
    Hungry,
    /// Holds off: the platform is throttled or dead.
    Closed,
}

/// The doorbell's line to a worker.
#[derive(Clone, Default)]
pub struct Line {
    mood: Arc<AtomicU8>,
    work: Arc<Notify>,
    used: UsedCredential,
}

impl Line {
    /// A line that also tells what was sent with.
    pub fn new(used: UsedCredential) -> Self {
        Self { used, ..Self::default() }
    }

    /// Tells the worker that there is work.
    pub fn signal(&self) {
        self.work.notify_one();
    }

    /// What the worker is about.
    pub fn mood(&self) -> Mood {
        match self.mood.load(Ordering::Acquire) {
            0 => Mood::Idle,
            1 => Mood::Hungry,
            _ => Mood::Closed,
        }
    }

    /// Changes the mood; true when the worker has just run out of work.
    fn set(&self, mood: Mood) -> bool {
        self.mood.swap(mood as u8, Ordering::AcqRel) != mood as u8 && mood == Mood::Idle
    }
}

/// Sends the batches of one destination.
pub struct Worker {
    /// What it works with.
    pub tools: Tools,
    /// Its number in the database.
    pub id: i32,
    /// Its name in logs.
    pub name: String,
    /// Name of its credential.
    pub credential: String,
    /// The platform.
    pub platform: Box<dyn Destination>,
    /// The doorbell's line.
    pub line: Line,
    /// What it may send at most.
    pub rate: Option<Rate>,
    /// What it counts.
    pub meter: Meter,
    /// True once nothing more may be claimed.
    pub stop: watch::Receiver<bool>,
}

/// How a claimed batch came down.
enum Landing {
    /// Recorded.
    Recorded {
        /// What it told about the destination.
        health: Health,
        /// Whether the destination stopped.
        blocked: bool,
        /// Whether another batch is due at once.
        more: bool,
    },
    /// Given back unsent, or lost to another worker.
    Dropped,
    /// Given back unsent, and no other one can be sent either.
    Grounded,
}

impl Worker {
    /// Works until it is stopped or the destination is blocked. Batches in flight are finished.
    pub async fn run(self) {
        let this = Arc::new(self);
        let mut stop = this.stop.clone();
        let mut flights: JoinSet<Landing> = JoinSet::new();
        let mut pace = Pace::new(this.rate);
        let mut work = true;
        let mut grounded = false;
        loop {
            grounded |= *stop.borrow();
            let now = Instant::now();
            let slots = pace.slots(this.tools.config.delivery.concurrency, now);
            while work && !grounded && flights.len() < slots && pace.has_token(Instant::now()) {
                this.line.set(Mood::Hungry);
                match this.claim().await {
                    Some((claim, lease_ends)) => {
                        pace.take_token(Instant::now());
                        flights.spawn(this.clone().deliver(claim, lease_ends));
                    }
                    None => work = false,
                }
                grounded |= *stop.borrow();
            }
            let opens = pace.opens_at(now);
            let mood = match (work, opens) {
                (_, Some(_)) => Mood::Closed,
                (true, None) => Mood::Hungry,
                (false, None) => Mood::Idle,
            };
            if this.line.set(mood) {
                this.tools.nudge.notify_one();
            }
            if grounded && flights.is_empty() {
                break;
            }
            tokio::select! {
                () = this.line.work.notified(), if !work => work = true,
                Some(landed) = flights.join_next() => match landed {
                    Ok(Landing::Recorded { health, blocked, more }) => {
                        if pace.note(health, Instant::now(), draw()) {
                            this.hasten().await;
                        }
                        grounded |= blocked;
                        work |= more;
                    }
                    Ok(Landing::Dropped) => {}
                    Ok(Landing::Grounded) => grounded = true,
                    Err(_) => {
                        error!(destination = this.name, "a batch was dropped by a panic; its lease will end");
                        pace.note(Health::Bad, Instant::now(), draw());
                    }
                },
                () = until(opens), if opens.is_some() && !grounded => work = true,
                _ = stop.changed(), if !grounded => {}
            }
        }
        this.line.set(Mood::Idle);
        this.tools.nudge.notify_one();
    }

    /// Claims one batch; waits out a lost database. Says, on the safe side, when the lease ends.
    async fn claim(&self) -> Option<(Claim, Instant)> {
        let Tools { queue, config, claimed, .. } = &self.tools;
        let limit = i32::try_from(self.platform.spec().batch_limit).unwrap_or(i32::MAX);
        let mut failures = 0;
        loop {
            let lease_ends = Instant::now() + config.delivery.lease;
            match queue.claim(self.id, &config.worker, config.delivery.lease, limit).await {
                Ok(claim) => {
                    claimed.fetch_add(u64::from(claim.is_some()), Ordering::Relaxed);
                    return claim.map(|claim| (claim, lease_ends));
                }
                Err(error) => {
                    self.tools.metrics.database_error(&error);
                    warn!(destination = self.name, error = chain(&error), "claim failed");
                    let mut stop = self.stop.clone();
                    tokio::select! {
                        () = sleep(backoff(failures, None, 1.0).min(LONGEST_DATABASE_PAUSE)) => {}
                        _ = stop.wait_for(|stop| *stop) => return None,
                    }
                    failures += 1;
                }
            }
        }
    }

    async fn deliver(self: Arc<Self>, claim: Claim, lease_ends: Instant) -> Landing {
        let span = info_span!(
            "batch",
            destination = self.name,
            batch = claim.batch,
            attempt = claim.attempt,
            events = claim.events.len()
        );
        async move {
            let _flight = self.meter.flight();
            let flown = match &claim.accepted {
                None => self.fly(&claim, lease_ends).await,
                Some(accepted) => self.ask(&claim, accepted, lease_ends).await,
            };
            match flown {
                Ok(recording) => self.record(&claim, recording).await,
                Err(landing) => landing,
            }
        }
        .instrument(span)
        .await
    }

    /// The credential and the events; gives the batch back where one of them is not to be had.
    async fn board(&self, claim: &Claim) -> Result<(SecretString, ClaimedEvents), Landing> {
        let credential = match self.credential() {
            Ok(credential) => {
                self.line.used.set(&credential);
                credential
            }
            Err(error) => {
                error!(credential = self.credential, %error, "cannot send");
                self.release(claim).await;
                return Err(Landing::Grounded);
            }
        };
        match self.tools.queue.claimed_events(claim).await {
            Ok(claimed) if claimed.events.is_empty() => {
                warn!("lease lost before sending");
                Err(Landing::Dropped)
            }
            Ok(events) => Ok((credential, events)),
            Err(error) => {
                warn!(error = chain(&error), "events could not be read");
                self.release(claim).await;
                Err(Landing::Dropped)
            }
        }
    }

    /// Gives the batch back when there is no time left to get an answer.
    async fn may_leave(&self, claim: &Claim, lease_ends: Instant) -> Result<(), Landing> {
        let too_late = lease_ends < Instant::now() + self.tools.config.delivery.request_timeout;
        if *self.stop.borrow() || too_late {
            self.release(claim).await;
            return Err(Landing::Dropped);
        }
        Ok(())
    }

    /// Asks what became of accepted events and says what is to be recorded. Sends nothing.
    async fn ask(
        &self,
        claim: &Claim,
        accepted: &Accepted,
        lease_ends: Instant,
    ) -> Result<Recording, Landing> {
        let (credential, events) = self.board(claim).await?;
        let flight = Flight { sent: claim.events.clone(), tries: claim.tries, ..Flight::default() };
        let Some(request) = self.platform.status_request(&accepted.ticket) else {
            error!("the platform of this program takes no tickets");
            return Ok(flight.unaskable(accepted, draw()));
        };
        self.may_leave(claim, lease_ends).await?;
        let slot = self.platform.spec().credential;
        Ok(match self.tools.http.send(request, slot, &credential).await {
            Ok(answer) => {
                let events = in_order(&claim.events, events.events);
                let verdict = self.platform.status_verdict(&accepted.ticket, &events, &answer);
                flight.asked(accepted, answer.status, verdict, draw())
            }
            Err(error) => flight.unasked(accepted, error, draw()),
        })
    }

    /// Reads the events, sends what can be sent and says what is to be recorded.
    async fn fly(&self, claim: &Claim, lease_ends: Instant) -> Result<Recording, Landing> {
        let (credential, events) = self.board(claim).await?;
        let (mut flight, fit) = sort(claim, events, &*self.platform, now());
        let mut plan = self.platform.plan(&fit);
        for (at, unfit) in std::mem::take(&mut plan.unfit) {
            flight.settled.push(Settlement::unfit(fit[at].id, unfit));
        }
        let mut requests = plan.requests.into_iter();
        let Some(request) = requests.next() else { return Ok(flight.without_request()) };
        // One answer settles one attempt: further requests of the plan become another batch.
        flight.unsent.extend(requests.flat_map(|later| later.events).map(|at| fit[at].id));
        let mut fit: Vec<Option<Event>> = fit.into_iter().map(Some).collect();
        let mut sent: Vec<Event> = request.events.iter().filter_map(|at| fit[*at].take()).collect();
        drop(fit);
        for event in &mut sent {
            event.facts.0.fold();
        }
        flight.sent = sent.iter().map(|event| event.id).collect();

        self.may_leave(claim, lease_ends).await?;
        let slot = self.platform.spec().credential;
        let began = Instant::now();
        let sent_off = self.tools.http.send(request, slot, &credential).await;
        self.meter.took(began.elapsed());
        Ok(match sent_off {
            Ok(answer) => {
                let verdict = self.platform.verdict(&sent, &answer);
                flight.answered(answer.status, verdict, draw())
            }
            Err(error) => {
                if error.certainty() == "unknown" {
                    let doubled = sent.iter().filter(|event| !self.platform.drops_doubles(event));
                    flight.give_up(&doubled.map(|event| event.id).collect::<Vec<_>>());
                }
                flight.unanswered(error, draw())
            }
        })
    }

    fn credential(&self) -> Result<SecretString, CredentialError> {
        self.tools.config.credentials.resolve(&self.credential)
    }

    /// Records, however long the database is away: as long as nobody else has claimed the batch the
    /// answer counts, even after the lease.
    async fn record(&self, claim: &Claim, recording: Recording) -> Landing {
        let mut failures = 0;
        let held = loop {
            match self.tools.queue.record(claim, &recording).await {
                Ok(held) => break held,
                Err(error) => {
                    let pause = backoff(failures, None, 0.2).min(LONGEST_DATABASE_PAUSE);
                    self.tools.metrics.database_error(&error);
                    warn!(error = chain(&error), "answer could not be recorded");
                    sleep(pause).await;
                    failures += 1;
                }
            }
        };
        if !held {
            warn!("lease lost before the answer was recorded");
            return Landing::Dropped;
        }
        log(&recording);
        self.meter.recorded(&recording);
        let waits = recording.due_in > Duration::ZERO && recording.step != Step::Accepted;
        let due_at_once = !waits && !recording.again.is_empty();
        if !recording.again.is_empty() || !recording.accepted.is_empty() {
            self.tools.nudge.notify_one();
        }
        Landing::Recorded {
            health: recording.health,
            blocked: recording.step == Step::Blocked,
            more: due_at_once,
        }
    }

    /// Has what still waits for a platform that is back sent within seconds. If that fails it is
    /// due by itself, within minutes.
    async fn hasten(&self) {
        match self.tools.queue.hasten(self.id).await {
            Ok(batches) => {
                info!(destination = self.name, batches, "platform is back");
                self.tools.nudge.notify_one();
            }
            Err(error) => {
                warn!(error = chain(&error), "waiting batches could not be hastened");
            }
        }
    }

    /// Gives a batch back; if that fails its lease ends by itself.
    async fn release(&self, claim: &Claim) {
        if let Err(error) = self.tools.queue.release(claim).await {
            warn!(error = chain(&error), "batch could not be given back; its lease will end");
        }
    }
}

/// Longest pause between calls to a database that does not answer.
const LONGEST_DATABASE_PAUSE: Duration = Duration::from_secs(5);

/// Tells events that can be sent from those that end here or are missing.
fn sort(
    claim: &Claim,
    events: ClaimedEvents,
    platform: &dyn Destination,
    now: Timestamp,
) -> (Flight, Vec<Event>) {
    let ClaimedEvents { events, cut } = events;
    let mut flight = Flight { tries: claim.tries, ..Flight::default() };
    let mut fit = Vec::with_capacity(events.len());
    let mut missing: std::collections::HashSet<i64> = claim.events.iter().copied().collect();
    for ClaimedEvent { id, event } in events {
        if !missing.remove(&id) {
            continue;
        }
        match event {
            Ok(event) if destination::expired(platform, &event, now) => {
                flight.settled.push(Settlement::expired(id));
            }
            Ok(event) => fit.push(event),
            Err(column) => {
                error!(event = id, column, "event cannot be read by this version");
                flight.settled.push(Settlement::unreadable(id, column));
            }
        }
    }
    if !missing.is_empty() {
        match cut {
            true => debug!(count = missing.len(), "large events: the rest goes by itself"),
            false => error!(count = missing.len(), "events of the batch are not in the outbox"),
        }
        flight.unsent.extend(claim.events.iter().filter(|id| missing.contains(id)));
    }
    (flight, fit)
}

/// Accepted events in the order of their request. One that is gone or cannot be read leaves its place
/// to an empty one: the platform's answer goes by position.
fn in_order(ids: &[i64], events: Vec<ClaimedEvent>) -> Vec<Event> {
    let mut found: HashMap<i64, Event> =
        events.into_iter().filter_map(|claimed| Some((claimed.id, claimed.event.ok()?))).collect();
    let empty = |id| Event {
        id,
        event_name: String::new(),
        event_id: String::new(),
        event_time: Timestamp(0),
        action_source: ActionSource::Other,
        value: None,
        currency: None,
        identity: Identity::default(),
        facts: Facts::default(),
    };
    ids.iter().map(|id| found.remove(id).unwrap_or_else(|| empty(*id))).collect()
}

fn log(recording: &Recording) {
    let count = |status| recording.settled.iter().filter(|s| s.status == status).count();
    let step = recording.step.as_str();
    let reason = recording.reason.as_ref().map(|reason| reason.0.as_str());
    let due_in_ms = u64::try_from(recording.due_in.as_millis()).unwrap_or(u64::MAX);
    let Recording { http_status: status, request_id, again, .. } = recording;
    let (delivered, refused) = (count(Status::Delivered), count(Status::Refused));
    let undecided = count(Status::Undecided);
    let (again, request_id) = (again.len(), request_id.as_deref());
    match recording.step {
        Step::Blocked => error!(status, request_id, reason, again, "destination is blocked"),
        Step::Accepted => {
            debug!(status, request_id, accepted = recording.accepted.len(), due_in_ms, "accepted");
        }
        Step::Each if undecided > 0 => {
            warn!(
                status,
                request_id, reason, undecided, "the platform never said what became of them"
            );
        }
        Step::Each if again == 0 && refused == 0 => debug!(status, delivered, "delivered"),
        Step::Each | Step::Split => {
            info!(status, request_id, reason, step, delivered, refused, again, "not all delivered");
        }
        Step::Retry | Step::Wait => {
            warn!(status, request_id, reason, step, again, due_in_ms, "not delivered");
        }
    }
}

/// The error with its causes on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Chance, uniform in 0 to 1.
fn draw() -> f64 {
    rand::random()
}

/// The clock. A clock before 1970 counts as 1970.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use uuid::Uuid;

    const DAY: i64 = 86_400_000_000;

    fn event(id: i64, event_time: i64) -> ClaimedEvent {
        let event = Event {
            id,
            event_name: "Lead".into(),
            event_id: format!("lead-{id}"),
            event_time: Timestamp(event_time),
            action_source: ActionSource::Website,
            value: None,
            currency: None,
            identity: Identity::default(),
            facts: Facts::default(),
        };
        ClaimedEvent { id, event: Ok(event) }
    }

    fn claim(events: &[i64]) -> Claim {
        let events = events.to_vec();
        Claim { batch: 1, token: Uuid::nil(), attempt: 1, tries: 3, events, accepted: None }
    }

    #[test]
    fn accepted_events_keep_their_places() {
        let unreadable = ClaimedEvent { id: 3, event: Err("currency") };
        let events = in_order(&[4, 3, 9, 1], vec![event(1, DAY), unreadable, event(4, DAY)]);
        assert_eq!(events.iter().map(|event| event.id).collect::<Vec<_>>(), [4, 3, 9, 1]);
        assert_eq!(events[0].event_name, "Lead");
        assert_eq!(events[2].event_name, "", "gone, and its place is kept");
    }

    #[test]
    fn events_are_sorted_before_they_are_sent() {
        let platform = destination::build("meta", &json!({"pixel_id": "1"})).expect("settings");
        let now = Timestamp(100 * DAY);
        let unreadable = ClaimedEvent { id: 3, event: Err("currency") };
        let events = vec![event(1, 99 * DAY), event(2, 92 * DAY), unreadable, event(9, 99 * DAY)];
        let events = ClaimedEvents { events, cut: false };
        let (flight, fit) = sort(&claim(&[1, 2, 3, 4]), events, &*platform, now);
        assert_eq!(fit.iter().map(|event| event.id).collect::<Vec<_>>(), [1]);
        assert_eq!(flight.settled, [Settlement::expired(2), Settlement::unreadable(3, "currency")]);
        assert_eq!(flight.unsent, [4], "a missing event stays with the batch");
        assert_eq!(flight.tries, 3);
    }

    #[test]
    fn a_line_tells_when_its_worker_runs_out_of_work() {
        let line = Line::default();
        assert_eq!(line.mood(), Mood::Idle);
        assert!(!line.set(Mood::Hungry));
        assert_eq!(line.mood(), Mood::Hungry);
        assert!(line.set(Mood::Idle));
        assert!(!line.set(Mood::Idle));
        assert!(!line.set(Mood::Closed));
        assert_eq!(line.mood(), Mood::Closed);
    }
}
