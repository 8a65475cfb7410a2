//! Which alerts there should be, and what they say. Pure: from what the database and the
//! configuration tell to findings, and from an alert to the message.
//!
//! The database holds the alerts, so that each is told once, whoever notices it and how often.

use std::collections::BTreeMap;

use capi_core::destination;
use capi_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::{AlertFormat, Alerts};

/// Kinds of alerts, as in `capi.alert`.
mod kind {
    pub(super) const BLOCKED: &str = "blocked";
    pub(super) const BACKLOG: &str = "backlog";
    pub(super) const REFUSALS: &str = "refusals";
    pub(super) const CREDENTIAL: &str = "credential_expiry";
    pub(super) const VERSION: &str = "version_end";
    pub(super) const CAPTURE: &str = "capture_errors";
    pub(super) const MAINTENANCE: &str = "maintenance";
}

/// Kinds whose subject is a destination.
const OF_DESTINATIONS: &[&str] =
    &[kind::BLOCKED, kind::BACKLOG, kind::REFUSALS, kind::CREDENTIAL, kind::VERSION];

/// Days before an end at which somebody is told, the last one first: each is a step of the alert.
const DAYS_AHEAD: &[i64] = &[0, 1, 7, 14];

/// Fewer settled events than this make no share.
const FEWEST_SETTLED: i64 = 20;

const DAY_US: i64 = 86_400 * 1_000_000;

/// What `capi.health()` tells.
#[derive(Clone, Debug, Deserialize)]
pub struct Health {
    /// Name of this installation.
    pub instance: String,
    /// Whether this database may send.
    pub adopted: bool,
    /// Every destination.
    pub destinations: Vec<DestinationHealth>,
    /// Open capture errors by source.
    pub capture_errors: BTreeMap<String, i64>,
    /// Tables with rows in their default partition.
    pub overflow: Vec<String>,
    /// Open alerts.
    pub alerts: Vec<Open>,
    /// Whether the receiver lacks something.
    pub untold: bool,
}

/// One destination as `capi.health()` tells of it.
#[derive(Clone, Debug, Deserialize)]
pub struct DestinationHealth {
    /// Its name.
    pub name: String,
    /// Its platform.
    pub platform: String,
    /// The platform's settings.
    pub settings: Value,
    /// Name of its credential.
    pub credential: String,
    /// `active`, `paused` or `blocked`.
    pub state: String,
    /// Why it is not active.
    pub reason: Option<String>,
    /// Whether it is active and not only since a moment ago, or has delivered since.
    pub proven: bool,
    /// Batches that are open.
    pub open_batches: i64,
    /// How long the oldest event has waited; none when none waits.
    pub backlog_seconds: Option<i64>,
    /// Events that were delivered or refused within the last hour.
    pub settled_1h: i64,
    /// Those that were refused.
    pub refused_1h: i64,
}

/// An open alert.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Open {
    /// What is wrong.
    pub kind: String,
    /// With what.
    pub subject: String,
    /// How bad.
    pub step: String,
}

/// When a destination's credential and API version end, as far as that is known.
#[derive(Clone, Debug, Default)]
pub struct Ends {
    /// The credential.
    pub credential: Option<Timestamp>,
    /// The API version, with its name.
    pub version: Option<(String, Timestamp)>,
}

/// How one thing is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    kind: &'static str,
    subject: String,
    /// How bad; none when all is well.
    step: Option<String>,
    detail: Value,
}

impl Finding {
    fn new(kind: &'static str, subject: &str, step: Option<String>, detail: Value) -> Self {
        Self { kind, subject: subject.to_owned(), step, detail }
    }
}

/// An alert that somebody is to be told of.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// Its number.
    pub alert: i64,
    /// What is wrong.
    pub kind: String,
    /// With what.
    pub subject: String,
    /// How bad.
    pub step: String,
    /// Codes and numbers.
    pub detail: Value,
    /// Whether the receiver knows of it in another step.
    pub told: bool,
    /// When it was raised, in seconds since 1970.
    pub raised_at: i64,
    /// When it was over.
    pub cleared_at: Option<i64>,
}

/// How everything is, and nothing twice: only what differs from the open alerts.
///
/// `ends` is by destination, `maintenance` how the last one from here went.
pub fn judge(
    health: &Health,
    ends: &BTreeMap<String, Ends>,
    maintenance: Option<bool>,
    settings: &Alerts,
    now: Timestamp,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_open = |kind: &str, subject: &str| {
        health.alerts.iter().any(|a| a.kind == kind && a.subject == subject)
    };
    for row in &health.destinations {
        let ends = ends.get(&row.name).cloned().unwrap_or_default();
        findings.extend(of_destination(row, &ends, settings, now, is_open));
    }
    for (source, count) in &health.capture_errors {
        let detail = json!({"open": count});
        findings.push(Finding::new(kind::CAPTURE, source, Some("open".into()), detail));
    }
    if let Some(well) = maintenance {
        let step = (!well).then(|| "failed".to_owned());
        findings.push(Finding::new(kind::MAINTENANCE, "", step, json!({})));
    }
    let step = (!health.overflow.is_empty()).then(|| "default_partition".to_owned());
    let detail = json!({"tables": health.overflow});
    findings.push(Finding::new(kind::MAINTENANCE, "partitions", step, detail));
    // What is gone cannot be wrong any more.
    for Open { kind, subject, .. } in &health.alerts {
        let gone = match OF_DESTINATIONS.iter().find(|known| *known == kind) {
            Some(kind) => {
                let there = health.destinations.iter().any(|row| row.name == *subject);
                (!there).then_some(*kind)
            }
            None if kind == kind::CAPTURE => {
                (!health.capture_errors.contains_key(subject)).then_some(kind::CAPTURE)
            }
            None => None,
        };
        findings.extend(gone.map(|kind| Finding::new(kind, subject, None, json!({}))));
    }
    findings.retain(|finding| {
        let open =
            health.alerts.iter().find(|a| a.kind == finding.kind && a.subject == finding.subject);
        open.map(|alert| &alert.step) != finding.step.as_ref()
    });
    findings
}

fn of_destination(
    row: &DestinationHealth,
    ends: &Ends,
    settings: &Alerts,
    now: Timestamp,
    is_open: impl Fn(&str, &str) -> bool,
) -> Vec<Finding> {
    let name = row.name.as_str();
    let platform = row.platform.as_str();
    // Whoever pauses a destination knows that it waits.
    let paused = row.state == "paused";
    // Once open, an alert stays until things are half as bad: it must not come and go.
    let limit = |kind, limit: i64| if is_open(kind, name) { limit / 2 } else { limit };

    let blocked = (row.state == "blocked").then(|| row.reason.clone().unwrap_or_default());
    let detail = json!({"platform": platform, "reason": blocked});
    let blocked = Finding::new(kind::BLOCKED, name, blocked, detail);

    let waited = row.backlog_seconds.filter(|_| row.state == "active").unwrap_or(0);
    let longest = i64::try_from(settings.backlog.as_secs()).unwrap_or(i64::MAX);
    let late = (waited > limit(kind::BACKLOG, longest)).then(|| "late".to_owned());
    let detail = json!({"platform": platform, "oldest_seconds": waited});
    let backlog = Finding::new(kind::BACKLOG, name, late, detail);

    let percent = i64::try_from(settings.refused_percent).unwrap_or(100);
    let shared = row.settled_1h >= FEWEST_SETTLED
        && row.refused_1h * 200 >= row.settled_1h * limit(kind::REFUSALS, percent * 2);
    let detail = json!({
        "platform": platform, "refused": row.refused_1h, "of": row.settled_1h,
    });
    let step = (shared && !paused).then(|| "share".to_owned());
    let refusals = Finding::new(kind::REFUSALS, name, step, detail);

    let step = ends.version.as_ref().filter(|_| !paused).and_then(|(_, end)| step_to(*end, now));
    let detail = json!({
        "platform": platform, "version": ends.version.as_ref().map(|(version, _)| version),
    });
    let version = Finding::new(kind::VERSION, name, step, detail);

    let mut findings = vec![backlog, refusals, version];
    if row.proven || row.state != "active" || !is_open(kind::BLOCKED, name) {
        findings.push(blocked);
    }
    // Another sidecar may know of an end where this one does not.
    if let Some(end) = ends.credential {
        let step = step_to(end, now).filter(|_| !paused);
        let detail = json!({"platform": platform, "credential": row.credential});
        findings.push(Finding::new(kind::CREDENTIAL, name, step, detail));
    }
    findings
}

/// The step of something that ends then: the fewest days of the list that are left at most.
pub fn step_to(end: Timestamp, now: Timestamp) -> Option<String> {
    let left = end.micros_since(now);
    DAYS_AHEAD.iter().find(|days| left <= *days * DAY_US).map(ToString::to_string)
}

impl Claimed {
    fn event(&self) -> &'static str {
        match (self.cleared_at, self.told) {
            (Some(_), _) => "recovered",
            (None, true) => "changed",
            (None, false) => "raised",
        }
    }

    /// The sentence for people.
    pub fn text(&self, instance: &str) -> String {
        let subject = self.subject.as_str();
        let number = |key: &str| self.detail[key].as_i64().unwrap_or_default();
        let word = |key: &str| self.detail[key].as_str().unwrap_or_default();
        let (what, way_out) = match self.kind.as_str() {
            kind::BLOCKED => {
                let advice = destination::explain(word("platform"), &self.step);
                let advice = advice.unwrap_or("mend the cause, then resume the destination");
                (format!("{subject} is blocked: {}", self.step), format!("Nothing is lost. {advice}"))
            }
            kind::BACKLOG => (
                format!("{subject}: the oldest event waits for {} minutes", number("oldest_seconds") / 60),
                "See capi status, and the sidecar's log".to_owned(),
            ),
            kind::REFUSALS => (
                format!("{subject} refused {} of {} events within an hour", number("refused"), number("of")),
                format!("select reason, count(*) from capi.delivery where destination = '{subject}' and \
                    status = 'refused' and captured_at > now() - interval '1 day' group by 1"),
            ),
            kind::CREDENTIAL => (
                format!("{subject}: the credential {} {}", word("credential"), self.ends("expires")),
                "Store a new one under the same name, and its own end beside it".to_owned(),
            ),
            kind::VERSION => (
                format!("{subject}: API {} {}", word("version"), self.ends("ends")),
                "Set api_version to a newer one with capi.alter_destination".to_owned(),
            ),
            kind::CAPTURE => (
                format!("{subject}: {} rows could not be captured", number("open")),
                "Their orders are safe. See capi.capture_error, mend the cause, then capi.recapture".to_owned(),
            ),
            _ if self.step == "default_partition" => (
                "rows have gone into a default partition".to_owned(),
                "No partitions were made ahead: look for errors of the maintenance in the log".to_owned(),
            ),
            _ => (
                "the maintenance has failed".to_owned(),
                "The sidecar's log says why".to_owned(),
            ),
        };
        match self.cleared_at {
            Some(at) => {
                let minutes = (at - self.raised_at).max(0) / 60;
                format!("[{instance}] over after {minutes} minutes: {what}")
            }
            None => format!("[{instance}] {what}. {way_out}."),
        }
    }

    fn ends(&self, verb: &str) -> String {
        match self.step.as_str() {
            "0" => format!("{verb} now, or has done so"),
            "1" => format!("{verb} within a day"),
            days => format!("{verb} within {days} days"),
        }
    }

    /// What is posted.
    pub fn message(&self, instance: &str, format: AlertFormat) -> Value {
        let text = self.text(instance);
        match format {
            AlertFormat::Slack => json!({"text": text}),
            AlertFormat::Json => json!({
                "event": self.event(),
                "instance": instance,
                "alert": self.alert,
                "kind": self.kind,
                "subject": self.subject,
                "step": self.step,
                "detail": self.detail,
                "raised_at": self.raised_at,
                "cleared_at": self.cleared_at,
                "text": text,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn settings() -> Alerts {
        Alerts {
            look_every: Duration::from_secs(60),
            webhook: None,
            format: AlertFormat::Slack,
            backlog: Duration::from_secs(900),
            refused_percent: 10,
        }
    }

    fn row(change: impl FnOnce(&mut DestinationHealth)) -> DestinationHealth {
        let mut row = DestinationHealth {
            name: "meta-eu".into(),
            platform: "meta".into(),
            settings: json!({"pixel_id": "1"}),
            credential: "META_TOKEN".into(),
            state: "active".into(),
            reason: None,
            proven: true,
            open_batches: 0,
            backlog_seconds: None,
            settled_1h: 0,
            refused_1h: 0,
        };
        change(&mut row);
        row
    }

    fn health(destinations: Vec<DestinationHealth>, open: &[(&str, &str, &str)]) -> Health {
        let alert = |(kind, subject, step): &(&str, &str, &str)| Open {
            kind: (*kind).into(),
            subject: (*subject).into(),
            step: (*step).into(),
        };
        Health {
            instance: "shop".into(),
            adopted: true,
            destinations,
            capture_errors: BTreeMap::new(),
            overflow: vec![],
            alerts: open.iter().map(alert).collect(),
            untold: false,
        }
    }

    fn now() -> Timestamp {
        Timestamp::parse("2026-11-24T12:00:00Z").expect("a time")
    }

    /// What changes, as `kind subject step`, a dash for cleared.
    fn changes(
        health: &Health,
        ends: &BTreeMap<String, Ends>,
        maintenance: Option<bool>,
    ) -> Vec<String> {
        judge(health, ends, maintenance, &settings(), now())
            .into_iter()
            .map(|f| format!("{} {} {}", f.kind, f.subject, f.step.unwrap_or("-".into())))
            .collect()
    }

    fn of(row: DestinationHealth, open: &[(&str, &str, &str)]) -> Vec<String> {
        changes(&health(vec![row], open), &BTreeMap::new(), None)
    }

    #[test]
    fn all_is_well_and_nothing_is_to_be_told() {
        assert_eq!(of(row(|_| {}), &[]), [""; 0]);
    }

    #[test]
    fn a_block_is_raised_once_changes_with_its_reason_and_is_cleared() {
        let blocked =
            |reason: &str| row(|r| (r.state, r.reason) = ("blocked".into(), Some(reason.into())));
        assert_eq!(of(blocked("190"), &[]), ["blocked meta-eu 190"]);
        assert_eq!(of(blocked("190"), &[("blocked", "meta-eu", "190")]), [""; 0]);
        assert_eq!(of(blocked("10"), &[("blocked", "meta-eu", "190")]), ["blocked meta-eu 10"]);
        assert_eq!(of(row(|_| {}), &[("blocked", "meta-eu", "190")]), ["blocked meta-eu -"]);
        let tried = row(|r| r.proven = false);
        assert_eq!(of(tried, &[("blocked", "meta-eu", "190")]), [""; 0], "it may be blocked again");
        let paused = row(|r| r.state = "paused".into());
        assert_eq!(of(paused, &[("blocked", "meta-eu", "190")]), ["blocked meta-eu -"]);
    }

    #[test]
    fn a_backlog_is_an_alert_until_it_is_half_as_old() {
        let waits = |seconds| row(|r| r.backlog_seconds = Some(seconds));
        let open = [("backlog", "meta-eu", "late")];
        assert_eq!(of(waits(900), &[]), [""; 0]);
        assert_eq!(of(waits(901), &[]), ["backlog meta-eu late"]);
        assert_eq!(of(waits(700), &open), [""; 0]);
        assert_eq!(of(waits(450), &open), ["backlog meta-eu -"]);
        let paused = row(|r| (r.state, r.backlog_seconds) = ("paused".into(), Some(9_000)));
        assert_eq!(of(paused, &[]), [""; 0], "whoever pauses knows");
    }

    #[test]
    fn a_share_of_refusals_needs_enough_events() {
        let refused = |refused, of| row(|r| (r.refused_1h, r.settled_1h) = (refused, of));
        let open = [("refusals", "meta-eu", "share")];
        assert_eq!(of(refused(19, 19), &[]), [""; 0]);
        assert_eq!(of(refused(9, 100), &[]), [""; 0]);
        assert_eq!(of(refused(10, 100), &[]), ["refusals meta-eu share"]);
        assert_eq!(of(refused(6, 100), &open), [""; 0]);
        assert_eq!(of(refused(4, 100), &open), ["refusals meta-eu -"]);
    }

    #[test]
    fn ends_are_told_at_14_7_1_and_0_days() {
        let at = |text: &str| Timestamp::parse(text).expect("a time");
        for (end, step) in [
            ("2026-12-09T12:00:00Z", None),
            ("2026-12-08T12:00:00Z", Some("14")),
            ("2026-12-02T12:00:00Z", Some("14")),
            ("2026-12-01T12:00:00Z", Some("7")),
            ("2026-11-25T12:00:00Z", Some("1")),
            ("2026-11-24T12:00:00Z", Some("0")),
            ("2020-01-01T00:00:00Z", Some("0")),
        ] {
            assert_eq!(step_to(at(end), now()).as_deref(), step, "{end}");
        }
        let end = at("2026-11-30T00:00:00Z");
        let ends = Ends { credential: Some(end), version: Some(("v21.0".into(), end)) };
        let ends = BTreeMap::from([("meta-eu".to_owned(), ends)]);
        let told = changes(&health(vec![row(|_| {})], &[]), &ends, None);
        assert_eq!(told, ["version_end meta-eu 7", "credential_expiry meta-eu 7"]);
        let known = [("credential_expiry", "meta-eu", "14"), ("version_end", "meta-eu", "7")];
        let told = changes(&health(vec![row(|_| {})], &known), &ends, None);
        assert_eq!(told, ["credential_expiry meta-eu 7"]);
        // A sidecar that knows of no end leaves alone what another one has raised.
        let told = changes(&health(vec![row(|_| {})], &known), &BTreeMap::new(), None);
        assert_eq!(told, ["version_end meta-eu -"]);
    }

    #[test]
    fn capture_errors_and_maintenance_come_and_go() {
        let mut ill = health(vec![], &[("capture_errors", "shop.gone", "open")]);
        ill.capture_errors.insert("shop.orders".into(), 3);
        ill.overflow.push("outbox".into());
        assert_eq!(
            changes(&ill, &BTreeMap::new(), Some(false)),
            [
                "capture_errors shop.orders open",
                "maintenance  failed",
                "maintenance partitions default_partition",
                "capture_errors shop.gone -"
            ]
        );
        let well = health(vec![], &[("maintenance", "", "failed")]);
        assert_eq!(changes(&well, &BTreeMap::new(), Some(true)), ["maintenance  -"]);
        assert_eq!(changes(&well, &BTreeMap::new(), None), [""; 0], "nobody knows yet");
    }

    #[test]
    fn what_is_dropped_is_no_trouble_any_more() {
        let open = [("blocked", "gone", "190"), ("credential_expiry", "gone", "7")];
        let told = changes(&health(vec![], &open), &BTreeMap::new(), None);
        assert_eq!(told, ["blocked gone -", "credential_expiry gone -"]);
    }

    fn claimed(kind: &str, step: &str, detail: Value) -> Claimed {
        Claimed {
            alert: 7,
            kind: kind.into(),
            subject: "meta-eu".into(),
            step: step.into(),
            detail,
            told: false,
            raised_at: 1_000,
            cleared_at: None,
        }
    }

    #[test]
    fn a_message_says_what_and_the_way_out() {
        let block = claimed("blocked", "190/463", json!({"platform": "meta"}));
        let text = block.text("shop");
        assert!(
            text.starts_with("[shop] meta-eu is blocked: 190/463. Nothing is lost. "),
            "{text}"
        );
        assert!(text.contains("expired"), "{text}");
        assert_eq!(block.message("shop", AlertFormat::Slack), json!({"text": text}));
        let over = Claimed { cleared_at: Some(1_330), told: true, ..block.clone() };
        assert_eq!(over.text("shop"), "[shop] over after 5 minutes: meta-eu is blocked: 190/463");
        let object = over.message("shop", AlertFormat::Json);
        assert_eq!(object["event"], "recovered");
        assert_eq!(object["raised_at"], 1_000);
        let again = Claimed { told: true, ..block };
        assert_eq!(again.message("shop", AlertFormat::Json)["event"], "changed");
    }

    #[test]
    fn every_kind_has_its_words() {
        for (kind, step, detail, words) in [
            ("backlog", "late", json!({"oldest_seconds": 1_230}), "waits for 20 minutes"),
            ("refusals", "share", json!({"refused": 5, "of": 30}), "refused 5 of 30"),
            (
                "credential_expiry",
                "1",
                json!({"credential": "META_TOKEN"}),
                "META_TOKEN expires within a day",
            ),
            ("version_end", "0", json!({"version": "v21.0"}), "API v21.0 ends now"),
            ("capture_errors", "open", json!({"open": 4}), "4 rows could not be captured"),
            ("maintenance", "failed", json!({}), "maintenance has failed"),
            ("maintenance", "default_partition", json!({}), "default partition"),
        ] {
            let text = claimed(kind, step, detail).text("shop");
            assert!(text.contains(words), "{text}");
        }
    }
}
