//! Owns the faults: what goes wrong, for whom and how often. Serving them is left to [`super`].

use serde::{Deserialize, Serialize};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Waits `ms`, then goes on as if nothing had happened.
    Latency,
    /// Adds usage headers at `percent` to an otherwise normal answer.
    Usage,
    /// Answers `status` (500) with an error body; 5xx are transient unless `transient` says else.
    Status,
    /// Answers `status` (429) with `code` (4) and the usage headers that belong to the code.
    Throttle,
    /// Answers 401 with 190/463.
    ExpiredToken,
    /// Answers `status` (500) with an HTML page.
    Html,
    /// Drops the connection before reading the body.
    CutBeforeBody,
    /// Accepts the events, then drops the connection without an answer.
    CutAfterBody,
    /// Accepts the events, then drops the connection in the middle of the answer.
    CutMidAnswer,
    /// Accepts the events, then answers only after `ms`.
    Late,
    /// Accepts the events, then claims to have received fewer (`received`, or one less).
    Lie,
    /// Accepts the events, then answers 200 with nothing.
    Empty,
    /// Accepts the events, then answers 200 with half a JSON text.
    Garbage,
    /// Reads the request and never answers.
    Blackhole,
    /// Refuses, with code 100 and no index, each request that holds the event `event_id`.
    Poison,
}

/// One fault on request, as posted to the control API.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    /// HTTP status, where the kind answers with an error.
    pub(super) status: Option<u16>,
    /// Error code, where the kind answers with an error.
    pub(super) code: Option<i32>,
    pub(super) subcode: Option<i32>,
    pub(super) transient: Option<bool>,
    /// Milliseconds to wait.
    #[serde(default)]
    pub(super) ms: u64,
    /// How often it still happens; null means until it is removed.
    pub(super) times: Option<u64>,
    /// Chance that it happens to a request, 0 to 1.
    #[serde(default = "always")]
    pub(super) probability: f64,
    /// Only for this pixel.
    pub(super) pixel: Option<String>,
    /// The poisonous event.
    pub(super) event_id: Option<String>,
    /// Number of events a lie claims.
    pub(super) received: Option<usize>,
    /// Usage in percent.
    pub(super) percent: Option<u16>,
    /// Minutes until access is regained, as the throttle headers say.
    pub(super) minutes: Option<u64>,
    /// Seconds, sent as `Retry-After`.
    pub(super) retry_after: Option<u64>,
}

fn always() -> f64 {
    1.0
}

impl Fault {
    /// Says what is wrong with the fault itself, if anything.
    pub(super) fn problem(&self) -> Option<&'static str> {
        if !(0.0..=1.0).contains(&self.probability) {
            return Some("probability must lie between 0 and 1");
        }
        if self.status.is_some_and(|status| !(200..=599).contains(&status)) {
            return Some("status must lie between 200 and 599");
        }
        if self.kind == Kind::Poison && self.event_id.is_none() {
            return Some("a poison fault needs event_id");
        }
        None
    }
}

/// A fault in force.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Active {
    pub(super) id: u64,
    pub(super) happened: u64,
    #[serde(flatten)]
    pub(super) fault: Fault,
}

/// What shall go wrong with one request.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Total wait before the request is judged, in milliseconds.
    pub(super) latency_ms: u64,
    pub(super) usage_percent: Option<u16>,
    /// At most one fault that replaces or spoils the answer.
    pub(super) spoil: Option<Fault>,
}

/// The faults in force, oldest first.
#[derive(Debug)]
pub(super) struct Faults {
    active: Vec<Active>,
    next_id: u64,
    random: u64,
}

impl Faults {
    /// No faults; `seed` makes the chances repeatable.
    pub(super) fn new(seed: u64) -> Self {
        Self { active: Vec::new(), next_id: 1, random: seed }
    }

    /// Puts a fault in force.
    pub(super) fn add(&mut self, fault: Fault) -> Active {
        let active = Active { id: self.next_id, happened: 0, fault };
        self.next_id += 1;
        self.active.push(active.clone());
        active
    }

    /// Removes one fault, or all; answers how many there were.
    pub(super) fn remove(&mut self, id: Option<u64>) -> usize {
        let before = self.active.len();
        self.active.retain(|active| id.is_some_and(|id| active.id != id));
        before - self.active.len()
    }

    /// The faults in force.
    pub(super) fn list(&self) -> &[Active] {
        &self.active
    }

    /// Decides what goes wrong with the next request to this pixel.
    pub(super) fn plan(&mut self, pixel: &str) -> Plan {
        let mut plan = Plan::default();
        for index in 0..self.active.len() {
            let fault = &self.active[index].fault;
            let applies = fault.kind != Kind::Poison
                && fault.pixel.as_deref().is_none_or(|only| only == pixel)
                && (plan.spoil.is_none() || matches!(fault.kind, Kind::Latency | Kind::Usage));
            let probability = fault.probability;
            if !applies || !self.chance(probability) {
                continue;
            }
            let fault = self.happen(index);
            match fault.kind {
                Kind::Latency => plan.latency_ms += fault.ms,
                Kind::Usage => plan.usage_percent = Some(fault.percent.unwrap_or(95)),
                _ => plan.spoil = Some(fault),
            }
        }
        self.drop_spent();
        plan
    }

    /// Whether one of these events is poisonous.
    pub(super) fn poisoned<'e>(
        &mut self,
        pixel: &str,
        mut ids: impl Iterator<Item = &'e str>,
    ) -> bool {
        let is_poison = |active: &&Active| {
            active.fault.kind == Kind::Poison
                && active.fault.pixel.as_deref().is_none_or(|only| only == pixel)
        };
        if !self.active.iter().any(|active| is_poison(&active)) {
            return false;
        }
        let hit = ids.find_map(|id| {
            self.active.iter().position(|active| {
                is_poison(&active) && active.fault.event_id.as_deref() == Some(id)
            })
        });
        if let Some(index) = hit {
            self.happen(index);
            self.drop_spent();
        }
        hit.is_some()
    }

    fn happen(&mut self, index: usize) -> Fault {
        let active = &mut self.active[index];
        active.happened += 1;
        active.fault.times = active.fault.times.map(|times| times.saturating_sub(1));
        active.fault.clone()
    }

    fn drop_spent(&mut self) {
        self.active.retain(|active| active.fault.times != Some(0));
    }

    fn chance(&mut self, probability: f64) -> bool {
        if probability >= 1.0 {
            return true;
        }
        self.random = self.random.wrapping_add(1);
        // 53 bits are what a double holds exactly.
        let uniform = (scramble(self.random) >> 11) as f64 / (1_u64 << 53) as f64;
        uniform < probability
    }
}

/// Mixes a counter into evenly spread bits (splitmix64).
pub(super) fn scramble(counter: u64) -> u64 {
    let mut z = counter.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Fault, Faults, Kind};

    fn fault(body: serde_json::Value) -> Fault {
        serde_json::from_value(body).expect("a valid fault")
    }

    #[test]
    fn happens_the_given_number_of_times() {
        let mut faults = Faults::new(1);
        faults.add(fault(json!({"kind": "status", "times": 2})));
        let hits = (0..5).filter(|_| faults.plan("1").spoil.is_some()).count();
        assert_eq!(hits, 2);
        assert!(faults.list().is_empty());
    }

    #[test]
    fn latency_adds_to_another_fault() {
        let mut faults = Faults::new(1);
        faults.add(fault(json!({"kind": "html"})));
        faults.add(fault(json!({"kind": "latency", "ms": 5})));
        faults.add(fault(json!({"kind": "lie"})));
        let plan = faults.plan("1");
        assert_eq!(plan.latency_ms, 5);
        assert_eq!(plan.spoil.map(|fault| fault.kind), Some(Kind::Html));
        assert_eq!(faults.list()[2].happened, 0, "only the first fault spoils the answer");
    }

    #[test]
    fn keeps_to_its_pixel() {
        let mut faults = Faults::new(1);
        faults.add(fault(json!({"kind": "blackhole", "pixel": "7"})));
        assert!(faults.plan("8").spoil.is_none());
        assert!(faults.plan("7").spoil.is_some());
    }

    #[test]
    fn probability_is_roughly_kept_and_repeatable() {
        let run = || {
            let mut faults = Faults::new(42);
            faults.add(fault(json!({"kind": "html", "probability": 0.25})));
            (0..4000).filter(|_| faults.plan("1").spoil.is_some()).count()
        };
        assert_eq!(run(), run());
        assert!((800..1200).contains(&run()), "{}", run());
    }

    #[test]
    fn poison_needs_its_event() {
        let mut faults = Faults::new(1);
        faults.add(fault(json!({"kind": "poison", "event_id": "b", "times": 1})));
        assert!(faults.plan("1").spoil.is_none());
        assert!(!faults.poisoned("1", ["a"].into_iter()));
        assert!(faults.poisoned("1", ["a", "b"].into_iter()));
        assert!(!faults.poisoned("1", ["b"].into_iter()));
    }

    #[test]
    fn an_impossible_fault_is_named() {
        assert!(fault(json!({"kind": "lie", "probability": 2})).problem().is_some());
        assert!(fault(json!({"kind": "status", "status": 42})).problem().is_some());
        assert!(fault(json!({"kind": "poison"})).problem().is_some());
        assert!(fault(json!({"kind": "status", "status": 503})).problem().is_none());
    }
}
