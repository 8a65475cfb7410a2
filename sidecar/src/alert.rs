//! Which alerts there should be, and what they say. Pure: from what the database and the
//! configuration tell to findings, and from an alert to the message.
//!
//! The database holds the alerts, so that each is told once, whoever notices it and how often.

use std::collections::BTreeMap;

use capi_core::platform;
use capi_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::{AlertFormat, Alerts};

/// What an alert is about, as in `capi.alert`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A destination is blocked.
    Blocked,
    /// Events of a destination wait too long.
    Backlog,
    /// A destination refuses too many events.
    Refusals,
    /// A credential ends.
    Credential,
    /// An API version ends.
    Version,
    /// Rows of a source cannot be captured.
    Capture,
    /// Rows of a source cannot be compared with the outbox.
    Sweep,
    /// The maintenance fails, or rows are in a default partition.
    Maintenance,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Blocked,
        Self::Backlog,
        Self::Refusals,
        Self::Credential,
        Self::Version,
        Self::Capture,
        Self::Sweep,
        Self::Maintenance,
    ];

    /// The word in the database and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Backlog => "backlog",
            Self::Refusals => "refusals",
            Self::Credential => "credential_expiry",
            Self::Version => "version_end",
            Self::Capture => "capture_errors",
            Self::Sweep => "sweep",
            Self::Maintenance => "maintenance",
        }
    }

    /// Reads the word; none for one of a newer program.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

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
    /// Sources whose rows cannot all be compared with the outbox, and why.
    #[serde(default)]
    pub troubles: BTreeMap<String, String>,
    /// Tasks of maintenance that fail, and why.
    #[serde(default)]
    pub failing: BTreeMap<String, String>,
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
    fn new(kind: Kind, subject: &str, step: Option<String>, detail: Value) -> Self {
        Self { kind: kind.as_str(), subject: subject.to_owned(), step, detail }
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
    let is_open = |kind: Kind, subject: &str| {
        health.alerts.iter().any(|a| a.kind == kind.as_str() && a.subject == subject)
    };
    for row in &health.destinations {
        let ends = ends.get(&row.name).cloned().unwrap_or_default();
        findings.extend(of_destination(row, &ends, settings, now, is_open));
    }
    for (source, count) in &health.capture_errors {
        let detail = json!({"open": count});
        findings.push(Finding::new(Kind::Capture, source, Some("open".into()), detail));
    }
    for (source, trouble) in &health.troubles {
        let detail = json!({"trouble": trouble});
        findings.push(Finding::new(Kind::Sweep, source, Some("trouble".into()), detail));
    }
    // One that went through from here has run every task; what they said is in the database.
    if maintenance.is_some() || !health.failing.is_empty() {
        let is_bad = maintenance == Some(false) || !health.failing.is_empty();
        let step = is_bad.then(|| "failed".to_owned());
        let detail = json!({"tasks": health.failing});
        findings.push(Finding::new(Kind::Maintenance, "", step, detail));
    }
    let step = (!health.overflow.is_empty()).then(|| "default_partition".to_owned());
    let detail = json!({"tables": health.overflow});
    findings.push(Finding::new(Kind::Maintenance, "partitions", step, detail));
    // What is gone cannot be wrong any more.
    for Open { kind, subject, .. } in &health.alerts {
        let Some(kind) = Kind::parse(kind) else { continue };
        let is_there = match kind {
            Kind::Blocked | Kind::Backlog | Kind::Refusals | Kind::Credential | Kind::Version => {
                health.destinations.iter().any(|row| row.name == *subject)
            }
            Kind::Capture => health.capture_errors.contains_key(subject),
            Kind::Sweep => health.troubles.contains_key(subject),
            Kind::Maintenance => true,
        };
        if !is_there {
            findings.push(Finding::new(kind, subject, None, json!({})));
        }
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
    is_open: impl Fn(Kind, &str) -> bool,
) -> Vec<Finding> {
    let name = row.name.as_str();
    let platform = row.platform.as_str();
    // Whoever pauses a destination knows that it waits.
    let paused = row.state == "paused";
    // Once open, an alert stays until things are half as bad: it must not come and go.
    let limit = |kind: Kind, limit: i64| if is_open(kind, name) { limit / 2 } else { limit };

    let blocked = (row.state == "blocked").then(|| row.reason.clone().unwrap_or_default());
    let detail = json!({"platform": platform, "reason": blocked});
    let blocked = Finding::new(Kind::Blocked, name, blocked, detail);

    let waited = row.backlog_seconds.filter(|_| row.state == "active").unwrap_or(0);
    let longest = i64::try_from(settings.backlog.as_secs()).unwrap_or(i64::MAX);
    let late = (waited > limit(Kind::Backlog, longest)).then(|| "late".to_owned());
    let detail = json!({"platform": platform, "oldest_seconds": waited});
    let backlog = Finding::new(Kind::Backlog, name, late, detail);

    let percent = i64::try_from(settings.refused_percent).unwrap_or(100);
    let shared = row.settled_1h >= FEWEST_SETTLED
        && row.refused_1h.saturating_mul(200)
            >= row.settled_1h.saturating_mul(limit(Kind::Refusals, percent * 2));
    let detail = json!({
        "platform": platform, "refused": row.refused_1h, "of": row.settled_1h,
    });
    let step = (shared && !paused).then(|| "share".to_owned());
    let refusals = Finding::new(Kind::Refusals, name, step, detail);

    let step = ends.version.as_ref().filter(|_| !paused).and_then(|(_, end)| step_to(*end, now));
    let detail = json!({
        "platform": platform, "version": ends.version.as_ref().map(|(version, _)| version),
    });
    let version = Finding::new(Kind::Version, name, step, detail);

    let mut findings = vec![backlog, refusals, version];
    if row.proven || row.state != "active" || !is_open(Kind::Blocked, name) {
        findings.push(blocked);
    }
    // Another sidecar may know of an end where this one does not.
    if let Some(end) = ends.credential {
        let step = step_to(end, now).filter(|_| !paused);
        let detail = json!({"platform": platform, "credential": row.credential});
        findings.push(Finding::new(Kind::Credential, name, step, detail));
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
        let Some(kind) = Kind::parse(&self.kind) else {
            return format!(
                "[{instance}] {}: an alert that this program does not know; see capi.alerts.",
                self.kind
            );
        };
        let (what, way_out) = match kind {
            Kind::Blocked => {
                let advice = platform::explain(word("platform"), &self.step);
                let advice = advice.unwrap_or("mend the cause, then resume the destination");
                (format!("{subject} is blocked: {}", self.step), format!("Nothing is lost. {advice}"))
            }
            Kind::Backlog => (
                format!("{subject}: the oldest event waits for {} minutes", number("oldest_seconds") / 60),
                "See capi status, and the sidecar's log".to_owned(),
            ),
            Kind::Refusals => (
                format!("{subject} refused {} of {} events within an hour", number("refused"), number("of")),
                format!("select reason, count(*) from capi.delivery where destination = '{subject}' and \
                    status = 'refused' and captured_at > now() - interval '1 day' group by 1"),
            ),
            Kind::Credential => (
                format!("{subject}: the credential {} {}", word("credential"), self.ends("expires")),
                "Store a new one under the same name, and its own end beside it".to_owned(),
            ),
            Kind::Version => (
                format!("{subject}: API {} {}", word("version"), self.ends("ends")),
                "Set api_version to a newer one with capi.alter_destination".to_owned(),
            ),
            Kind::Capture => (
                format!("{subject}: {} rows could not be captured", number("open")),
                "Their orders are safe. See capi.capture_error, mend the cause, then capi.recapture".to_owned(),
            ),
            Kind::Sweep => (
                format!("{subject}: not every row can be compared with the outbox: {}", word("trouble")),
                "What the triggers missed there stays missing until it is mended. See capi.sweeps; capi.sweep tries \
                    again at once; capi.untrack if the table or its view is gone for good".to_owned(),
            ),
            Kind::Maintenance if self.step == "default_partition" => (
                "rows have gone into a default partition".to_owned(),
                "No partitions were made ahead: look for errors of the maintenance in the log".to_owned(),
            ),
            Kind::Maintenance => (
                match self.detail["tasks"].as_object() {
                    Some(tasks) if !tasks.is_empty() => {
                        let tasks: Vec<&str> = tasks.keys().map(String::as_str).collect();
                        format!("the maintenance has failed: {}", tasks.join(", "))
                    }
                    _ => "the maintenance has failed".to_owned(),
                },
                "capi.maintenance() and the sidecar's log say why".to_owned(),
            ),
        };
        match self.cleared_at {
            Some(at) => {
                let minutes = at.saturating_sub(self.raised_at).max(0) / 60;
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
        // A name with a line break would begin a line of its own, in a chat or in a log.
        let text = one_line(&self.text(instance));
        match format {
            AlertFormat::Slack => json!({"text": slack(&text)}),
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

/// The text on one line: whatever breaks or hides a line is a blank.
pub(crate) fn one_line(text: &str) -> String {
    let breaks = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.replace(breaks, " ")
}

/// The text for Slack: `&`, `<` and `>` are its control characters, so that a table named `<!channel>`
/// would call everybody (docs.slack.dev/messaging/formatting-message-text,
/// read 2026-11-30).
fn slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_kind_is_one_that_the_table_takes_and_says_what_it_is() {
        let table = include_str!("../../sql/tables/alert.sql");
        let known = table.split("kind in (").nth(1).and_then(|rest| rest.split(')').next());
        let known: Vec<&str> =
            known.expect("a list").split(',').map(|word| word.trim().trim_matches('\'')).collect();
        assert_eq!(known, Kind::ALL.map(Kind::as_str));
        let mut texts = Vec::new();
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
            let alert = Claimed {
                alert: 1,
                kind: kind.as_str().to_owned(),
                subject: "meta-eu".to_owned(),
                step: "1".to_owned(),
                detail: json!({}),
                told: false,
                raised_at: 0,
                cleared_at: None,
            };
            texts.push(alert.text("shop"));
        }
        let count = texts.len();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), count, "{texts:#?}");
    }

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
            troubles: BTreeMap::new(),
            failing: BTreeMap::new(),
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
        assert_eq!(block.message("shop", AlertFormat::Slack), json!({"text": slack(&text)}));
        let over = Claimed { cleared_at: Some(1_330), told: true, ..block.clone() };
        assert_eq!(over.text("shop"), "[shop] over after 5 minutes: meta-eu is blocked: 190/463");
        let object = over.message("shop", AlertFormat::Json);
        assert_eq!(object["event"], "recovered");
        assert_eq!(object["raised_at"], 1_000);
        let again = Claimed { told: true, ..block };
        assert_eq!(again.message("shop", AlertFormat::Json)["event"], "changed");
    }

    #[test]
    fn a_name_calls_nobody_and_begins_no_line() {
        let capture = Claimed {
            subject: "<!channel> & <https://x.example|here>\n[shop] over\u{2028}now".into(),
            ..claimed("capture_errors", "open", json!({"open": 4}))
        };
        let slack = capture.message("<@U1>", AlertFormat::Slack)["text"].clone();
        let slack = slack.as_str().expect("a text").to_owned();
        assert!(
            slack.starts_with(
                "[&lt;@U1&gt;] &lt;!channel&gt; &amp; &lt;https://x.example|here&gt; [shop] over now: 4"
            ),
            "{slack}"
        );
        let object = capture.message("shop", AlertFormat::Json);
        let text = object["text"].as_str().expect("a text");
        assert!(text.contains("<!channel> &") && !text.contains(['\n', '\u{2028}']), "{text}");
        assert_eq!(object["subject"], capture.subject, "as it is, for programs");
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
