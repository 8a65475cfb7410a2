//! A database per test, and sessions on it that speak plain SQL.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{SinkExt as _, StreamExt as _, stream};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, SimpleQueryMessage};

use crate::cluster::Cluster;
use crate::patience::eventually;

/// A session. Queries go as text: tests read like psql.
pub struct Session {
    client: Client,
    /// What the server has said by the way.
    notices: Arc<Mutex<Vec<String>>>,
}

/// How the server refused a statement.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// SQLSTATE.
    pub code: String,
    /// The message.
    pub message: String,
    /// The hint, or an empty text.
    pub hint: String,
    /// The detail, or an empty text.
    pub detail: String,
    /// The context, or an empty text.
    pub context: String,
}

/// Why a statement that was allowed to fail did.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// The server refused it.
    Refused(Refusal),
    /// The connection is gone, or goes with this statement.
    Lost,
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            // Terminated, crashed, starting, connection rules.
            Some(db) if ["57P01", "57P02", "57P03", "53300"].contains(&db.code().code()) => {
                Self::Lost
            }
            Some(db) => Self::Refused(Refusal {
                code: db.code().code().to_owned(),
                message: db.message().to_owned(),
                hint: db.hint().unwrap_or_default().to_owned(),
                detail: db.detail().unwrap_or_default().to_owned(),
                context: db.where_().unwrap_or_default().to_owned(),
            }),
            None => Self::Lost,
        }
    }
}

impl Session {
    /// Connects as this role.
    pub async fn connect(cluster: &Cluster, database: &str, role: &str) -> Self {
        Self::try_connect(cluster, database, role).await.expect("a connection")
    }

    /// Connects as this role to a server that may be down.
    pub async fn try_connect(
        cluster: &Cluster,
        database: &str,
        role: &str,
    ) -> Result<Self, String> {
        let mut config = Config::new();
        config.host_path(cluster.folder()).dbname(database).user(role);
        Self::open(&config).await
    }

    /// Connects as a configuration says.
    pub async fn open(config: &Config) -> Result<Self, String> {
        let (client, mut connection) = config.connect(NoTls).await.map_err(|e| e.to_string())?;
        let notices: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = notices.clone();
        // Ends when the client is dropped, or with the server.
        tokio::spawn(async move {
            let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
            while let Some(Ok(message)) = messages.next().await {
                if let AsyncMessage::Notice(notice) = message {
                    let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                    heard.push(notice.message().to_owned());
                }
            }
        });
        Ok(Self { client, notices })
    }

    /// Runs statements that may fail in any way.
    pub async fn attempt(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Trouble> {
        Ok(texts(self.client.simple_query(sql).await?))
    }

    /// Copies lines into a table.
    pub async fn copy(&mut self, statement: &str, lines: String) -> Result<(), Trouble> {
        let sink = self.client.copy_in(statement).await?;
        let mut sink = std::pin::pin!(sink);
        sink.send(bytes::Bytes::from(lines)).await?;
        sink.finish().await?;
        Ok(())
    }

    /// Runs statements that must succeed; the notices that came with them.
    pub async fn notices(&self, sql: &str) -> Vec<String> {
        let take =
            || std::mem::take(&mut *self.notices.lock().unwrap_or_else(PoisonError::into_inner));
        take();
        self.run(sql).await;
        take()
    }

    /// The driver's client, where text is not enough.
    pub fn driver(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Runs statements and gives the rows of the last one as texts, or how it was refused.
    pub async fn ask(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Refusal> {
        let answer = self.client.simple_query(sql).await.map_err(|error| {
            let db = error.as_db_error().unwrap_or_else(|| panic!("{sql}: {error}"));
            Refusal {
                code: db.code().code().to_owned(),
                message: db.message().to_owned(),
                hint: db.hint().unwrap_or_default().to_owned(),
                detail: db.detail().unwrap_or_default().to_owned(),
                context: db.where_().unwrap_or_default().to_owned(),
            }
        })?;
        Ok(texts(answer))
    }

    /// Runs statements that must succeed.
    pub async fn run(&self, sql: &str) {
        self.rows(sql).await;
    }

    /// All rows.
    pub async fn rows(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        self.ask(sql).await.unwrap_or_else(|refusal| panic!("{sql}\n{refusal:?}"))
    }

    /// The first column of all rows; null is an empty text.
    pub async fn column(&self, sql: &str) -> Vec<String> {
        self.rows(sql).await.into_iter().map(|row| row[0].clone().unwrap_or_default()).collect()
    }

    /// The only column of the only row; null and no row are an empty text.
    pub async fn get(&self, sql: &str) -> String {
        self.column(sql).await.pop().unwrap_or_default()
    }

    /// The only row as one text, columns joined by `|`.
    pub async fn line(&self, sql: &str) -> String {
        let row = self.rows(sql).await.pop().unwrap_or_default();
        row.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>().join("|")
    }

    /// A whole number.
    pub async fn count(&self, sql: &str) -> i64 {
        let text = self.get(sql).await;
        text.parse().unwrap_or_else(|_| panic!("{sql}: {text:?} is no number"))
    }

    /// How the server refuses a statement that must not succeed.
    pub async fn refused(&self, sql: &str) -> Refusal {
        match self.ask(sql).await {
            Ok(rows) => panic!("{sql}: succeeded with {rows:?}"),
            Err(refusal) => refusal,
        }
    }

    /// Number of the server process.
    pub async fn pid(&self) -> i64 {
        self.count("select pg_backend_pid()").await
    }
}

/// A database of one test, dropped with it.
pub struct Database {
    cluster: &'static Cluster,
    name: String,
    /// The superuser's session.
    session: Session,
}

fn texts(answer: Vec<SimpleQueryMessage>) -> Vec<Vec<Option<String>>> {
    answer
        .into_iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|n| row.get(n).map(str::to_owned)).collect())
            }
            _ => None,
        })
        .collect()
}

impl Deref for Database {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl DerefMut for Database {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.session
    }
}

impl Database {
    /// A copy of the template on the shared cluster that sends: extension, set-up, empty shop.
    pub async fn adopted() -> Self {
        let database = Self::copy().await;
        database.run("select capi.adopt()").await;
        database
    }

    /// A copy of the template as a clone would be: not adopted.
    pub async fn copy() -> Self {
        let cluster = Cluster::shared();
        Self::create(cluster, &format!("template {}", cluster.template())).await
    }

    /// A database without extension and shop.
    pub async fn bare() -> Self {
        Self::create(Cluster::shared(), "template template0").await
    }

    /// A database without extension and shop, made with these options of `create database`.
    pub async fn made(options: &str) -> Self {
        Self::create(Cluster::shared(), &format!("template template0 {options}")).await
    }

    /// A copy of the template of another cluster that lives as long as the process.
    pub async fn on(cluster: &'static Cluster) -> Self {
        let database = Self::create(cluster, &format!("template {}", cluster.template())).await;
        database.run("select capi.adopt()").await;
        database
    }

    /// A database that is there already, on another cluster: a standby that was promoted.
    pub async fn found(cluster: &'static Cluster, name: &str) -> Self {
        let session = Session::connect(cluster, name, "postgres").await;
        Self { cluster, name: name.to_owned(), session }
    }

    /// A copy of this database as `create database … template` makes it. Closes this session for
    /// the moment: nobody may be connected.
    pub async fn clone_by_template(mut self) -> Self {
        let own = self.pid().await;
        let postgres = Session::connect(self.cluster, "postgres", "postgres").await;
        self.session = postgres;
        self.run(&format!("select pg_terminate_backend({own}, 5000)")).await;
        Self::create(self.cluster, &format!("template {}", self.name)).await
    }

    async fn create(cluster: &'static Cluster, how: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let postgres = Session::connect(cluster, "postgres", "postgres").await;
        postgres.run(&format!("create database {name} {how}")).await;
        let session = Session::connect(cluster, &name, "postgres").await;
        Self { cluster, name, session }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its cluster.
    pub fn cluster(&self) -> &'static Cluster {
        self.cluster
    }

    /// Another session, as superuser.
    pub async fn connect(&self) -> Session {
        self.connect_as("postgres").await
    }

    /// Another session.
    pub async fn connect_as(&self, role: &str) -> Session {
        Session::connect(self.cluster, &self.name, role).await
    }

    /// Opens the superuser's session anew, after a crash of the server.
    pub async fn reconnect(&mut self) {
        self.session = Session::connect(self.cluster, &self.name, "postgres").await;
    }

    /// Opens the superuser's session anew, if the server lets it.
    pub async fn try_reconnect(&mut self) -> Result<(), String> {
        self.session = Session::try_connect(self.cluster, &self.name, "postgres").await?;
        Ok(())
    }

    /// Address of the database for the sidecar, as this role.
    pub fn url(&self, role: &str) -> String {
        let host = self.cluster.folder().display();
        format!("host={host} dbname={} user={role}", self.name)
    }

    /// Waits until another session waits for a lock.
    pub async fn until_blocked(&self, pid: i64) {
        eventually("session waits for a lock", 10, async || {
            let seen = self
                .get(&format!("select wait_event_type from pg_stat_activity where pid = {pid}"))
                .await;
            if seen == "Lock" { Ok(()) } else { Err(seen) }
        })
        .await;
    }
}

/// An SQL literal.
pub fn quoted(text: &str) -> String {
    if text.contains('\\') {
        format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}
