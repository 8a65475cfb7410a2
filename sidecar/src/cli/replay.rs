//! `capi replay`: sends settled events again.

use std::io::Write as _;

use clap::Args;

use super::explained;
use crate::config::Config;
use crate::queue::{Replay, Session};

/// Which events go again. What is open, too old, withdrawn or refused by the customer stays out and
/// is counted.
#[derive(Debug, Args)]
pub(super) struct ReplayOptions {
    /// Name of the destination.
    destination: String,
    /// An event, by its number in `capi.delivery`; may be given several times.
    #[arg(long = "event", value_name = "NUMBER", conflicts_with_all = ["status", "reason", "since", "until"])]
    events: Vec<i64>,
    /// Events that ended like this: refused, expired, undecided, delivered, suppressed, unrouted.
    #[arg(long, required_unless_present = "events")]
    status: Option<String>,
    /// Only those with this reason.
    #[arg(long)]
    reason: Option<String>,
    /// Only those captured at this time or later.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only those captured before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Why, for the record in `capi.replays`.
    #[arg(long)]
    note: Option<String>,
    /// Count, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn replay(config: &Config, options: ReplayOptions) -> anyhow::Result<()> {
    let explain = |error| explained(error, &config.database);
    let ReplayOptions { destination, events, status, reason, since, until, note, dry_run } =
        options;
    let replay = Replay { destination, events, status, reason, since, until, note, dry_run };
    let session = Session::open(&config.database).await.map_err(explain)?;
    let fates = session.replay(&replay).await.map_err(explain)?;
    std::io::stdout().write_all(table(&fates, dry_run).as_bytes())?;
    Ok(())
}

/// One line per fate, what goes again first.
fn table(fates: &[(String, i64)], dry_run: bool) -> String {
    let goes = if dry_run { "would go again" } else { "go again" };
    let number = |wanted: &str| fates.iter().find(|(fate, _)| fate == wanted).map_or(0, |f| f.1);
    let mut text = format!("{:>10}  {goes}\n", number("replayed"));
    for (fate, number) in fates.iter().filter(|(fate, _)| fate != "replayed") {
        text.push_str(&format!("{number:>10}  left out: {fate}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_said() {
        let fates =
            [("open".to_owned(), 2), ("replayed".to_owned(), 30), ("too_old".to_owned(), 1)];
        assert_eq!(
            table(&fates, false),
            "        30  go again\n         2  left out: open\n         1  left out: too_old\n"
        );
        assert_eq!(table(&[], true), "         0  would go again\n");
    }
}
