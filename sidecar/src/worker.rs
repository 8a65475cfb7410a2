//! Claim, send, record: the one loop per destination, with several batches in flight.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use capi_core::destination::{self, Decision, Destination, Verdict};
use capi_core::event::{ActionSource, Event, Facts, Identity};
use capi_core::time::Timestamp;
use secrecy::SecretString;
use tokio::sync::{Notify, OwnedMutexGuard, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{Instrument, debug, error, info, info_span, warn};

use crate::config::{Config, Credential, CredentialError, Fingerprint};
use crate::http::{ClientError, Http};
use crate::metrics::{Meter, Metrics};
use crate::queue::{Claim, ClaimedEvent, ClaimedEvents, Queue, QueueError};
use crate::recording::{Accepted, BatchResult, Receipt, Recording, Status, Step};
use crate::retry::{Health, Pace, backoff};
use crate::tls::{self, TlsError};
use crate::vitals::Vitals;

/// What every worker uses.
#[derive(Clone)]
pub struct Context {
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

/// Why the context cannot be made of a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
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

impl Context {
    /// Makes them; nothing is connected yet.
    pub fn new(config: Config) -> Result<Self, ContextError> {
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
    pub fn reloaded(&self, config: Config) -> Result<Self, ContextError> {
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
pub enum Activity {
    /// Waits to be told of work.
    Idle,
    /// Was told of work and asks for its first batch; it may get none.
    Asking,
    /// Knows of work and needs no telling.
    Busy,
    /// Holds off: the platform is throttled or dead.
    Closed,
}

/// How the doorbell tells a worker of work, and learns what it is about.
#[derive(Clone)]
pub struct WorkSignal {
    activity: Arc<AtomicU8>,
    claimed: Arc<AtomicU64>,
    looked: Arc<watch::Sender<Instant>>,
    work: Arc<Notify>,
    used: UsedCredential,
}

impl WorkSignal {
    /// One that also tells what was sent with.
    pub fn new(used: UsedCredential) -> Self {
        Self {
            activity: Arc::default(),
            claimed: Arc::default(),
            looked: Arc::new(watch::Sender::new(Instant::now())),
            work: Arc::default(),
            used,
        }
    }

    /// The doorbell has polled, and whoever has work is told of it.
    pub fn look(&self, now: Instant) {
        // Nobody is woken for it.
        self.looked.send_if_modified(|looked| {
            *looked = now;
            false
        });
    }

    /// Batches that the worker has claimed so far.
    pub fn claimed(&self) -> u64 {
        self.claimed.load(Ordering::Acquire)
    }

    /// Waits until the doorbell has not looked for so long.
    async fn forgotten(&self, patience: Duration) {
        loop {
            let until = *self.looked.borrow() + patience;
            if until <= Instant::now() {
                // Nor is it asked more often than that.
                self.look(Instant::now());
                return;
            }
            sleep_until(until).await;
        }
    }

    /// Tells the worker that there is work.
    pub fn wake(&self) {
        self.work.notify_one();
    }

    /// What the worker is about.
    pub fn activity(&self) -> Activity {
        match self.activity.load(Ordering::Acquire) {
            0 => Activity::Idle,
            1 => Activity::Asking,
            2 => Activity::Busy,
            _ => Activity::Closed,
        }
    }

    /// Changes the activity; true when the worker has just run out of work.
    fn set(&self, activity: Activity) -> bool {
        self.activity.swap(activity as u8, Ordering::AcqRel) != activity as u8
            && activity == Activity::Idle
    }
}

/// What ends a worker: its destination is no longer sent to from here, or the process is to end.
#[derive(Clone)]
pub struct Stop {
    /// True once the worker is not wanted any more.
    pub dismissed: watch::Receiver<bool>,
    /// True once nobody is.
    pub ending: watch::Receiver<bool>,
}

impl Stop {
    /// Whether nothing more may be claimed.
    fn has_come(&self) -> bool {
        *self.dismissed.borrow() || *self.ending.borrow()
    }

    /// Waits until nothing more may be claimed.
    async fn came(&mut self) {
        let Self { dismissed, ending } = self;
        // Whoever could say so and is gone wants nobody either.
        tokio::select! {
            _ = dismissed.wait_for(|stop| *stop) => {}
            _ = ending.wait_for(|stop| *stop) => {}
        }
    }

    /// Waits until the process ends and a call to the database has had its time.
    async fn parted(&mut self) {
        // Whoever could say so is gone: so is the process.
        let _ = self.ending.wait_for(|stop| *stop).await;
        sleep(PARTING).await;
    }
}

/// Sends the batches of one destination.
pub struct Worker {
    /// What it works with.
    pub context: Context,
    /// Its number in the database.
    pub id: i32,
    /// Its name in logs.
    pub name: String,
    /// Name of its credential.
    pub credential: String,
    /// The platform.
    pub platform: Box<dyn Destination>,
    /// How the doorbell reaches it.
    pub signal: WorkSignal,
    /// The version of the destination that its settings are of.
    pub version: i32,
    /// How fast it may send; the next worker of the destination goes on with it.
    pub pace: Arc<Mutex<Pace>>,
    /// One worker of a destination sends at a time.
    pub seat: Arc<tokio::sync::Mutex<()>>,
    /// What it counts.
    pub meter: Meter,
    /// Once nothing more may be claimed.
    pub stop: Stop,
}

/// How the work on a claimed batch ended.
enum BatchEnd {
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
    Unsendable,
}

impl Worker {
    /// Works until it is stopped or the destination is blocked. Batches in flight are finished.
    pub async fn run(self) {
        let this = Arc::new(self);
        let mut stop = this.stop.clone();
        let mut batches: JoinSet<BatchEnd> = JoinSet::new();
        let _seat = this.seated(&mut stop).await;
        let mut work = true;
        let mut ending = false;
        // Batches in a row that could not be sent for what is here, not at the platform.
        let mut dropped = 0;
        let patience = this.context.config.doorbell.safety_poll + UNHEARD;
        loop {
            ending |= stop.has_come();
            let now = Instant::now();
            let slots = this.pace().slots(this.context.config.delivery.concurrency, now);
            while work && !ending && batches.len() < slots && this.pace().has_token(Instant::now())
            {
                if this.signal.activity() != Activity::Busy {
                    this.signal.set(Activity::Asking);
                }
                match this.claim().await {
                    Some((claim, lease_ends)) => {
                        this.signal.set(Activity::Busy);
                        this.pace().take_token(Instant::now());
                        batches.spawn(this.clone().deliver(claim, lease_ends));
                    }
                    None => work = false,
                }
                ending |= stop.has_come();
            }
            let opens = this.pace().opens_at(now);
            let activity = match (work, opens) {
                (_, Some(_)) => Activity::Closed,
                (true, None) => Activity::Busy,
                (false, None) => Activity::Idle,
            };
            if this.signal.set(activity) {
                this.context.nudge.notify_one();
            }
            if ending && batches.is_empty() {
                break;
            }
            tokio::select! {
                () = this.signal.work.notified(), if !work => work = true,
                () = this.signal.forgotten(patience), if !work => work = true,
                Some(ended) = batches.join_next() => match ended {
                    Ok(BatchEnd::Recorded { health, blocked, more }) => {
                        dropped = 0;
                        let is_back = this.pace().note(health, Instant::now(), draw());
                        if is_back {
                            this.hasten().await;
                        }
                        ending |= blocked;
                        work |= more;
                    }
                    // Given back at the end: the next worker shall have it at once.
                    Ok(BatchEnd::Dropped) if stop.has_come() => {}
                    Ok(BatchEnd::Dropped) => {
                        // It is due at once, and would be dropped again at once.
                        let pause = backoff(dropped, None, 1.0).min(LONGEST_DATABASE_PAUSE);
                        this.pace().note(Health::Hold(pause), Instant::now(), draw());
                        dropped += 1;
                    }
                    Ok(BatchEnd::Unsendable) => ending = true,
                    Err(_) => {
                        error!(destination = this.name, "a batch was dropped by a panic; its lease will end");
                        this.pace().note(Health::Bad, Instant::now(), draw());
                    }
                },
                () = until(opens), if opens.is_some() && !ending => work = true,
                () = stop.came(), if !ending => {}
            }
        }
        this.signal.set(Activity::Idle);
        this.context.nudge.notify_one();
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the requests of the worker before have ended: two at once would send twice as much as
    /// the settings allow. What it still records, however long that takes, holds nobody up.
    async fn seated(&self, stop: &mut Stop) -> Option<OwnedMutexGuard<()>> {
        // Nobody need tell it of work: it looks by itself.
        self.signal.set(Activity::Closed);
        let longest = self.context.config.delivery.request_timeout + PARTING;
        tokio::select! {
            seat = timeout(longest, self.seat.clone().lock_owned()) => seat.ok(),
            () = stop.came() => None,
        }
    }

    /// Claims one batch; waits out a lost database. Says, on the safe side, when the lease ends.
    async fn claim(&self) -> Option<(Claim, Instant)> {
        let Context { queue, config, claimed, .. } = &self.context;
        let limit = i32::try_from(self.platform.spec().batch_limit).unwrap_or(i32::MAX);
        let mut failures = 0;
        loop {
            let lease_ends = Instant::now() + config.delivery.lease;
            let mut stop = self.stop.clone();
            let (id, version) = (self.id, self.version);
            let claiming = queue.claim(id, version, &config.worker, config.delivery.lease, limit);
            let claiming = tokio::select! {
                claiming = claiming => claiming,
                // What it may have claimed goes again when the lease ends.
                () = stop.parted() => return None,
            };
            match claiming {
                Ok(claim) => {
                    let one = u64::from(claim.is_some());
                    claimed.fetch_add(one, Ordering::Relaxed);
                    self.signal.claimed.fetch_add(one, Ordering::Release);
                    return claim.map(|claim| (claim, lease_ends));
                }
                Err(error) => {
                    self.context.metrics.database_error(&error);
                    warn!(destination = self.name, error = chain(&error), "claim failed");
                    tokio::select! {
                        () = sleep(backoff(failures, None, 1.0).min(LONGEST_DATABASE_PAUSE)) => {}
                        () = stop.came() => return None,
                    }
                    failures += 1;
                }
            }
        }
    }

    async fn deliver(self: Arc<Self>, claim: Claim, lease_ends: Instant) -> BatchEnd {
        let span = info_span!(
            "batch",
            destination = self.name,
            batch = claim.batch,
            attempt = claim.attempt,
            events = claim.events.len()
        );
        async move {
            let _flight = self.meter.in_flight();
            let recorded = match &claim.accepted {
                None => self.send(&claim, lease_ends).await,
                Some(accepted) => self.ask(&claim, accepted, lease_ends).await,
            };
            match recorded {
                Ok(recording) => self.record(&claim, recording).await,
                Err(end) => end,
            }
        }
        .instrument(span)
        .await
    }

    /// The credential and the events; gives the batch back where one of them is not to be had.
    async fn prepare(&self, claim: &Claim) -> Result<(Credential, ClaimedEvents), BatchEnd> {
        let credential = match self.credential() {
            Ok(credential) => {
                self.signal.used.set(credential.secret());
                credential
            }
            Err(error) => {
                error!(credential = self.credential, %error, "cannot send");
                self.release(claim).await;
                return Err(BatchEnd::Unsendable);
            }
        };
        match self.context.queue.claimed_events(claim).await {
            Ok(claimed) if claimed.events.is_empty() => {
                warn!("lease lost before sending");
                Err(BatchEnd::Dropped)
            }
            Ok(events) => Ok((credential, events)),
            Err(error) => {
                warn!(error = chain(&error), "events could not be read");
                self.release(claim).await;
                Err(BatchEnd::Dropped)
            }
        }
    }

    /// Gives the batch back where no time is left to get an answer.
    async fn check_time(&self, claim: &Claim, lease_ends: Instant) -> Result<(), BatchEnd> {
        let too_late = lease_ends < Instant::now() + self.context.config.delivery.request_timeout;
        if self.stop.has_come() || too_late {
            self.release(claim).await;
            return Err(BatchEnd::Dropped);
        }
        Ok(())
    }

    /// Asks what became of accepted events and says what is to be recorded. Sends nothing.
    async fn ask(
        &self,
        claim: &Claim,
        accepted: &Accepted,
        lease_ends: Instant,
    ) -> Result<Recording, BatchEnd> {
        let (credential, events) = self.prepare(claim).await?;
        let result = BatchResult {
            sent: claim.events.clone(),
            tries: claim.tries,
            ..BatchResult::default()
        };
        let Some(request) = self.platform.status_request(&accepted.ticket) else {
            error!("the platform of this program takes no tickets");
            return Ok(result.unaskable(accepted, draw()));
        };
        self.check_time(claim, lease_ends).await?;
        let slot = self.platform.spec().credential;
        Ok(match self.context.http.send(request, slot, &credential).await {
            Ok(answer) => {
                let events = in_order(&claim.events, events.events);
                let verdict = self.platform.status_verdict(&accepted.ticket, &events, &answer);
                result.asked(accepted, answer.status, verdict, draw())
            }
            Err(error) => result.unasked(accepted, error, draw()),
        })
    }

    /// Reads the events, sends what can be sent and says what is to be recorded.
    async fn send(&self, claim: &Claim, lease_ends: Instant) -> Result<Recording, BatchEnd> {
        let (credential, events) = self.prepare(claim).await?;
        let (mut result, fit) = sort(claim, events, &*self.platform, now());
        let mut plan = self.platform.plan(&fit);
        for (at, unfit) in std::mem::take(&mut plan.unfit) {
            result.settled.push(Receipt::unfit(fit[at].id, unfit));
        }
        let mut requests = plan.requests.into_iter();
        let Some(request) = requests.next() else { return Ok(result.without_request()) };
        // One answer settles one attempt: further requests of the plan become another batch.
        result.unsent.extend(requests.flat_map(|later| later.events).map(|at| fit[at].id));
        let mut fit: Vec<Option<Event>> = fit.into_iter().map(Some).collect();
        let mut sent: Vec<Event> = request.events.iter().filter_map(|at| fit[*at].take()).collect();
        drop(fit);
        for event in &mut sent {
            event.facts.0.fold();
        }
        result.sent = sent.iter().map(|event| event.id).collect();

        self.check_time(claim, lease_ends).await?;
        let slot = self.platform.spec().credential;
        let began = Instant::now();
        let sent_off = self.context.http.send(request, slot, &credential).await;
        self.meter.took(began.elapsed());
        let doubled = sent.iter().filter(|event| !self.platform.drops_duplicates(event));
        let doubled: Vec<i64> = doubled.map(|event| event.id).collect();
        Ok(match sent_off {
            Ok(answer) => {
                let verdict = self.platform.verdict(&sent, &answer);
                if is_anothers(&verdict) {
                    self.context.http.part();
                }
                result.answered(answer.status, verdict, &doubled, draw())
            }
            Err(error) => {
                if error.certainty() == "unknown" {
                    result.give_up(&doubled);
                }
                result.unanswered(error, draw())
            }
        })
    }

    fn credential(&self) -> Result<Credential, CredentialError> {
        let platform = self.platform.spec().platform;
        self.context.config.credentials.resolve(&self.credential, platform)
    }

    /// Records, however long the database is away: as long as nobody else has claimed the batch the
    /// answer counts, even after the lease.
    async fn record(&self, claim: &Claim, recording: Recording) -> BatchEnd {
        let mut failures = 0;
        let held = loop {
            match self.context.queue.record(claim, &recording).await {
                Ok(held) => break held,
                Err(error) => {
                    let pause = backoff(failures, None, 0.2).min(LONGEST_DATABASE_PAUSE);
                    self.context.metrics.database_error(&error);
                    warn!(error = chain(&error), "answer could not be recorded");
                    sleep(pause).await;
                    failures += 1;
                }
            }
        };
        if !held {
            warn!("lease lost before the answer was recorded");
            return BatchEnd::Dropped;
        }
        log(&recording);
        self.meter.recorded(&recording);
        let waits = recording.due_in > Duration::ZERO && recording.step != Step::Accepted;
        let due_at_once = !waits && !recording.again.is_empty();
        if !recording.again.is_empty() || !recording.accepted.is_empty() {
            self.context.nudge.notify_one();
        }
        BatchEnd::Recorded {
            health: recording.health,
            blocked: recording.step == Step::Blocked,
            more: due_at_once,
        }
    }

    /// Has what still waits for a platform that is back sent within seconds. If that fails it is
    /// due by itself, within minutes.
    async fn hasten(&self) {
        match self.context.queue.hasten(self.id).await {
            Ok(batches) => {
                info!(destination = self.name, batches, "platform is back");
                self.context.nudge.notify_one();
            }
            Err(error) => {
                warn!(error = chain(&error), "waiting batches could not be hastened");
            }
        }
    }

    /// Gives a batch back; if that fails its lease ends by itself.
    async fn release(&self, claim: &Claim) {
        if let Err(error) = self.context.queue.release(claim).await {
            warn!(error = chain(&error), "batch could not be given back; its lease will end");
        }
    }
}

/// How much later than a safety poll a worker that hears nothing from the doorbell asks for work
/// by itself: the bell's session may hang while the others do not.
const UNHEARD: Duration = Duration::from_secs(2);

/// How long a call to the database may still take that was under way when the process was told to end.
pub const PARTING: Duration = Duration::from_secs(2);

/// Longest pause between calls to a database that does not answer.
const LONGEST_DATABASE_PAUSE: Duration = Duration::from_secs(5);

/// Tells events that can be sent from those that end here or are missing.
fn sort(
    claim: &Claim,
    events: ClaimedEvents,
    platform: &dyn Destination,
    now: Timestamp,
) -> (BatchResult, Vec<Event>) {
    let ClaimedEvents { events, cut } = events;
    let mut result = BatchResult { tries: claim.tries, ..BatchResult::default() };
    let mut fit = Vec::with_capacity(events.len());
    let mut missing: std::collections::HashSet<i64> = claim.events.iter().copied().collect();
    for ClaimedEvent { id, event } in events {
        if !missing.remove(&id) {
            continue;
        }
        match event {
            Ok(event) if destination::expired(platform, &event, now) => {
                result.settled.push(Receipt::expired(id));
            }
            Ok(event) => fit.push(event),
            Err(column) => {
                error!(event = id, column, "event cannot be read by this version");
                result.settled.push(Receipt::unreadable(id, column));
            }
        }
    }
    if !missing.is_empty() {
        match cut {
            true => debug!(count = missing.len(), "large events: the rest goes by itself"),
            false => error!(count = missing.len(), "events of the batch are not in the outbox"),
        }
        result.unsent.extend(claim.events.iter().filter(|id| missing.contains(id)));
    }
    (result, fit)
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

/// Whether an answer cannot be its request's, such as one that counts more events.
fn is_anothers(verdict: &Verdict) -> bool {
    let wrong = ["events_received_wrong", "unreadable_answer"];
    matches!(&verdict.decision, Decision::Retry { reason, .. } if wrong.contains(&reason.0.as_str()))
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
    use capi_core::platform;
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
        let platform = platform::build("meta", &json!({"pixel_id": "1"})).expect("settings");
        let now = Timestamp(100 * DAY);
        let unreadable = ClaimedEvent { id: 3, event: Err("currency") };
        let events = vec![event(1, 99 * DAY), event(2, 92 * DAY), unreadable, event(9, 99 * DAY)];
        let events = ClaimedEvents { events, cut: false };
        let (result, fit) = sort(&claim(&[1, 2, 3, 4]), events, &*platform, now);
        assert_eq!(fit.iter().map(|event| event.id).collect::<Vec<_>>(), [1]);
        assert_eq!(result.settled, [Receipt::expired(2), Receipt::unreadable(3, "currency")]);
        assert_eq!(result.unsent, [4], "a missing event stays with the batch");
        assert_eq!(result.tries, 3);
    }

    #[test]
    fn a_signal_tells_when_its_worker_runs_out_of_work() {
        let signal = WorkSignal::new(UsedCredential::default());
        assert_eq!(signal.activity(), Activity::Idle);
        assert!(!signal.set(Activity::Busy));
        assert_eq!(signal.activity(), Activity::Busy);
        assert!(signal.set(Activity::Idle));
        assert!(!signal.set(Activity::Idle));
        assert!(!signal.set(Activity::Closed));
        assert_eq!(signal.activity(), Activity::Closed);
    }
}
