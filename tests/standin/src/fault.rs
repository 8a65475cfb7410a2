//! Owns the faults: what goes wrong, for whom and how often. Serving them is left to [`super`].

use serde::{Deserialize, Serialize};

use super::accepted_event::AcceptedEvent;
use super::platform::Platform;
use super::wording::{ErrorData, Language};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Waits `ms`, then goes on as if nothing had happened.
    Latency,
    /// Adds the usage header `header` (app) at `percent` to an otherwise normal answer.
    Usage,
    /// Adds the header of a version that is about to end.
    VersionWarning,
    /// Leaves the positions out of a status that comes later, as Google sometimes does.
    NoIndices,
    /// Puts errors in another `language`, or `error_data` in another form.
    Wording,
    /// Answers `status` (500) with an error body; 5xx are transient unless `transient` says else.
    Status,
    /// Answers `status` (429) with `code` (4) and `header`, else the one that belongs to the code.
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
    /// Changes the audience, then claims that entries were invalid (`received`, or one).
    InvalidEntries,
    /// Accepts the events, then answers 200 with nothing.
    Empty,
    /// Accepts the events, then answers 200 with half a JSON text.
    Garbage,
    /// Reads the request and never answers.
    Blackhole,
    /// Refuses, with code 100 and no index, each request that holds the event `event_id`.
    Poison,
    /// Refuses, with 100/2804072, each request that holds a click to a conversation whose `page_id`
    /// is this one; without `page_id`, whatever the page.
    ForeignPage,
}

impl Kind {
    /// Whether it adds to what else happens, instead of replacing or spoiling the answer.
    fn is_addition(self) -> bool {
        matches!(
            self,
            Self::Latency | Self::Usage | Self::VersionWarning | Self::NoIndices | Self::Wording
        )
    }

    /// Whether it depends on the events of the request.
    fn is_about_events(self) -> bool {
        matches!(self, Self::Poison | Self::ForeignPage)
    }
}

/// A header that tells how much of a limit is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Meter {
    /// `X-App-Usage`
    App,
    /// `X-Ad-Account-Usage`
    AdAccount,
    /// `X-Business-Use-Case-Usage`
    BusinessUseCase,
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
    /// Of an error that is answered: the events are taken all the same.
    #[serde(default)]
    pub(super) stored: bool,
    /// Position of the event that an error of Meta's blames.
    pub(super) blamed: Option<usize>,
    /// Milliseconds to wait.
    #[serde(default)]
    pub(super) ms: u64,
    /// How often it still happens; null means until it is removed.
    pub(super) times: Option<u64>,
    /// Chance that it happens to a request, 0 to 1.
    #[serde(default = "always")]
    pub(super) probability: f64,
    /// Only for this platform; without it, for all but the token endpoints.
    pub(super) platform: Option<Platform>,
    /// Only for this pixel or account.
    pub(super) pixel: Option<String>,
    /// The poisonous event.
    pub(super) event_id: Option<String>,
    /// The page that is not the one of the click.
    pub(super) page_id: Option<String>,
    /// Number of events a lie claims, or of entries that are called invalid.
    pub(super) received: Option<usize>,
    /// Usage in percent.
    pub(super) percent: Option<u16>,
    /// Which usage header.
    pub(super) header: Option<Meter>,
    pub(super) language: Option<Language>,
    pub(super) error_data: Option<ErrorData>,
    /// Minutes until access is regained, as the usage headers say.
    pub(super) minutes: Option<u64>,
    /// Seconds, sent as `Retry-After`.
    pub(super) retry_after: Option<u64>,
}

fn always() -> f64 {
    1.0
}

impl Fault {
    /// Whether this event is the poisonous one, or of the page in question.
    fn is_about(&self, event: &AcceptedEvent) -> bool {
        match (self.kind, &event.page) {
            (Kind::Poison, _) => self.event_id.is_some() && self.event_id == event.id,
            (Kind::ForeignPage, Some(page)) => {
                self.page_id.as_ref().is_none_or(|only| only == page)
            }
            _ => false,
        }
    }

    fn is_for(&self, platform: Platform, pixel: &str) -> bool {
        let is_platform = match self.platform {
            Some(only) => only == platform,
            None => !platform.gives_tokens(),
        };
        is_platform && self.pixel.as_deref().is_none_or(|only| only == pixel)
    }

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
    /// Faults that only add something to the answer.
    pub(super) additions: Vec<Fault>,
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
    pub(super) fn plan(&mut self, platform: Platform, pixel: &str) -> Plan {
        let mut plan = Plan::default();
        for index in 0..self.active.len() {
            let fault = &self.active[index].fault;
            let applies = !fault.kind.is_about_events()
                && fault.is_for(platform, pixel)
                && (plan.spoil.is_none() || fault.kind.is_addition());
            let probability = fault.probability;
            if !applies || !self.chance(probability) {
                continue;
            }
            let fault = self.happen(index);
            match fault.kind {
                Kind::Latency => plan.latency_ms += fault.ms,
                kind if kind.is_addition() => plan.additions.push(fault),
                _ => plan.spoil = Some(fault),
            }
        }
        self.drop_spent();
        plan
    }

    /// The fault that refuses one of these events, if any, and the event's position.
    pub(super) fn refused(
        &mut self,
        platform: Platform,
        pixel: &str,
        accepted: &[AcceptedEvent],
    ) -> Option<(Kind, usize)> {
        let applies = |active: &Active| {
            active.fault.kind.is_about_events() && active.fault.is_for(platform, pixel)
        };
        if !self.active.iter().any(applies) {
            return None;
        }
        let (at, index) = accepted.iter().enumerate().find_map(|(at, event)| {
            let hits = |active: &Active| applies(active) && active.fault.is_about(event);
            Some((at, self.active.iter().position(hits)?))
        })?;
        let kind = self.happen(index).kind;
        self.drop_spent();
        Some((kind, at))
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

    use serde_json::value::RawValue;

    use super::{Fault, Faults, Kind};
    use crate::accepted_event::AcceptedEvent;
    use crate::platform::Platform;

    fn accepted_event(id: &str, page: Option<&str>) -> AcceptedEvent {
        AcceptedEvent {
            raw: RawValue::from_string("{}".to_owned()).expect("JSON"),
            name: "Purchase".to_owned(),
            id: Some(id.to_owned()),
            money: None,
            page: page.map(str::to_owned),
            sameness: None,
        }
    }

    fn fault(body: serde_json::Value) -> Fault {
        serde_json::from_value(body).expect("a valid fault")
    }

    #[test]
    fn happens_the_given_number_of_times() {
        let mut faults = Faults::new(1);
        faults.add(fault(json!({"kind": "status", "times": 2})));
        let hits = (0..5).filter(|_| faults.plan(Platform::Meta, "1").spoil.is_some()).count();
        assert_eq!(hits, 2);
        assert!(faults.list().is_empty());
    }

    #[test]
    fn latency_adds_to_another_fault() {
        let mut faults = Faults::new(1);
        faults.add(fault(json!({"kind": "html"})));
        faults.add(fault(json!({"kind": "latency", "ms": 5})));
        faults.add(fault(json!({"kind": "lie"})));
        let plan = faults.plan(Platform::Meta, "1");
        assert_eq!(plan.latency_ms, 5);
        assert_eq!(plan.spoil.map(|fault| fault.kind), Some(Kind::Html));
        assert_eq!(faults.list()[2].happened, 0, "only the first fault spoils the answer");
    }

    #[test]
    fn keeps_to_its_pixel() {
        let mut faults = Faults::new(1);
        faults.add(fault(json!({"kind": "blackhole", "pixel": "7"})));
        assert!(faults.plan(Platform::Meta, "8").spoil.is_none());
        assert!(faults.plan(Platform::Meta, "7").spoil.is_some());
    }

    #[test]
    fn probability_is_roughly_kept_and_repeatable() {
        let run = || {
            let mut faults = Faults::new(42);
            faults.add(fault(json!({"kind": "html", "probability": 0.25})));
            (0..4000).filter(|_| faults.plan(Platform::Meta, "1").spoil.is_some()).count()
        };
        assert_eq!(run(), run());
        assert!((800..1200).contains(&run()), "{}", run());
    }

    #[test]
    fn poison_needs_its_event() {
        let mut faults = Faults::new(1);
        faults.add(fault(json!({"kind": "poison", "event_id": "b", "times": 1})));
        assert!(faults.plan(Platform::Meta, "1").spoil.is_none());
        let [a, b] = ["a", "b"].map(|id| accepted_event(id, None));
        assert_eq!(faults.refused(Platform::Meta, "1", std::slice::from_ref(&a)), None);
        assert_eq!(faults.refused(Platform::Meta, "1", &[a, b]), Some((Kind::Poison, 1)));
        assert_eq!(faults.refused(Platform::Meta, "1", &[accepted_event("b", None)]), None);
    }

    #[test]
    fn a_foreign_page_needs_a_click_to_it() {
        let mut faults = Faults::new(1);
        faults.add(fault(json!({"kind": "foreign_page", "page_id": "7"})));
        assert_eq!(
            faults.refused(
                Platform::Meta,
                "1",
                &[accepted_event("a", None), accepted_event("b", Some("8"))]
            ),
            None
        );
        let refused = faults.refused(Platform::Meta, "1", &[accepted_event("a", Some("7"))]);
        assert_eq!(refused, Some((Kind::ForeignPage, 0)));
        faults.add(fault(json!({"kind": "foreign_page"})));
        assert!(faults.refused(Platform::Meta, "1", &[accepted_event("b", Some("8"))]).is_some());
    }

    #[test]
    fn an_impossible_fault_is_named() {
        assert!(fault(json!({"kind": "lie", "probability": 2})).problem().is_some());
        assert!(fault(json!({"kind": "status", "status": 42})).problem().is_some());
        assert!(fault(json!({"kind": "poison"})).problem().is_some());
        assert!(fault(json!({"kind": "status", "status": 503})).problem().is_none());
    }
}
