//! File and environment to [`Config`]. The only place that reads the environment.
//!
//! A setting has the same name in the file (TOML) and, in capitals behind `CAPI_`, in the
//! environment, which wins. Values are checked here and never quoted: one may be a secret in the
//! wrong place.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::config::{Host, SslMode};
use toml::{Table, Value};

/// The settings of the help text, by key: meaning, unit, default.
pub const SETTINGS: &[(&str, &str)] = &[
    ("database_url", "postgres:// URL or key=value string; required"),
    ("database_root_cert", "PEM file with further root certificates for the database"),
    ("database_connections", "connections besides the bell's [6]"),
    ("instance", "name that the database must bear [not compared]"),
    ("worker", "name of this process in capi.attempt [capi- and a number]"),
    ("concurrency", "requests in flight per destination [4]"),
    ("lease", "seconds that a claimed batch belongs to its worker [60]"),
    ("request_timeout", "seconds that a platform may take to answer [10]"),
    ("connect_timeout", "seconds that connecting to a platform may take [3]"),
    ("grace", "seconds that requests in flight may take after SIGTERM [10]"),
    ("poll", "milliseconds between polls while awake [3]"),
    ("sleep_after", "milliseconds without work before sleep [50]"),
    ("safety_poll", "seconds between polls while asleep [6]"),
    ("log", "filter such as info or capi_sidecar=debug [info]"),
    ("log_format", "text or json [text]"),
    ("credentials_dir", "directory with one file per credential [none]"),
];

/// Everything the sidecar can be told.
#[derive(Debug)]
pub struct Config {
    /// Where the queue is.
    pub database: Database,
    /// Name that the database must bear (`capi.setup`), so that a clone is not mistaken for the
    /// original. `instance`, `CAPI_INSTANCE`; default: not compared.
    pub instance: Option<String>,
    /// Name of this process in `capi.attempt`. `worker`, `CAPI_WORKER`; default `capi-` and a
    /// number.
    pub worker: String,
    /// How batches are sent.
    pub delivery: Delivery,
    /// When the database is asked for work.
    pub doorbell: Doorbell,
    /// What is logged.
    pub log: Log,
    /// Where credentials are found.
    pub credentials: Credentials,
}

/// Where the queue is.
#[derive(Clone)]
pub struct Database {
    /// `postgres://` URL or `key=value` string. Without `sslmode`, TLS is required unless the host
    /// is this machine; `require` verifies the certificate. `database_url`, `CAPI_DATABASE_URL`;
    /// required.
    url: SecretString,
    /// File with further root certificates in PEM for the database.
    /// `database_root_cert`, `CAPI_DATABASE_ROOT_CERT`; default: those of the system.
    pub root_cert: Option<PathBuf>,
    /// Connections besides the bell's, 1 to 100. `database_connections`,
    /// `CAPI_DATABASE_CONNECTIONS`; default 6.
    pub connections: usize,
    /// The parsed URL.
    parsed: tokio_postgres::Config,
}

/// How batches are sent.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Requests in flight per destination, 1 to 64. `concurrency`, `CAPI_CONCURRENCY`; default 4.
    pub concurrency: usize,
    /// How long a batch belongs to the worker that claimed it, in seconds, 15 to 3600; more than
    /// `request_timeout` and 5 s. `lease`, `CAPI_LEASE`; default 60.
    pub lease: Duration,
    /// How long a platform may take to answer, in seconds, 1 to 300. `request_timeout`,
    /// `CAPI_REQUEST_TIMEOUT`; default 10.
    pub request_timeout: Duration,
    /// How long connecting to a platform may take, in seconds, 1 to 60. `connect_timeout`,
    /// `CAPI_CONNECT_TIMEOUT`; default 3.
    pub connect_timeout: Duration,
    /// How long requests in flight may take to finish after SIGTERM, in seconds, 0 to 600.
    /// `grace`, `CAPI_GRACE`; default 10.
    pub grace: Duration,
}

/// When the database is asked for work.
#[derive(Clone, Debug)]
pub struct Doorbell {
    /// Pause between polls while awake, in milliseconds, 1 to 1000. `poll`, `CAPI_POLL`; default 3.
    pub poll: Duration,
    /// Time without work after which the sidecar sleeps, in milliseconds, 10 to 60000.
    /// `sleep_after`, `CAPI_SLEEP_AFTER`; default 50.
    pub sleep_after: Duration,
    /// Pause between polls while asleep, for what rings no bell, in seconds, 5 to 300.
    /// `safety_poll`, `CAPI_SAFETY_POLL`; default 6.
    pub safety_poll: Duration,
}

/// What is logged.
#[derive(Clone, Debug)]
pub struct Log {
    /// Filter such as `info` or `capi_sidecar=debug`. `log`, `CAPI_LOG`; default `info`.
    pub filter: String,
    /// `text` or `json`. `log_format`, `CAPI_LOG_FORMAT`; default `text`.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Where credentials are found: the environment variable of the credential's name, then the
/// table `[credentials]` of the file, then the file of that name in `credentials_dir`,
/// `CAPI_CREDENTIALS_DIR` (default: none), which is read anew for each batch.
pub struct Credentials {
    table: BTreeMap<String, SecretString>,
    directory: Option<PathBuf>,
    environment: Environment,
}

/// Why a credential cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Nothing bears the name.
    #[error("credential is neither in the environment nor in the configuration")]
    Missing,
    /// The name would reach beyond what is meant for platforms.
    #[error("credential name must be letters, digits, _ and -, and not begin with CAPI_ or PG")]
    Name,
    /// What bears the name is neither token nor key file.
    #[error("credential is empty, or neither a token nor JSON")]
    Value,
    /// The file of this name cannot be read.
    #[error("credential file cannot be read")]
    Unreadable,
}

/// Why there is no configuration. Names the setting and the rule, never the value.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read config file {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("config file is not TOML near line {line}")]
    Syntax {
        /// Where.
        line: usize,
    },
    /// A key means nothing.
    #[error("setting {key} is not known; known are {known}")]
    Unknown {
        /// The key.
        key: String,
        /// Keys that mean something.
        known: String,
    },
    /// A key is missing or has a wrong value.
    #[error("setting {key} (environment: {variable}) {rule}")]
    Setting {
        /// The key.
        key: &'static str,
        /// The same setting in the environment.
        variable: String,
        /// What it must be.
        rule: String,
    },
}

/// Looks a variable up; tests pass their own.
type Environment = fn(&str) -> Option<String>;

/// The value of an environment variable, unless it is empty.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Config {
    /// Reads `file`, or the one that `CAPI_CONFIG` names, and the environment over it.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let named = variable("CAPI_CONFIG").map(PathBuf::from);
        let text = match file.or(named.as_deref()) {
            Some(path) => fs::read_to_string(path)
                .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?,
            None => String::new(),
        };
        Self::read(&text, variable)
    }

    /// Reads `file` without any environment.
    #[cfg(test)]
    pub(crate) fn read_text(file: &str) -> Result<Self, ConfigError> {
        Self::read(file, |_| None)
    }

    fn read(file: &str, environment: Environment) -> Result<Self, ConfigError> {
        let table = file.parse::<Table>().map_err(|error| {
            // The error's own text shows the line, and with it perhaps a secret.
            let start = error.span().map_or(0, |span| span.start.min(file.len()));
            ConfigError::Syntax { line: file.as_bytes()[..start].split(|b| *b == b'\n').count() }
        })?;
        let mut settings = Settings { table, environment, known: Vec::new() };
        let config = settings.config()?;
        settings.finish()?;
        Ok(config)
    }
}

impl Log {
    /// Reads the environment alone, for commands without configuration.
    pub fn load() -> Result<Self, ConfigError> {
        Settings { table: Table::new(), environment: variable, known: Vec::new() }.log()
    }
}

/// The settings that are still to be read.
struct Settings {
    table: Table,
    environment: Environment,
    known: Vec<&'static str>,
}

impl Settings {
    fn config(&mut self) -> Result<Config, ConfigError> {
        let connections = self.whole("database_connections", 6, 1..=100)?;
        let delivery = Delivery {
            concurrency: usize::try_from(self.whole("concurrency", 4, 1..=64)?).unwrap_or(4),
            lease: Duration::from_secs(self.whole("lease", 60, 15..=3_600)?),
            request_timeout: Duration::from_secs(self.whole("request_timeout", 10, 1..=300)?),
            connect_timeout: Duration::from_secs(self.whole("connect_timeout", 3, 1..=60)?),
            grace: Duration::from_secs(self.whole("grace", 10, 0..=600)?),
        };
        if delivery.lease <= delivery.request_timeout + Duration::from_secs(5) {
            return Err(broken("lease", "must exceed request_timeout by more than 5 seconds"));
        }
        Ok(Config {
            database: self.database(usize::try_from(connections).unwrap_or(6))?,
            instance: self.text("instance")?,
            worker: self.text("worker")?.unwrap_or_else(default_worker),
            delivery,
            doorbell: Doorbell {
                poll: Duration::from_millis(self.whole("poll", 3, 1..=1_000)?),
                sleep_after: Duration::from_millis(self.whole("sleep_after", 50, 10..=60_000)?),
                safety_poll: Duration::from_secs(self.whole("safety_poll", 6, 5..=300)?),
            },
            log: self.log()?,
            credentials: Credentials {
                table: self.credentials()?,
                directory: self.text("credentials_dir")?.map(PathBuf::from),
                environment: self.environment,
            },
        })
    }

    fn database(&mut self, connections: usize) -> Result<Database, ConfigError> {
        let url = self.text("database_url")?.map(SecretString::from);
        let url = url.ok_or_else(|| broken("database_url", "is required"))?;
        let parsed = parse_database_url(&url).ok_or_else(|| {
            broken("database_url", "must be a postgres:// URL or a key=value string")
        })?;
        if parsed.get_hosts().is_empty() && parsed.get_hostaddrs().is_empty() {
            return Err(broken("database_url", "must name a host or a socket directory"));
        }
        let root_cert = self.text("database_root_cert")?.map(PathBuf::from);
        Ok(Database { url, root_cert, connections, parsed })
    }

    fn log(&mut self) -> Result<Log, ConfigError> {
        let filter = self.text("log")?.unwrap_or_else(|| "info".to_owned());
        if tracing_subscriber::EnvFilter::from_str(&filter).is_err() {
            return Err(broken("log", "must be a level or a filter such as capi_sidecar=debug"));
        }
        let format = match self.text("log_format")?.as_deref() {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(_) => return Err(broken("log_format", "must be text or json")),
        };
        Ok(Log { filter, format })
    }

    fn credentials(&mut self) -> Result<BTreeMap<String, SecretString>, ConfigError> {
        self.known.push("credentials");
        let rule = "must be a table of names with texts";
        let table = match self.table.remove("credentials") {
            None => return Ok(BTreeMap::new()),
            Some(Value::Table(table)) => table,
            Some(_) => return Err(broken("credentials", rule)),
        };
        let secret = |(name, value)| match value {
            Value::String(token) => Ok((name, SecretString::from(token))),
            _ => Err(broken("credentials", rule)),
        };
        table.into_iter().map(secret).collect()
    }

    fn text(&mut self, key: &'static str) -> Result<Option<String>, ConfigError> {
        self.known.push(key);
        let in_file = self.table.remove(key);
        if let Some(value) = (self.environment)(&variable_of(key)) {
            return Ok(Some(value));
        }
        match in_file {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(_) => Err(broken(key, "must be a text that is not empty")),
        }
    }

    fn whole(
        &mut self,
        key: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> Result<u64, ConfigError> {
        self.known.push(key);
        let in_file = self.table.remove(key);
        let number = match (self.environment)(&variable_of(key)) {
            Some(text) => text.trim().parse().ok(),
            None => match in_file {
                None => Some(default),
                Some(Value::Integer(number)) => u64::try_from(number).ok(),
                Some(_) => None,
            },
        };
        number.filter(|number| range.contains(number)).ok_or_else(|| {
            let (low, high) = (range.start(), range.end());
            broken(key, &format!("must be a whole number from {low} to {high}"))
        })
    }

    fn finish(self) -> Result<(), ConfigError> {
        match self.table.into_iter().next() {
            None => Ok(()),
            Some((key, _)) => Err(ConfigError::Unknown { key, known: self.known.join(", ") }),
        }
    }
}

/// The variable of a setting.
pub fn variable_of(key: &str) -> String {
    format!("CAPI_{}", key.to_uppercase())
}

fn broken(key: &'static str, rule: &str) -> ConfigError {
    ConfigError::Setting { key, variable: variable_of(key), rule: rule.to_owned() }
}

/// Two sidecars in containers often share the process id 1.
fn default_worker() -> String {
    format!("capi-{}-{:04x}", std::process::id(), rand::random::<u16>())
}

fn parse_database_url(url: &SecretString) -> Option<tokio_postgres::Config> {
    // The driver has no words for what it always gets here: a verified certificate.
    let text = url.expose_secret();
    let text = text.replace("sslmode=verify-full", "sslmode=require");
    let text = text.replace("sslmode=verify-ca", "sslmode=require");
    let mut parsed: tokio_postgres::Config = text.parse().ok()?;
    if parsed.get_ssl_mode() == SslMode::Prefer {
        // `prefer` would go on in clear when somebody in between says so.
        let local = parsed.get_hosts().iter().all(is_local)
            && parsed.get_hostaddrs().iter().all(|address| address.is_loopback());
        parsed.ssl_mode(if local { SslMode::Disable } else { SslMode::Require });
    }
    Some(parsed)
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost"
                || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        Host::Unix(_) => true,
    }
}

impl Database {
    /// The driver's form, with TLS decided.
    pub fn driver(&self) -> tokio_postgres::Config {
        self.parsed.clone()
    }

    /// Whether the connection leaves this machine in clear.
    pub fn in_clear(&self) -> bool {
        self.parsed.get_ssl_mode() == SslMode::Disable
            && !self.parsed.get_hosts().iter().all(is_local)
    }

    /// The role that connects.
    pub fn role(&self) -> &str {
        self.parsed.get_user().unwrap_or("(the system user)")
    }

    /// The database that is connected to.
    pub fn name(&self) -> &str {
        self.parsed.get_dbname().unwrap_or(self.role())
    }

    /// Host and port for messages.
    pub fn place(&self) -> String {
        let host = match self.parsed.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            Some(Host::Unix(path)) => path.display().to_string(),
            None => "the given address".to_owned(),
        };
        let port = self.parsed.get_ports().first().copied().unwrap_or(5_432);
        format!("{host}:{port}")
    }
}

// The URL may hold a password.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("url", &self.url)
            .field("place", &self.place())
            .field("name", &self.name())
            .field("role", &self.role())
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// The credential of this name.
    pub fn resolve(&self, name: &str) -> Result<SecretString, CredentialError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        // Whoever manages destinations names credential and endpoint. The sidecar's own settings
        // and the database's password must not travel to such an endpoint.
        let own = name.starts_with("CAPI_") || name.starts_with("PG");
        if name.is_empty() || own || !name.bytes().all(plain) {
            return Err(CredentialError::Name);
        }
        let found = (self.environment)(name).map(SecretString::from);
        let found = found.or_else(|| self.table.get(name).cloned());
        let token = match (found, &self.directory) {
            (Some(token), _) => token,
            (None, None) => return Err(CredentialError::Missing),
            (None, Some(directory)) => match fs::read_to_string(directory.join(name)) {
                Ok(text) => text.into(),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    return Err(CredentialError::Missing);
                }
                Err(_) => return Err(CredentialError::Unreadable),
            },
        };
        let trimmed = token.expose_secret().trim();
        // A key file is JSON, with spaces and lines.
        let object = trimmed.starts_with('{') && trimmed.parse::<serde_json::Value>().is_ok();
        let token = !trimmed.is_empty() && trimmed.bytes().all(|b| b.is_ascii_graphic());
        if !token && !object {
            return Err(CredentialError::Value);
        }
        Ok(trimmed.into())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("names", &self.table.keys())
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "database_url = 'postgres://capi:s3cret@db.example.com/shop'\n";

    fn nothing(_: &str) -> Option<String> {
        None
    }

    fn read(file: &str) -> Result<Config, ConfigError> {
        Config::read(&format!("{URL}{file}"), nothing)
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let config = read("").expect("a configuration");
        assert_eq!(config.delivery.concurrency, 4);
        assert_eq!(config.delivery.lease, Duration::from_secs(60));
        assert_eq!(config.delivery.request_timeout, Duration::from_secs(10));
        assert_eq!(config.doorbell.poll, Duration::from_millis(3));
        assert_eq!(config.log.format, LogFormat::Text);
        assert_eq!(config.instance, None);
    }

    #[test]
    fn the_help_text_knows_every_setting() {
        let mut settings =
            Settings { table: URL.parse().expect("TOML"), environment: nothing, known: vec![] };
        settings.config().expect("a configuration");
        let mut known = settings.known;
        known.retain(|key| *key != "credentials");
        let mut listed: Vec<_> = SETTINGS.iter().map(|(key, _)| *key).collect();
        known.sort_unstable();
        listed.sort_unstable();
        assert_eq!(known, listed);
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        fn environment(name: &str) -> Option<String> {
            match name {
                "CAPI_INSTANCE" => Some("42".into()),
                "CAPI_CONCURRENCY" => Some("7".into()),
                _ => None,
            }
        }
        let file = format!("{URL}instance = 'file'\nlease = 30\n");
        let config = Config::read(&file, environment).expect("a configuration");
        assert_eq!(config.instance.as_deref(), Some("42"));
        assert_eq!(config.delivery.concurrency, 7);
        assert_eq!(config.delivery.lease, Duration::from_secs(30));
    }

    #[test]
    fn what_is_wrong_is_named_without_its_value() {
        for (file, key) in [
            ("leese = 30", "setting leese is not known"),
            ("lease = 's3cret'", "setting lease (environment: CAPI_LEASE) must be a whole"),
            ("lease = 3", "setting lease"),
            ("lease = -1", "setting lease"),
            ("lease = 15\nrequest_timeout = 10", "setting lease"),
            ("instance = 7", "setting instance"),
            ("log_format = 's3cret'", "setting log_format"),
            ("log = 'a=b=c'", "setting log"),
            ("credentials = 's3cret'", "setting credentials"),
            ("credentials = { a = 1 }", "setting credentials"),
            ("x = 's3cret", "config file is not TOML near line 2"),
            ("database_url = 's3cret'", "config file is not TOML near line 2"),
        ] {
            let error = read(file).expect_err(file).to_string();
            assert!(error.starts_with(key), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
        let error = Config::read("", nothing).expect_err("no URL").to_string();
        assert_eq!(error, "setting database_url (environment: CAPI_DATABASE_URL) is required");
        let error = Config::read("database_url = 'my s3cret'", nothing).expect_err("no URL");
        assert!(!format!("{error} {error:?}").contains("s3cret"));
    }

    #[test]
    fn debug_shows_no_secret() {
        let config = read("credentials.META_TOKEN = 'EAAGsecret'").expect("a configuration");
        let shown = format!("{config:?}");
        assert!(shown.contains("META_TOKEN") && shown.contains("db.example.com"), "{shown}");
        assert!(!shown.contains("EAAGsecret") && !shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn tls_is_required_unless_the_database_is_here() {
        for (url, mode) in [
            ("postgres://a@db.example.com/x", SslMode::Require),
            ("postgres://a@db.example.com/x?sslmode=prefer", SslMode::Require),
            ("postgres://a@db.example.com/x?sslmode=verify-full", SslMode::Require),
            ("postgres://a@db.example.com/x?sslmode=disable", SslMode::Disable),
            ("postgres://a@127.0.0.1/x", SslMode::Disable),
            ("host=/run/postgresql dbname=x", SslMode::Disable),
            ("host=localhost,db.example.com user=a", SslMode::Require),
        ] {
            let config = Config::read(&format!("database_url = '{url}'"), nothing).expect(url);
            assert_eq!(config.database.driver().get_ssl_mode(), mode, "{url}");
        }
    }

    fn credentials(directory: Option<PathBuf>) -> Credentials {
        fn environment(name: &str) -> Option<String> {
            match name {
                "META_TOKEN" | "CAPI_DATABASE_URL" | "PGPASSWORD" => {
                    Some(" from-environment ".into())
                }
                "BROKEN" => Some("two\nlines".into()),
                _ => None,
            }
        }
        let table =
            ["META_TOKEN", "TABLE_TOKEN"].map(|name| (name.to_owned(), "from-table".into()));
        Credentials { table: table.into(), directory, environment }
    }

    #[test]
    fn credentials_come_from_environment_then_table_then_directory() {
        let directory =
            std::env::temp_dir().join(format!("capi-credentials-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        fs::write(directory.join("FILE_TOKEN"), "from-file\n").expect("a file");
        let credentials = credentials(Some(directory.clone()));
        let get = |name| credentials.resolve(name).map(|token| token.expose_secret().to_owned());
        assert_eq!(get("META_TOKEN").as_deref(), Ok("from-environment"));
        assert_eq!(get("TABLE_TOKEN").as_deref(), Ok("from-table"));
        assert_eq!(get("FILE_TOKEN").as_deref(), Ok("from-file"));
        fs::write(directory.join("KEY_FILE"), "{\n  \"private_key\": \"a b\"\n}\n")
            .expect("a file");
        assert_eq!(get("KEY_FILE").as_deref(), Ok("{\n  \"private_key\": \"a b\"\n}"));
        fs::write(directory.join("NO_KEY_FILE"), "{ broken").expect("a file");
        assert_eq!(get("NO_KEY_FILE"), Err(CredentialError::Value));
        assert_eq!(get("OTHER"), Err(CredentialError::Missing));
        assert_eq!(get("BROKEN"), Err(CredentialError::Value));
        fs::remove_dir_all(directory).expect("removed");
    }

    #[test]
    fn a_credential_name_reaches_nothing_but_credentials() {
        for name in ["", "../shadow", "a/b", "CAPI_DATABASE_URL", "PGPASSWORD", "a b", "a.b"] {
            let found = credentials(None).resolve(name).map(|_| ());
            assert_eq!(found, Err(CredentialError::Name), "{name}");
        }
    }
}
