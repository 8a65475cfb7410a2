//! `capi status`: state and counts of each destination, the tasks of maintenance, and who holds locks.

use std::io::Write as _;

use serde_json::Value;

use super::way_out::explained;
use crate::config::Config;
use crate::queue::Session;

/// Columns of the table: key in `capi.status()` and heading.
const COLUMNS: &[(&str, &str)] = &[
    ("destination", "DESTINATION"),
    ("platform", "PLATFORM"),
    ("state", "STATE"),
    ("pending", "PENDING"),
    ("oldest_pending_seconds", "OLDEST (S)"),
    ("open_batches", "BATCHES"),
    ("delivered_24h", "DELIVERED 24H"),
    ("refused_24h", "REFUSED 24H"),
    ("capture_errors", "CAPTURE ERRORS"),
    ("last_success", "LAST SUCCESS"),
    ("pause_reason", "REASON"),
];

/// The same of `capi.maintenance()`.
const TASKS: &[(&str, &str)] = &[
    ("task", "MAINTENANCE"),
    ("last_run", "LAST RUN"),
    ("took_ms", "TOOK (MS)"),
    ("failing_since", "FAILING SINCE"),
    ("problem", "PROBLEM"),
    ("result", "LAST RESULT"),
];

/// The same of `capi.locks()`.
const LOCKS: &[(&str, &str)] =
    &[("lock", "LOCK"), ("id", "OF"), ("pid", "PID"), ("role", "ROLE"), ("since", "SINCE")];

pub(super) async fn status(config: &Config, json: bool) -> anyhow::Result<()> {
    let explain = |error| explained(error, &config.database);
    let session = Session::open(&config.database).await.map_err(explain)?;
    let status = session.status().await.map_err(explain)?;
    let text = if json {
        format!("{status:#}\n")
    } else {
        let tasks = session.maintenance().await.map_err(explain)?;
        let locks = session.locks().await.map_err(explain)?;
        [table(COLUMNS, &status), table(TASKS, &tasks), table(LOCKS, &locks)].join("\n")
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// Rows of objects as aligned columns.
fn table(columns: &[(&str, &str)], rows: &Value) -> String {
    let heading: Vec<String> = columns.iter().map(|(_, heading)| (*heading).to_owned()).collect();
    let cell = |row: &Value, key: &str| match &row[key] {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let row = |row: &Value| columns.iter().map(|(key, _)| cell(row, key)).collect();
    let rows: Vec<Vec<String>> =
        std::iter::once(heading).chain(rows.as_array().into_iter().flatten().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns.len()).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}  "));
        format!("{}\n", cells.collect::<String>().trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_aligned_and_nothing_is_a_dash() {
        let text = table(
            COLUMNS,
            &json!([
                {"destination": "meta-eu", "platform": "meta", "state": "active", "pending": 12,
                 "oldest_pending_seconds": 3, "open_batches": 1, "delivered_24h": 100,
                 "refused_24h": 0, "capture_errors": 0, "last_success": null, "pause_reason": null},
                {"destination": "m", "state": "blocked", "pause_reason": "190"}
            ]),
        );
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("DESTINATION  PLATFORM  STATE"));
        assert!(lines[1].starts_with("meta-eu      meta      active   12"));
        assert!(lines[2].starts_with("m            -         blocked  -"));
        assert!(lines[2].ends_with("190"));
    }
}
