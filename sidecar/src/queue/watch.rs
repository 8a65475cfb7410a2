//! The calls of those who watch: health, alerts, and the end of a block.

use serde::Deserialize as _;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::Json;

use super::{Queue, QueueError, Session, Type, column, first};
use crate::alert::{Claimed, Finding, Health};

impl Queue {
    /// What metrics and alerts are made of.
    pub async fn health(&self) -> Result<Health, QueueError> {
        const CALL: &str = "capi.health";
        let found: Option<Value> =
            first(&self.rows(CALL, "select capi.health()", &[]).await?, CALL)?;
        found
            .and_then(|value| Health::deserialize(value).ok())
            .ok_or(QueueError::Form { call: CALL })
    }

    /// Raises, changes and clears alerts; says how many have changed.
    pub async fn alert_note(&self, findings: &[Finding]) -> Result<i32, QueueError> {
        const CALL: &str = "capi.alert_note";
        first(&self.rows(CALL, "select capi.alert_note($1)", &[&Json(findings)]).await?, CALL)
    }

    /// The next alert that the receiver does not know yet.
    pub async fn alert_claim(&self) -> Result<Option<Claimed>, QueueError> {
        const CALL: &str = "capi.alert_claim";
        const SQL: &str = "select alert, kind, subject, step, detail, told_step is not null as told, \
            extract(epoch from raised_at)::bigint as raised_at, \
            extract(epoch from cleared_at)::bigint as cleared_at from capi.alert_claim()";
        let claimed = |row: &Row| {
            Ok(Claimed {
                alert: column(row, CALL, "alert")?,
                kind: column(row, CALL, "kind")?,
                subject: column(row, CALL, "subject")?,
                step: column(row, CALL, "step")?,
                detail: column(row, CALL, "detail")?,
                told: column(row, CALL, "told")?,
                raised_at: column(row, CALL, "raised_at")?,
                cleared_at: column(row, CALL, "cleared_at")?,
            })
        };
        self.rows(CALL, SQL, &[]).await?.first().map(claimed).transpose()
    }

    /// The receiver of alerts knows this one now.
    pub async fn alert_told(&self, claimed: &Claimed) -> Result<(), QueueError> {
        const CALL: &str = "capi.alert_told";
        const SQL: &str = "select from capi.alert_told($1, $2, $3)";
        let recovered = claimed.cleared_at.is_some();
        self.rows(CALL, SQL, &[&claimed.alert, &claimed.step, &recovered]).await.map(drop)
    }
}

impl Session {
    /// Sends to a destination again that is still in the block of this version.
    pub async fn unblock(
        &self,
        destination: i32,
        version: i32,
        reason: &str,
    ) -> Result<bool, QueueError> {
        const CALL: &str = "capi.unblock";
        let rows = self
            .soon(
                CALL,
                "select capi.unblock($1, $2, $3)",
                &[(&destination, Type::INT4), (&version, Type::INT4), (&reason, Type::TEXT)],
            )
            .await?;
        first(&rows, CALL)
    }
}
