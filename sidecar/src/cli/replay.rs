//! `capi replay`: sends settled events again.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;

use super::way_out::explained;
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
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Send them. Without it they are counted only.
    #[arg(long)]
    yes: bool,
}

/// Counts, or sends again. Exit code 2 says that something would go and was not told to.
pub(super) async fn replay(config: &Config, options: ReplayOptions) -> anyhow::Result<ExitCode> {
    let explain = |error| explained(error, &config.database);
    let ReplayOptions { destination, events, status, reason, since, until, note, dry_run, yes } =
        options;
    let is_there = matches!(status.as_deref(), Some("delivered" | "undecided"));
    let replay = Replay { destination, events, status, reason, since, until, note, dry_run: !yes };
    let session = Session::open(&config.database).await.map_err(explain)?;
    let fates = session.replay(&replay).await.map_err(explain)?;
    std::io::stdout().write_all(table(&fates, !yes).as_bytes())?;
    if yes || dry_run || replayed(&fates) == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    let twice = match is_there {
        true => " The platform has these events, or may have: it gets them a second time.",
        false => "",
    };
    writeln!(std::io::stderr(), "capi: nothing was sent.{twice} Add --yes to send them again.")?;
    Ok(ExitCode::from(2))
}

fn replayed(fates: &[(String, i64)]) -> i64 {
    fates.iter().find(|(fate, _)| fate == "replayed").map_or(0, |(_, number)| *number)
}

/// One line per fate, what goes again first.
fn table(fates: &[(String, i64)], dry_run: bool) -> String {
    let goes = if dry_run { "would go again" } else { "go again" };
    let mut text = format!("{:>10}  {goes}\n", replayed(fates));
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
