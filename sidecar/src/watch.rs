//! The one loop that looks at the whole now and then: gauges, alerts and their posts. It is no part
//! of the delivery and holds nothing up.

use std::collections::BTreeMap;

use capi_core::platform;
use capi_core::time::Timestamp;
use tokio::sync::watch;
use tokio::time::{Duration, sleep};
use tracing::{debug, error, info, warn};

use crate::alert::{self, Ends, Health};
use crate::queue::QueueError;
use crate::worker::{Context, chain, now};

/// Pause between looks while the receiver lacks something.
const UNTOLD: Duration = Duration::from_secs(5);

/// Looks until `stop` turns true.
pub async fn run(context: Context, mut stop: watch::Receiver<bool>) {
    let settings = context.config.alerts.clone();
    loop {
        // A post that is cut off belongs to nobody after a while and goes again.
        let looked = tokio::select! {
            looked = look(&context) => looked,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let pause = match looked {
            Ok(true) => settings.look_every.min(UNTOLD),
            Ok(false) => settings.look_every,
            Err(error) => {
                context.metrics.database_error(&error);
                warn!(
                    error = chain(&error),
                    "alerts could not be looked after; tried again at the next look"
                );
                settings.look_every
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = context.alarm.notified() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// One look; whether the receiver of alerts still lacks something.
async fn look(context: &Context) -> Result<bool, QueueError> {
    let health = context.queue.health().await?;
    context.vitals.adopted(health.adopted);
    let ends = ends(context, &health);
    publish(context, &health, &ends);
    if !health.adopted {
        // A copy would tell of the original.
        return Ok(false);
    }
    let settings = &context.config.alerts;
    let maintenance = context.vitals.maintenance();
    let findings = alert::judge(&health, &ends, maintenance, settings, now());
    let mut untold = health.untold;
    if !findings.is_empty() {
        let changes = context.queue.alert_note(&findings).await?;
        info!(changes, "alerts have changed");
        untold |= changes > 0;
    }
    match &settings.webhook {
        Some(name) if untold => tell(context, name, &health.instance).await,
        _ => Ok(false),
    }
}

/// Posts what the receiver lacks; whether something is left.
async fn tell(context: &Context, webhook: &str, instance: &str) -> Result<bool, QueueError> {
    let url = match context.config.credentials.receiver(webhook) {
        Ok(url) => url,
        Err(error) => {
            error!(credential = webhook, %error, "alerts cannot be posted");
            return Ok(true);
        }
    };
    while let Some(claimed) = context.queue.alert_claim().await? {
        let (kind, subject) = (claimed.kind.as_str(), claimed.subject.as_str());
        let message = claimed.message(instance, context.config.alerts.format);
        if let Err(error) = context.http.notify(&url, &message).await {
            context.metrics.alert_posts.with_label_values(&["failed"]).inc();
            warn!(kind, subject, %error, "alert could not be posted; it goes again");
            return Ok(true);
        }
        context.metrics.alert_posts.with_label_values(&["taken"]).inc();
        context.queue.alert_told(&claimed).await?;
        debug!(kind, subject, "alert posted");
    }
    Ok(false)
}

/// When credentials and API versions end.
fn ends(context: &Context, health: &Health) -> BTreeMap<String, Ends> {
    let of = |row: &alert::DestinationHealth| {
        let credential = context.config.credentials.expires(&row.credential).unwrap_or_else(|error| {
            warn!(destination = row.name, credential = row.credential, %error, "expiry is not known");
            None
        });
        let platform = platform::build(&row.platform, &row.settings).ok();
        let version = platform.and_then(|platform| platform.api_version()).and_then(|version| {
            let end = Timestamp::parse(&format!("{}T00:00:00Z", version.ends?)).ok()?;
            Some((version.name, end))
        });
        (row.name.clone(), Ends { credential, version })
    };
    health.destinations.iter().map(of).collect()
}

fn publish(context: &Context, health: &Health, ends: &BTreeMap<String, Ends>) {
    let metrics = &context.metrics;
    metrics.forget_destinations();
    for row in &health.destinations {
        let labels = [row.name.as_str(), row.platform.as_str()];
        metrics.active.with_label_values(&labels).set((row.state == "active").into());
        metrics.blocked.with_label_values(&labels).set((row.state == "blocked").into());
        metrics.open_batches.with_label_values(&labels).set(row.open_batches);
        metrics.backlog_seconds.with_label_values(&labels).set(row.backlog_seconds.unwrap_or(0));
        let Some(Ends { credential, version }) = ends.get(&row.name) else { continue };
        if let Some(end) = credential {
            metrics.credential_ends.with_label_values(&labels).set(end.seconds());
        }
        if let Some((_, end)) = version {
            metrics.version_ends.with_label_values(&labels).set(end.seconds());
        }
    }
    metrics.capture_errors.set(health.capture_errors.values().sum());
    for open in &health.alerts {
        metrics.alerts.with_label_values(&[open.kind.as_str()]).inc();
    }
}
