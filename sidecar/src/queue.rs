//! Every SQL statement that the sidecar issues. It calls functions and touches no table.
//!
//! Each call is a transaction of its own. Errors hold the SQLSTATE, and a message only where the
//! message speaks of schema, rights or connection and not of data.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use capi_core::destination::Ticket;
use capi_core::event::{Event, packed};
use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
};
use futures_util::TryStreamExt as _;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{Notify, OnceCell};
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::types::{FromSql, Json, ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

use crate::config::Database;
use crate::handshake::{Handshake, Misfit};
use crate::recording::{Accepted, Recording};
use crate::retry::Health;
use crate::tls::{self, TlsError};

pub mod audience;
mod watch;

/// How long a call may take before the server, and a little later this side, gives up.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a step of maintenance may take: it may have a week of events to settle.
const MAINTENANCE_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// The same, for the server.
const MAINTENANCE: &str = "set local statement_timeout = '10min'";

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// After this long without a word from the other side a connection is dead. Short, because a
/// bell that nobody hears makes commits ring it in vain.
const SILENCE: Duration = Duration::from_secs(10);

/// Most bytes of packed events that one request is made of: what bounds the memory, together with the
/// number of requests in flight. A thousand events of a shop take a tenth of it.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// How long a call of the bell's session may take, or the way to one: a session that hangs is given
/// up while the workers go on.
const BELL_TIMEOUT: Duration = Duration::from_secs(8);

/// What every connection is told first. Planning is cheap here and compiling it never pays. Timeouts
/// that somebody has set for the role or the database are meant for people: the bell's session is idle
/// by trade. Of those that are set, each server knows its own.
const PREPARE: &str = "set statement_timeout = '30s'; set jit = off; \
    set default_transaction_isolation = 'read committed'; \
    set search_path = pg_catalog, pg_temp; \
    select set_config(name, '0', false) from pg_settings where name in ('idle_session_timeout', \
        'idle_in_transaction_session_timeout', 'transaction_timeout', 'lock_timeout') \
        and setting <> '0'";

/// Why a call brought no result.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// There is no connection.
    #[error("cannot reach the database")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server refused the connection.
    #[error("the database refuses the connection: {message} (SQLSTATE {code})")]
    Refused {
        /// SQLSTATE.
        code: String,
        /// The server's words; they speak of role and database.
        message: String,
    },
    /// The server refused the call.
    #[error("{call} failed with SQLSTATE {code}{}", .message.as_ref().map(|m| format!(": {m}")).unwrap_or_default())]
    Call {
        /// Which call.
        call: &'static str,
        /// SQLSTATE.
        code: String,
        /// The server's words, where they cannot quote data.
        message: Option<String>,
    },
    /// The call took too long.
    #[error("{call} got no answer in time")]
    Slow {
        /// Which call.
        call: &'static str,
    },
    /// The call answered in another form than this program knows.
    #[error("{call} answered in an unknown form")]
    Form {
        /// Which call.
        call: &'static str,
    },
    /// There is no TLS setup for the database.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl QueueError {
    /// The SQLSTATE, if the server gave one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } | Self::Call { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether the connection was lost or refused, whatever was asked.
    pub fn is_about_connection(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Refused { .. } => true,
            Self::Call { code, .. } => {
                ["08", "57P0", "53300"].iter().any(|of| code.starts_with(of))
            }
            Self::Slow { .. } | Self::Form { .. } | Self::Tls(_) => false,
        }
    }

    fn of_call(call: &'static str, error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(db) => {
                let code = db.code().code().to_owned();
                // Connection, role, database, missing functions and rights, shutdown.
                let of_schema = ["08", "28", "3D", "3F", "42", "53", "57", "0A"];
                let speaks_of_schema = of_schema.iter().any(|class| code.starts_with(class));
                let message = speaks_of_schema.then(|| db.message().to_owned());
                Self::Call { call, code, message }
            }
            None if error.is_closed() => Self::Unreachable(Box::new(error)),
            None => match std::error::Error::source(&error) {
                Some(source) if source.is::<std::io::Error>() => Self::Unreachable(Box::new(error)),
                _ => Self::Form { call },
            },
        }
    }

    fn of_connection(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(db) => Self::Refused {
                code: db.code().code().to_owned(),
                message: db.message().to_owned(),
            },
            None => Self::Unreachable(Box::new(error)),
        }
    }

    fn of_pool(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => Self::of_connection(error),
            PoolError::PostCreateHook(HookError::Backend(error)) => Self::of_connection(error),
            other => Self::Unreachable(Box::new(other)),
        }
    }
}

/// A destination as `capi.destinations()` lists it.
#[derive(Clone, Debug)]
pub struct DestinationRow {
    /// Its number.
    pub destination: i32,
    /// Its name.
    pub name: String,
    /// Its platform.
    pub platform: String,
    /// The platform's settings.
    pub settings: Value,
    /// Name of its credential, never the credential.
    pub credential: String,
    /// `active`, `paused` or `blocked`.
    pub state: String,
    /// Why it is not active.
    pub pause_reason: Option<String>,
    /// Rises with every change.
    pub version: i32,
}

/// An active destination as `capi.poll()` lists it.
#[derive(Clone, Copy, Debug)]
pub struct Polled {
    /// Its number.
    pub destination: i32,
    /// Rises with every change.
    pub version: i32,
    /// Whether there is something to claim.
    pub work: bool,
    /// Time until the next batch is due.
    pub due_in: Option<Duration>,
}

/// A claimed batch.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The batch.
    pub batch: i64,
    /// What guards it against a worker that lost its lease.
    pub token: Uuid,
    /// The attempt that was opened.
    pub attempt: i64,
    /// Earlier attempts that count.
    pub tries: u32,
    /// Its events; of accepted ones in the order of their request.
    pub events: Vec<i64>,
    /// The platform has accepted the events and is to be asked what became of them.
    pub accepted: Option<Accepted>,
}

/// An event of a claimed batch.
#[derive(Debug)]
pub struct ClaimedEvent {
    /// The outbox id.
    pub id: i64,
    /// The event, or the column that this program cannot read.
    pub event: Result<Event, &'static str>,
}

/// The events of a claimed batch.
#[derive(Debug, Default)]
pub struct ClaimedEvents {
    /// In order.
    pub events: Vec<ClaimedEvent>,
    /// Whether the batch holds more, for which there was no room.
    pub cut: bool,
}

/// Which settled events go again.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// Name of the destination.
    pub destination: String,
    /// These, by number; none: those that the rest describes.
    pub events: Vec<i64>,
    /// Their final status.
    pub status: Option<String>,
    /// Their reason.
    pub reason: Option<String>,
    /// Captured at this time or later.
    pub since: Option<String>,
    /// Captured before this time.
    pub until: Option<String>,
    /// Why, for the record.
    pub note: Option<String>,
    /// Count, and change nothing.
    pub dry_run: bool,
}

/// How a test of a destination ended, as `capi.attempt` has it.
#[derive(Clone, Debug)]
pub struct TestEnd {
    /// The word of the decision; `unknown` without an answer.
    pub outcome: &'static str,
    /// HTTP status, if there was an answer.
    pub http_status: Option<i32>,
    /// The platform's id of the request.
    pub request_id: Option<String>,
    /// Why it was not delivered.
    pub reason: Option<String>,
    /// The answer reduced to codes and counts.
    pub answer: Value,
}

/// What `capi check` looks up besides the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The role of the session.
    pub role: String,
    /// Whether it is a superuser.
    pub superuser: bool,
    /// Version of the installed extension.
    pub extension: Option<String>,
    /// Whether the server's packages hold the extension.
    pub available: bool,
    /// Whether `capi.setup()` made its tables.
    pub set_up: bool,
    /// Functions that the role may not execute.
    pub denied: Vec<String>,
}

/// Connections for the workers.
#[derive(Clone)]
pub struct Queue {
    pool: Pool,
    /// Whose destinations the workers know, once that is known.
    database: Arc<OnceLock<i64>>,
}

/// One connection of its own: for the bell, which belongs to a session, and for short commands.
pub struct Session {
    client: Client,
    poll: OnceCell<Statement>,
    rung: Arc<Notify>,
}

/// The driver's configuration, the same for every connection.
fn driver(database: &Database) -> tokio_postgres::Config {
    let mut driver = database.driver();
    driver
        .application_name("pg_capi")
        // Of several hosts only the one that takes writes will do: a standby cannot claim.
        .target_session_attrs(TargetSessionAttrs::ReadWrite)
        .connect_timeout(CONNECT_TIMEOUT)
        .keepalives(true)
        .keepalives_idle(SILENCE / 2)
        .keepalives_interval(Duration::from_secs(2))
        .keepalives_retries(3)
        .tcp_user_timeout(SILENCE);
    driver
}

fn connector(database: &Database) -> Result<MakeRustlsConnect, TlsError> {
    Ok(MakeRustlsConnect::new(tls::client(database.root_cert.as_deref())?))
}

/// Waits for a call a little longer than the server does.
async fn within<T>(
    call: &'static str,
    work: impl Future<Output = Result<T, QueueError>>,
) -> Result<T, QueueError> {
    within_limit(STATEMENT_TIMEOUT + SILENCE, call, work).await
}

async fn within_limit<T>(
    limit: Duration,
    call: &'static str,
    work: impl Future<Output = Result<T, QueueError>>,
) -> Result<T, QueueError> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(QueueError::Slow { call }))
}

impl Queue {
    /// Makes the pool; connections are opened when they are needed.
    pub fn new(database: &Database) -> Result<Self, QueueError> {
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(driver(database), connector(database)?, recycling);
        let pool = Pool::builder(manager)
            .max_size(database.connections)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(STATEMENT_TIMEOUT))
            .create_timeout(Some(CONNECT_TIMEOUT * 2))
            .post_create(Hook::async_fn(|client, _| {
                Box::pin(
                    async move { client.batch_execute(PREPARE).await.map_err(HookError::Backend) },
                )
            }))
            .build()
            .map_err(|error| QueueError::Unreachable(Box::new(error)))?;
        Ok(Self { pool, database: Arc::default() })
    }

    async fn rows(
        &self,
        call: &'static str,
        statement: &str,
        arguments: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, QueueError> {
        within(call, async {
            let client = self.pool.get().await.map_err(QueueError::of_pool)?;
            let found = match client.prepare_cached(statement).await {
                Ok(statement) => client.query(&statement, arguments).await,
                Err(error) => Err(error),
            };
            found.map_err(|error| {
                // The next call gets a connection without stale plans or a broken socket.
                drop(Object::take(client));
                QueueError::of_call(call, error)
            })
        })
        .await
    }

    /// Takes note of which database this is about, or checks that it is that of before.
    pub fn is_about(&self, handshake: &Handshake) -> Result<(), Misfit> {
        handshake.check_same(*self.database.get_or_init(|| handshake.database))
    }

    /// Claims the next batch of a destination whose settings are of this version.
    pub async fn claim(
        &self,
        destination: i32,
        version: i32,
        worker: &str,
        lease: Duration,
        batch_limit: i32,
    ) -> Result<Option<Claim>, QueueError> {
        const CALL: &str = "capi.claim";
        const SQL: &str = "select batch, token, attempt, tries, events, ticket, polls, \
            accepted_seconds from capi.claim($1, $2, make_interval(secs => $3), $4, $5, $6)";
        let seconds = lease.as_secs_f64();
        let database = self.database.get();
        let arguments: [&(dyn ToSql + Sync); 6] =
            [&destination, &worker, &seconds, &batch_limit, &version, &database];
        let rows = self.rows(CALL, SQL, &arguments).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let tries: i32 = column(row, CALL, "tries")?;
        let ticket: Option<String> = column(row, CALL, "ticket")?;
        let accepted = match ticket {
            None => None,
            Some(ticket) => {
                let polls: i32 = column(row, CALL, "polls")?;
                let seconds: Option<f64> = column(row, CALL, "accepted_seconds")?;
                let age = Duration::try_from_secs_f64(seconds.unwrap_or_default());
                Some(Accepted {
                    ticket: Ticket(ticket),
                    polls: u32::try_from(polls).unwrap_or_default(),
                    // Negative when the clock was set back.
                    age: age.unwrap_or_default(),
                })
            }
        };
        Ok(Some(Claim {
            accepted,
            batch: column(row, CALL, "batch")?,
            token: column(row, CALL, "token")?,
            attempt: column(row, CALL, "attempt")?,
            tries: u32::try_from(tries).unwrap_or_default(),
            events: column(row, CALL, "events")?,
        }))
    }

    /// The events of a claimed batch, as many as there is room for; none when the lease is lost.
    pub async fn claimed_events(&self, claim: &Claim) -> Result<ClaimedEvents, QueueError> {
        const CALL: &str = "capi.claimed_events";
        const SQL: &str = "select capi.claimed_events($1, $2, $3)";
        let room = i32::try_from(BATCH_BYTES).unwrap_or(i32::MAX);
        let arguments: [&(dyn ToSql + Sync); 3] = [&claim.batch, &claim.token, &room];
        within(CALL, async {
            let client = self.pool.get().await.map_err(QueueError::of_pool)?;
            let read = async {
                let of_call = |error| QueueError::of_call(CALL, error);
                let statement = client.prepare_cached(SQL).await.map_err(of_call)?;
                let rows = client.query_raw(&statement, arguments).await.map_err(of_call)?;
                let mut rows = pin!(rows);
                let mut claimed = ClaimedEvents::default();
                while let Some(row) = rows.try_next().await.map_err(of_call)? {
                    let piece: &[u8] = column(&row, CALL, "claimed_events")?;
                    let piece = packed::unpack_piece(Bytes::copy_from_slice(piece));
                    let (events, cut) = piece.ok_or(QueueError::Form { call: CALL })?;
                    let events = events.into_iter().map(|(id, event)| ClaimedEvent { id, event });
                    claimed.events.extend(events);
                    claimed.cut |= cut;
                }
                // Those of several partitions may come in another order.
                claimed.events.sort_unstable_by_key(|event| event.id);
                Ok(claimed)
            };
            let read = read.await;
            if read.is_err() {
                drop(Object::take(client));
            }
            read
        })
        .await
    }

    /// Records what became of a claimed batch; false when the lease is lost.
    pub async fn record(&self, claim: &Claim, recording: &Recording) -> Result<bool, QueueError> {
        const CALL: &str = "capi.record";
        const SQL: &str = "select capi.record($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, \
            make_interval(secs => $13), $14, $15, $16, $17)";
        let reason = recording.reason.as_ref().map(|reason| reason.0.as_str());
        let settled: Vec<i64> = recording.settled.iter().map(|s| s.event).collect();
        let statuses: Vec<&str> = recording.settled.iter().map(|s| s.status.as_str()).collect();
        let reasons: Vec<Option<&str>> =
            recording.settled.iter().map(|s| s.reason.as_ref().map(|r| r.0.as_str())).collect();
        let ticket = recording.ticket.as_ref().map(|ticket| ticket.0.as_str());
        // A time that the platform named stands, whatever becomes of it.
        let backoff = recording.health == Health::Bad;
        let arguments: [&(dyn ToSql + Sync); 17] = [
            &claim.batch,
            &claim.token,
            &claim.attempt,
            &recording.http_status,
            &recording.request_id,
            &reason,
            &Json(&recording.answer),
            &recording.step.as_str(),
            &settled,
            &one_for_all(statuses),
            &one_for_all(reasons),
            &recording.again,
            &recording.due_in.as_secs_f64(),
            &ticket,
            &recording.accepted,
            &backoff,
            &recording.doubtful,
        ];
        first(&self.rows(CALL, SQL, &arguments).await?, CALL)
    }

    /// Makes batches due that wait for a platform that is back; how many.
    pub async fn hasten(&self, destination: i32) -> Result<i32, QueueError> {
        const CALL: &str = "capi.hasten";
        first(&self.rows(CALL, "select capi.hasten($1)", &[&destination]).await?, CALL)
    }

    /// Gives a claimed batch back that was not sent; false when the lease is lost.
    pub async fn release(&self, claim: &Claim) -> Result<bool, QueueError> {
        const CALL: &str = "capi.release";
        let arguments: [&(dyn ToSql + Sync); 2] = [&claim.batch, &claim.token];
        first(&self.rows(CALL, "select capi.release($1, $2)", &arguments).await?, CALL)
    }

    /// Makes partitions ahead and what else is due now and then.
    pub async fn maintain(&self) -> Result<Value, QueueError> {
        const CALL: &str = "capi.maintain";
        let call = async {
            let mut client = self.pool.get().await.map_err(QueueError::of_pool)?;
            let calling = async {
                let transaction = client.transaction().await?;
                transaction.batch_execute(MAINTENANCE).await?;
                let rows = transaction.query("select capi.maintain()", &[]).await?;
                transaction.commit().await?;
                Ok(rows)
            };
            let called: Result<Vec<Row>, tokio_postgres::Error> = calling.await;
            called.map_err(|error| {
                drop(Object::take(client));
                QueueError::of_call(CALL, error)
            })
        };
        let limit = MAINTENANCE_TIMEOUT + SILENCE;
        let rows = tokio::time::timeout(limit, call).await;
        first(&rows.unwrap_or(Err(QueueError::Slow { call: CALL }))?, CALL)
    }
}

impl Session {
    /// Opens a connection of its own.
    pub async fn open(database: &Database) -> Result<Self, QueueError> {
        let opening = async {
            let connecting = driver(database).connect(connector(database)?).await;
            let (client, mut connection) = connecting.map_err(QueueError::of_connection)?;
            let rung = Arc::new(Notify::new());
            let heard = rung.clone();
            tokio::spawn(async move {
                while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                    if matches!(message, AsyncMessage::Notification(_)) {
                        heard.notify_one();
                    }
                }
                // Whoever waits for the bell shall find out that it is gone.
                heard.notify_one();
            });
            let prepared = client.batch_execute(PREPARE).await;
            prepared.map_err(|error| QueueError::of_call("set", error))?;
            Ok(Self { client, poll: OnceCell::new(), rung })
        };
        // The driver's own limit covers the socket and not the login.
        within_limit(BELL_TIMEOUT, "connect", opening).await
    }

    async fn rows(
        &self,
        call: &'static str,
        statement: &str,
        arguments: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, QueueError> {
        within(call, self.query(call, statement, arguments)).await
    }

    /// The same for what the bell's session calls: its loop must not stand still for long.
    async fn soon(
        &self,
        call: &'static str,
        statement: &str,
        arguments: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, QueueError> {
        within_limit(BELL_TIMEOUT, call, self.query(call, statement, arguments)).await
    }

    async fn query(
        &self,
        call: &'static str,
        statement: &str,
        arguments: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, QueueError> {
        let rows = self.client.query_typed(statement, arguments).await;
        rows.map_err(|error| QueueError::of_call(call, error))
    }

    /// Who is at the other end.
    pub async fn handshake(&self) -> Result<Handshake, QueueError> {
        const CALL: &str = "capi.handshake";
        let found: Option<Value> =
            first(&self.soon(CALL, "select capi.handshake()", &[]).await?, CALL)?;
        found
            .and_then(|value| Handshake::deserialize(value).ok())
            .ok_or(QueueError::Form { call: CALL })
    }

    /// Every destination.
    pub async fn destinations(&self) -> Result<Vec<DestinationRow>, QueueError> {
        const CALL: &str = "capi.destinations";
        const SQL: &str = "select destination, name, platform, settings, credential, state, \
            pause_reason, version from capi.destinations()";
        let destination = |row: &Row| {
            Ok(DestinationRow {
                destination: column(row, CALL, "destination")?,
                name: column(row, CALL, "name")?,
                platform: column(row, CALL, "platform")?,
                settings: column(row, CALL, "settings")?,
                credential: column(row, CALL, "credential")?,
                state: column(row, CALL, "state")?,
                pause_reason: column(row, CALL, "pause_reason")?,
                version: column(row, CALL, "version")?,
            })
        };
        self.soon(CALL, SQL, &[]).await?.iter().map(destination).collect()
    }

    /// What there is to do, for all active destinations at once.
    pub async fn poll(&self) -> Result<Vec<Polled>, QueueError> {
        const CALL: &str = "capi.poll";
        const SQL: &str = "select destination, version, work, due_in_ms from capi.poll()";
        let polled = |row: &Row| {
            let due_in_ms: Option<i64> = column(row, CALL, "due_in_ms")?;
            let due_in = due_in_ms.map(|ms| Duration::from_millis(ms.try_into().unwrap_or(0)));
            Ok(Polled {
                destination: column(row, CALL, "destination")?,
                version: column(row, CALL, "version")?,
                work: column(row, CALL, "work")?,
                due_in,
            })
        };
        within_limit(BELL_TIMEOUT, CALL, async {
            // The most frequent statement there is, so the server keeps it parsed.
            let prepared = self.poll.get_or_try_init(|| self.client.prepare(SQL)).await;
            let rows = match prepared {
                Ok(statement) => self.client.query(statement, &[]).await,
                Err(error) => Err(error),
            };
            rows.map_err(|error| QueueError::of_call(CALL, error))
        })
        .await?
        .iter()
        .map(polled)
        .collect()
    }

    /// Starts to hear the bell.
    pub async fn listen(&self) -> Result<(), QueueError> {
        within_limit(BELL_TIMEOUT, "listen", async {
            let listening = self.client.batch_execute("listen capi").await;
            listening.map_err(|error| QueueError::of_call("listen", error))
        })
        .await
    }

    /// Stands for the election of who keeps the bell.
    pub async fn bell_keep(&self) -> Result<bool, QueueError> {
        self.truth("capi.bell_keep", "select capi.bell_keep()").await
    }

    /// Asks to be woken by the next commit; false when a writer is busy.
    pub async fn bell_arm(&self) -> Result<bool, QueueError> {
        self.truth("capi.bell_arm", "select capi.bell_arm()").await
    }

    /// Stops asking to be woken.
    pub async fn bell_disarm(&self) -> Result<(), QueueError> {
        self.soon("capi.bell_disarm", "select from capi.bell_disarm()", &[]).await.map(drop)
    }

    async fn truth(&self, call: &'static str, statement: &str) -> Result<bool, QueueError> {
        first(&self.soon(call, statement, &[]).await?, call)
    }

    /// Waits until the bell rings or the connection ends.
    pub async fn rung(&self) {
        self.rung.notified().await;
    }

    /// Allows this database to send.
    pub async fn adopt(&self) -> Result<String, QueueError> {
        const CALL: &str = "capi.adopt";
        first(&self.rows(CALL, "select capi.adopt()", &[]).await?, CALL)
    }

    /// Stops sending to a destination.
    pub async fn pause(&self, destination: &str, reason: &str) -> Result<(), QueueError> {
        let arguments: [(&(dyn ToSql + Sync), Type); 2] =
            [(&destination, Type::TEXT), (&reason, Type::TEXT)];
        self.rows("capi.pause", "select from capi.pause($1, $2)", &arguments).await.map(drop)
    }

    /// Sends to a destination from now on.
    pub async fn resume(&self, destination: &str) -> Result<(), QueueError> {
        let arguments: [(&(dyn ToSql + Sync), Type); 1] = [(&destination, Type::TEXT)];
        self.rows("capi.resume", "select from capi.resume($1)", &arguments).await.map(drop)
    }

    /// Sends settled events again; numbers by fate. Takes its time: there may be a million of them.
    pub async fn replay(&self, replay: &Replay) -> Result<Vec<(String, i64)>, QueueError> {
        const CALL: &str = "capi.replay";
        const SQL: &str = "select fate, number from capi.replay($1, \
            coalesce($2, array(select capi.replay_candidates($1, $3, $4, \
                coalesce($5::timestamptz, '-infinity'), coalesce($6::timestamptz, 'infinity')))), \
            $7, $8)";
        let Replay { destination, events, status, reason, since, until, note, dry_run } = replay;
        let events = (!events.is_empty()).then_some(events);
        let arguments: [(&(dyn ToSql + Sync), Type); 8] = [
            (destination, Type::TEXT),
            (&events, Type::INT8_ARRAY),
            (status, Type::TEXT),
            (reason, Type::TEXT),
            (since, Type::TEXT),
            (until, Type::TEXT),
            (note, Type::TEXT),
            (dry_run, Type::BOOL),
        ];
        let patience = self.client.batch_execute("set statement_timeout = 0").await;
        patience.map_err(|error| QueueError::of_call("set", error))?;
        let rows = self.client.query_typed(SQL, &arguments).await;
        let rows = rows.map_err(|error| QueueError::of_call(CALL, error))?;
        let pair = |row: &Row| Ok((column(row, CALL, "fate")?, column(row, CALL, "number")?));
        rows.iter().map(pair).collect()
    }

    /// Opens an attempt that tests a destination with a captured event.
    pub async fn test_open(
        &self,
        destination: i32,
        event_id: i64,
        worker: &str,
    ) -> Result<(i64, Result<Event, &'static str>), QueueError> {
        const CALL: &str = "capi.test_open";
        const SQL: &str = "select attempt, packed from capi.test_open($1, $2, $3)";
        let arguments: [(&(dyn ToSql + Sync), Type); 3] =
            [(&destination, Type::INT4), (&event_id, Type::INT8), (&worker, Type::TEXT)];
        let rows = self.rows(CALL, SQL, &arguments).await?;
        let row = rows.first().ok_or(QueueError::Form { call: CALL })?;
        Ok((column(row, CALL, "attempt")?, event(row, 1, CALL)?))
    }

    /// Writes what came of a test.
    pub async fn test_close(&self, attempt: i64, end: &TestEnd) -> Result<bool, QueueError> {
        const CALL: &str = "capi.test_close";
        let arguments: [(&(dyn ToSql + Sync), Type); 6] = [
            (&attempt, Type::INT8),
            (&end.outcome, Type::TEXT),
            (&end.http_status, Type::INT4),
            (&end.request_id, Type::TEXT),
            (&end.reason, Type::TEXT),
            (&Json(&end.answer), Type::JSONB),
        ];
        let statement = "select capi.test_close($1, $2, $3, $4, $5, $6)";
        first(&self.rows(CALL, statement, &arguments).await?, CALL)
    }

    /// State and counts of every destination, as a JSON array of objects.
    pub async fn status(&self) -> Result<Value, QueueError> {
        const CALL: &str = "capi.status";
        const SQL: &str = "select coalesce(jsonb_agg(to_jsonb(s) order by s.destination), '[]') \
             from capi.status() s";
        first(&self.rows(CALL, SQL, &[]).await?, CALL)
    }

    /// Tasks of maintenance, as a JSON array of objects.
    pub async fn maintenance(&self) -> Result<Value, QueueError> {
        const CALL: &str = "capi.maintenance";
        const SQL: &str = "select coalesce(jsonb_agg(to_jsonb(m) order by m.task), '[]') \
             from capi.maintenance() m";
        first(&self.rows(CALL, SQL, &[]).await?, CALL)
    }

    /// Who else holds locks of the extension, as a JSON array of objects.
    pub async fn locks(&self) -> Result<Value, QueueError> {
        const CALL: &str = "capi.locks";
        const SQL: &str = "select coalesce(jsonb_agg(to_jsonb(l) order by l.lock, l.id, l.pid), '[]') \
             from capi.locks() l where l.pid is distinct from pg_backend_pid()";
        first(&self.rows(CALL, SQL, &[]).await?, CALL)
    }

    /// What can be seen without any right on the extension.
    pub async fn inspect(&self) -> Result<Inspection, QueueError> {
        const CALL: &str = "catalog look-up";
        const SQL: &str = "select current_user::text as role, \
            (select r.rolsuper from pg_roles r where r.rolname = current_user) as superuser, \
            (select e.extversion from pg_extension e where e.extname = 'pg_capi') as extension, \
            exists (select from pg_available_extensions a where a.name = 'pg_capi') as available, \
            exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace \
                where n.nspname = 'capi' and c.relname = 'outbox') as set_up, \
            array(select distinct f.name from unnest($1::text[]) f (name) \
                left join (pg_proc p join pg_namespace n \
                    on n.oid = p.pronamespace and n.nspname = 'capi') on p.proname = f.name \
                where p.oid is null \
                    or not has_schema_privilege(n.oid, 'usage') \
                    or not has_function_privilege(p.oid, 'execute') \
                order by 1) as denied";
        let rows = self.rows(CALL, SQL, &[(&FUNCTIONS, Type::TEXT_ARRAY)]).await?;
        let row = rows.first().ok_or(QueueError::Form { call: CALL })?;
        Ok(Inspection {
            role: column(row, CALL, "role")?,
            superuser: column::<Option<bool>>(row, CALL, "superuser")?.unwrap_or_default(),
            extension: column(row, CALL, "extension")?,
            available: column(row, CALL, "available")?,
            set_up: column(row, CALL, "set_up")?,
            denied: column(row, CALL, "denied")?,
        })
    }
}

/// The functions of schema `capi` that `capi run` calls.
const FUNCTIONS: &[&str] = &[
    "handshake",
    "destinations",
    "poll",
    "claim",
    "claimed_events",
    "record",
    "hasten",
    "release",
    "bell_keep",
    "bell_arm",
    "bell_disarm",
    "maintain",
    "health",
    "unblock",
    "alert_note",
    "alert_claim",
    "alert_told",
];

fn column<'a, T: FromSql<'a>>(
    row: &'a Row,
    call: &'static str,
    name: &str,
) -> Result<T, QueueError> {
    row.try_get(name).map_err(|_| QueueError::Form { call })
}

/// The only column of the first row.
fn first<T: for<'a> FromSql<'a>>(rows: &[Row], call: &'static str) -> Result<T, QueueError> {
    let row = rows.first().ok_or(QueueError::Form { call })?;
    row.try_get(0).map_err(|_| QueueError::Form { call })
}

/// A list of equal elements as its one element, which `capi.record` applies to all.
fn one_for_all<T: PartialEq>(mut list: Vec<T>) -> Vec<T> {
    if list.windows(2).all(|pair| pair[0] == pair[1]) {
        list.truncate(1);
    }
    list
}

/// Reads an event; a column of it that cannot be read costs the event and not the batch.
fn event(
    row: &Row,
    at: usize,
    call: &'static str,
) -> Result<Result<Event, &'static str>, QueueError> {
    let packed: &[u8] = row.try_get(at).map_err(|_| QueueError::Form { call })?;
    Ok(packed::unpack(&Bytes::copy_from_slice(packed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_elements_travel_as_one() {
        assert_eq!(one_for_all(vec!["a", "a", "a"]), ["a"]);
        assert_eq!(one_for_all(vec!["a", "b", "a"]), ["a", "b", "a"]);
        assert!(one_for_all(Vec::<&str>::new()).is_empty());
    }
}
