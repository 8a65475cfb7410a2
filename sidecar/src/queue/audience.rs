//! The calls of `capi audience sync`. What comes back are digests, never clear text.

use capi_core::money::Amount;
use capi_core::platform::audience::{Change, Member};
use serde_json::Value;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::{QueueError, Session, column, first};

/// A sync that has begun: what the view says, and what is to be sent.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Its number.
    pub sync: i64,
    /// Name of the destination.
    pub destination: String,
    /// Its platform.
    pub platform: String,
    /// Its settings.
    pub destination_settings: Value,
    /// Name of its credential, never the credential.
    pub credential: String,
    /// Settings of the audience.
    pub settings: Value,
    /// Rows of the view.
    pub rows: i64,
    /// Different people who belong to the list.
    pub people: i64,
    /// Rows that do not, by reason.
    pub withheld: Value,
    /// Members to add or renew.
    pub to_add: i64,
    /// Members to remove.
    pub to_remove: i64,
}

/// A member whom a batch is about.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The key in the database.
    pub person: Uuid,
    /// What the platform gets.
    pub member: Member,
    /// Has withdrawn or was forgotten since the view was read: must not be sent.
    pub barred: bool,
}

/// What an answer said, for the record.
#[derive(Clone, Debug, Default)]
pub struct Answered {
    /// HTTP status, if there was an answer.
    pub http_status: Option<i32>,
    /// The platform's id of the request.
    pub request_id: Option<String>,
}

impl Session {
    /// Takes the lock of an audience and reads its view. As a dry run everything is undone.
    pub async fn audience_open(
        &self,
        name: &str,
        worker: &str,
        dry_run: bool,
    ) -> Result<Opened, QueueError> {
        const CALL: &str = "capi.audience_open";
        const SQL: &str = "select sync, destination, platform, destination_settings, credential, \
            settings, rows, people, withheld, to_add, to_remove from capi.audience_open($1, $2)";
        // There may be millions of people.
        self.plain("set statement_timeout = 0").await?;
        if dry_run {
            self.plain("begin").await?;
        }
        let arguments: [(&(dyn ToSql + Sync), Type); 2] =
            [(&name, Type::TEXT), (&worker, Type::TEXT)];
        let rows = self.client.query_typed(SQL, &arguments).await;
        let rows = rows.map_err(|error| QueueError::of_call(CALL, error))?;
        if dry_run {
            self.plain("rollback").await?;
        }
        let row = rows.first().ok_or(QueueError::Form { call: CALL })?;
        Ok(Opened {
            sync: column(row, CALL, "sync")?,
            destination: column(row, CALL, "destination")?,
            platform: column(row, CALL, "platform")?,
            destination_settings: column(row, CALL, "destination_settings")?,
            credential: column(row, CALL, "credential")?,
            settings: column(row, CALL, "settings")?,
            rows: column(row, CALL, "rows")?,
            people: column(row, CALL, "people")?,
            withheld: column(row, CALL, "withheld")?,
            to_add: column(row, CALL, "to_add")?,
            to_remove: column(row, CALL, "to_remove")?,
        })
    }

    /// The next members of a change behind a key, in the order of the keys.
    pub async fn audience_batch(
        &self,
        sync: i64,
        change: Change,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Listed>, QueueError> {
        const CALL: &str = "capi.audience_batch";
        const SQL: &str =
            "select person, digests, value, barred from capi.audience_batch($1, $2, $3, $4)";
        let (change, limit) = (change.as_str(), i32::try_from(limit).unwrap_or(i32::MAX));
        let arguments: [(&(dyn ToSql + Sync), Type); 4] = [
            (&sync, Type::INT8),
            (&change, Type::TEXT),
            (&after, Type::UUID),
            (&limit, Type::INT4),
        ];
        let rows = self.rows(CALL, SQL, &arguments).await?;
        let listed = |row: &tokio_postgres::Row| {
            let value: Option<&str> = column(row, CALL, "value")?;
            let value = value.map(Amount::parse).transpose();
            Ok(Listed {
                person: column(row, CALL, "person")?,
                member: Member {
                    digests: column(row, CALL, "digests")?,
                    value: value.map_err(|_| QueueError::Form { call: CALL })?,
                },
                barred: column(row, CALL, "barred")?,
            })
        };
        rows.iter().map(listed).collect()
    }

    /// Writes down what the platform has acknowledged; the number of members.
    pub async fn audience_record(
        &self,
        sync: i64,
        change: Change,
        people: &[Uuid],
        invalid: u64,
        answered: &Answered,
    ) -> Result<i64, QueueError> {
        const CALL: &str = "capi.audience_record";
        let (change, invalid) = (change.as_str(), i64::try_from(invalid).unwrap_or(i64::MAX));
        let arguments: [(&(dyn ToSql + Sync), Type); 6] = [
            (&sync, Type::INT8),
            (&change, Type::TEXT),
            (&people, Type::UUID_ARRAY),
            (&invalid, Type::INT8),
            (&answered.http_status, Type::INT4),
            (&answered.request_id, Type::TEXT),
        ];
        let statement = "select capi.audience_record($1, $2, $3, $4, $5, $6)";
        first(&self.rows(CALL, statement, &arguments).await?, CALL)
    }

    /// Ends a sync, as failed where there is a reason.
    pub async fn audience_close(
        &self,
        sync: i64,
        reason: Option<&str>,
        answered: &Answered,
    ) -> Result<(), QueueError> {
        const CALL: &str = "capi.audience_close";
        let arguments: [(&(dyn ToSql + Sync), Type); 4] = [
            (&sync, Type::INT8),
            (&reason, Type::TEXT),
            (&answered.http_status, Type::INT4),
            (&answered.request_id, Type::TEXT),
        ];
        let statement = "select capi.audience_close($1, $2, $3, $4)";
        self.rows(CALL, statement, &arguments).await.map(drop)
    }

    async fn plain(&self, statement: &str) -> Result<(), QueueError> {
        let done = self.client.batch_execute(statement).await;
        done.map_err(|error| QueueError::of_call("set", error))
    }
}
