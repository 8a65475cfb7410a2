//! What is counted, in the text format of Prometheus.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::{
    Encoder as _, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};

use crate::queue::QueueError;
use crate::recording::{Recording, Step};
use crate::retry::Health;
use crate::telemetry::names;

/// Upper ends of the buckets for the time of a request, in seconds. Platforms answer within some
/// tenths; `request_timeout` may be 300.
const SECONDS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Every metric of this process.
pub struct Metrics {
    registry: Registry,
    events: IntCounterVec,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    in_flight: IntGaugeVec,
    held_until: IntGaugeVec,
    /// By destination and platform.
    pub active: IntGaugeVec,
    /// By destination and platform.
    pub blocked: IntGaugeVec,
    /// By destination and platform.
    pub backlog_seconds: IntGaugeVec,
    /// By destination and platform.
    pub open_batches: IntGaugeVec,
    /// By destination and platform.
    pub credential_ends: IntGaugeVec,
    /// By destination and platform.
    pub version_ends: IntGaugeVec,
    /// Over all sources.
    pub capture_errors: IntGauge,
    /// 1 or 0.
    pub database_up: IntGauge,
    database_errors: IntCounterVec,
    /// By outcome.
    pub maintenance: IntCounterVec,
    /// By kind.
    pub alerts: IntGaugeVec,
    /// By outcome.
    pub alert_posts: IntCounterVec,
    /// By outcome.
    pub reloads: IntCounterVec,
}

/// The metrics of one destination, so that a worker needs no look-up by name.
#[derive(Clone)]
pub struct Meter {
    metrics: std::sync::Arc<Metrics>,
    labels: [String; 2],
    request_seconds: Histogram,
    in_flight: IntGauge,
}

impl Metrics {
    /// Makes and registers them.
    ///
    /// # Panics
    ///
    /// When two of them bear one name.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let place = ["destination", "platform"];
        let counters = |name, help, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels);
            registered(&registry, counters.expect("name and labels are valid"))
        };
        let gauges = |name, help, labels: &[&str]| {
            let gauges = IntGaugeVec::new(Opts::new(name, help), labels);
            registered(&registry, gauges.expect("name and labels are valid"))
        };
        let gauge = |name, help| {
            registered(&registry, IntGauge::new(name, help).expect("the name is valid"))
        };
        let seconds = HistogramOpts::new(names::REQUEST_SECONDS, "Time of a request.")
            .buckets(SECONDS.into());
        Self {
            events: counters(
                names::EVENTS,
                "Events by how they ended, or again.",
                &["destination", "platform", "outcome"],
            ),
            requests: counters(
                names::REQUESTS,
                "Requests by what the answer meant, and the class of its reason.",
                &["destination", "platform", "outcome", "class"],
            ),
            request_seconds: registered(
                &registry,
                HistogramVec::new(seconds, &place).expect("name and labels are valid"),
            ),
            in_flight: gauges(names::IN_FLIGHT, "Batches claimed and not yet recorded.", &place),
            held_until: gauges(
                names::HELD_UNTIL,
                "Unix time until which a destination is left alone.",
                &place,
            ),
            active: gauges(names::ACTIVE, "1 while a destination sends.", &place),
            blocked: gauges(names::BLOCKED, "1 while a destination is blocked.", &place),
            backlog_seconds: gauges(
                names::BACKLOG_SECONDS,
                "How long the oldest event has waited.",
                &place,
            ),
            open_batches: gauges(names::OPEN_BATCHES, "Batches that are open.", &place),
            credential_ends: gauges(
                names::CREDENTIAL_ENDS,
                "Unix time at which a credential ends.",
                &place,
            ),
            version_ends: gauges(
                names::VERSION_ENDS,
                "Unix time at which an API version ends.",
                &place,
            ),
            capture_errors: gauge(names::CAPTURE_ERRORS, "Failed captures that are open."),
            database_up: gauge(names::DATABASE_UP, "1 while the database is connected."),
            database_errors: counters(
                names::DATABASE_ERRORS,
                "Failed calls to the database by class.",
                &["class"],
            ),
            maintenance: counters(
                names::MAINTENANCE,
                "Runs of the maintenance by outcome.",
                &["outcome"],
            ),
            alerts: gauges(names::ALERTS, "Open alerts.", &["kind"]),
            alert_posts: counters(names::ALERT_POSTS, "Posts of alerts by outcome.", &["outcome"]),
            reloads: counters(
                names::RELOADS,
                "Reloads of the configuration by outcome.",
                &["outcome"],
            ),
            registry,
        }
    }

    /// All of them as text.
    ///
    /// # Panics
    ///
    /// Never: what is registered can be written.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        let written = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        written.expect("registered metrics can be written");
        String::from_utf8(text).expect("names and numbers are text")
    }

    /// Takes note of a failed call to the database.
    pub fn database_error(&self, error: &QueueError) {
        let class = match error {
            QueueError::Unreachable(_) => "unreachable",
            QueueError::Refused { .. } => "refused",
            QueueError::Call { .. } => "call",
            QueueError::Slow { .. } => "slow",
            QueueError::Form { .. } => "form",
            QueueError::Tls(_) => "tls",
        };
        self.database_errors.with_label_values(&[class]).inc();
    }

    /// Forgets the gauges of destinations, before they are set anew: one may be gone.
    pub fn forget_destinations(&self) {
        for gauges in [
            &self.active,
            &self.blocked,
            &self.backlog_seconds,
            &self.open_batches,
            &self.credential_ends,
            &self.version_ends,
            &self.alerts,
        ] {
            gauges.reset();
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn registered<T: prometheus::core::Collector + Clone + 'static>(registry: &Registry, one: T) -> T {
    registry.register(Box::new(one.clone())).expect("each name is used once");
    one
}

impl Meter {
    /// The metrics of this destination.
    pub fn new(metrics: &std::sync::Arc<Metrics>, destination: &str, platform: &str) -> Self {
        let labels = [destination, platform];
        Self {
            request_seconds: metrics.request_seconds.with_label_values(&labels),
            in_flight: metrics.in_flight.with_label_values(&labels),
            labels: labels.map(str::to_owned),
            metrics: metrics.clone(),
        }
    }

    /// A batch is under way until the guard is dropped.
    pub fn in_flight(&self) -> impl Drop + Send + use<> {
        struct Landed(IntGauge);
        impl Drop for Landed {
            fn drop(&mut self) {
                self.0.dec();
            }
        }
        self.in_flight.inc();
        Landed(self.in_flight.clone())
    }

    /// A request took this long.
    pub fn took(&self, time: Duration) {
        self.request_seconds.observe(time.as_secs_f64());
    }

    /// A batch came down and is on record.
    pub fn recorded(&self, recording: &Recording) {
        let [destination, platform] = self.labels.each_ref().map(String::as_str);
        let events = |outcome: &str, count: usize| {
            if count > 0 {
                let labels = [destination, platform, outcome];
                self.metrics.events.with_label_values(&labels).inc_by(count as u64);
            }
        };
        for settled in &recording.settled {
            events(settled.status.as_str(), 1);
        }
        events("again", recording.again.len());
        let labels = [destination, platform, recording.step.as_str(), class(recording)];
        self.metrics.requests.with_label_values(&labels).inc();
        if let Health::Hold(pause) = recording.health {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let until = since.saturating_add(pause).as_secs();
            let held = self.metrics.held_until.with_label_values(&self.labels.each_ref());
            held.set(i64::try_from(until).unwrap_or(i64::MAX));
        }
    }
}

/// The class of a recording's reason: few words, whatever platforms invent.
fn class(recording: &Recording) -> &'static str {
    let Some(reason) = &recording.reason else { return "none" };
    match (reason.0.as_str(), recording.step) {
        ("connect_failed", _) => "no_connection",
        ("answer_timeout", _) => "timeout",
        ("answer_lost" | "answer_repeated", _) => "connection_lost",
        (_, Step::Wait) => "throttled",
        (_, Step::Blocked) => "account",
        (_, Step::Retry | Step::Accepted) => "platform",
        (_, Step::Each | Step::Split) => "events",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use capi_core::destination::{Decision, Outcome, Reason, Verdict};
    use serde_json::json;

    use crate::recording::BatchResult;

    fn recording(decision: Decision) -> Recording {
        let verdict = Verdict { decision, hold: None, request_id: None, summary: json!({}) };
        let flight = BatchResult { sent: vec![1, 2], ..BatchResult::default() };
        flight.answered(200, verdict, &[], 0.5)
    }

    #[test]
    fn a_recording_is_counted_by_event_and_by_request() {
        let metrics = Arc::new(Metrics::new());
        let meter = Meter::new(&metrics, "meta-eu", "meta");
        let reason = Reason::new("100/2804003");
        let outcomes = vec![Outcome::Delivered, Outcome::Refused(reason.clone())];
        meter.recorded(&recording(Decision::Each(outcomes)));
        let after = Duration::from_secs(60);
        meter.recorded(&recording(Decision::Wait { reason, after }));
        meter.took(Duration::from_millis(30));
        let text = metrics.text();
        for line in [
            r#"capi_events_total{destination="meta-eu",outcome="delivered",platform="meta"} 1"#,
            r#"capi_events_total{destination="meta-eu",outcome="refused",platform="meta"} 1"#,
            r#"capi_events_total{destination="meta-eu",outcome="again",platform="meta"} 2"#,
            r#"capi_requests_total{class="events",destination="meta-eu",outcome="each",platform="meta"} 1"#,
            r#"capi_requests_total{class="throttled",destination="meta-eu",outcome="wait",platform="meta"} 1"#,
            r#"capi_request_duration_seconds_bucket{destination="meta-eu",platform="meta",le="0.05"} 1"#,
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!text.contains("2804003"), "{text}");
    }

    #[test]
    fn a_flight_lands_whatever_happens() {
        let metrics = Arc::new(Metrics::new());
        let meter = Meter::new(&metrics, "meta-eu", "meta");
        let flight = meter.in_flight();
        assert_eq!(meter.in_flight.get(), 1);
        drop(flight);
        assert_eq!(meter.in_flight.get(), 0);
    }

    #[test]
    fn every_name_of_the_list_is_a_metric_and_documented() {
        let metrics = Metrics::new();
        let page = include_str!("../../docs/reference/monitoring.md");
        for name in names::ALL {
            assert!(
                page.contains(&format!("`{name}`")),
                "docs/reference/monitoring.md lacks {name}"
            );
            // Registered already: a second one of this name is refused.
            let again = IntGauge::new(*name, "again").expect("a name");
            assert!(
                metrics.registry.register(Box::new(again)).is_err(),
                "{name} is not registered"
            );
        }
    }
}
