//! File and environment to [`Config`]. The only place that reads the environment.
//!
//! A setting has the same name in the file (TOML) and, in capitals behind `CAPI_`, in the
//! environment, which wins. Values are checked here and never quoted: one may be a secret in the
//! wrong place.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::Duration;

use secrecy::SecretString;
use toml::{Table, Value};

use crate::retry::Rate;
use environment::Environment;

mod credentials;
mod database;
mod environment;
mod exposed;

pub use credentials::{Credential, CredentialError, Credentials, Fingerprint};
use credentials::{Declared, Place, Source, is_name};
pub use database::Database;

/// The settings of the help text, by key: meaning, unit, default.
pub const SETTINGS: &[(&str, &str)] = &[
    ("database_url", "postgres:// URL or key=value string; required"),
    ("database_root_cert", "PEM file with further root certificates for the database"),
    ("database_connections", "connections besides the bell's [6]"),
    ("instance", "name that the database must bear [not compared]"),
    ("worker", "name of this process in capi.attempt [capi- and a number]"),
    ("concurrency", "requests in flight per destination [4]"),
    ("rate", "requests per minute and destination [what the platform allows]"),
    ("lease", "seconds that a claimed batch belongs to its worker [60]"),
    ("request_timeout", "seconds that a platform may take to answer [10]"),
    ("connect_timeout", "seconds that connecting to a platform may take [3]"),
    ("grace", "seconds that requests in flight may take after SIGTERM [10]"),
    ("poll", "milliseconds between polls while awake [3]"),
    ("sleep_after", "milliseconds without work before sleep [50]"),
    ("safety_poll", "seconds between polls while asleep [6]"),
    ("listen", "address and port of /healthz, /readyz and /metrics [none]"),
    ("look_every", "seconds between looks at backlog, expiry and alerts [60]"),
    ("maintain_every", "seconds between maintenances: partitions, retention, sweep [600]"),
    ("alert_webhook", "name of the credential that holds the alerts' URL [none]"),
    ("alert_format", "slack or json [slack]"),
    ("alert_backlog", "minutes that an event may wait before an alert [15]"),
    ("alert_refused", "percent of refused events in an hour that make an alert [10]"),
    ("log", "filter such as info or capi_sidecar=debug [info]"),
    ("log_format", "text or json [text]"),
    ("credentials", "the credentials, NAME or NAME@host, by commas; a table in the file [none]"),
    ("endpoints", "hosts besides the vendors' own, by commas; a list in the file [none]"),
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
    /// Where health and metrics are served: an address and a port, such as `127.0.0.1:9187`.
    /// `listen`, `CAPI_LISTEN`; default: nowhere.
    pub listen: Option<SocketAddr>,
    /// Time between maintenances, in seconds, 1 to 3600: each sweeps the last two hours. Of several sidecars each tries, and one at a
    /// time does it. `maintain_every`, `CAPI_MAINTAIN_EVERY`; default 600.
    pub maintain_every: Duration,
    /// When somebody is told.
    pub alerts: Alerts,
    /// What is logged.
    pub log: Log,
    /// Which credentials there are, and where they may go.
    pub credentials: Credentials,
    /// The file that was read.
    file: Option<PathBuf>,
}

/// How batches are sent.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Requests in flight per destination, 1 to 64. `concurrency`, `CAPI_CONCURRENCY`; default 4.
    pub concurrency: usize,
    /// Requests per minute to each destination that `rates` does not name, 1 to 60000. `rate`,
    /// `CAPI_RATE`; default: what the platform allows.
    pub rate: Option<Rate>,
    /// Requests per minute by name of the destination: the table `[rates]` of the file.
    pub rates: BTreeMap<String, Rate>,
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

/// When somebody is told that something is wrong, and who.
#[derive(Clone, Debug)]
pub struct Alerts {
    /// Time between looks at backlog, expiry and alerts, in seconds, 1 to 3600. `look_every`,
    /// `CAPI_LOOK_EVERY`; default 60.
    pub look_every: Duration,
    /// Name of the credential that holds the URL which alerts are posted to; the URL is a secret.
    /// `alert_webhook`, `CAPI_ALERT_WEBHOOK`; default: none, alerts are in `capi.alerts` only.
    pub webhook: Option<String>,
    /// What is posted. `alert_format`, `CAPI_ALERT_FORMAT`, `slack` or `json`; default `slack`.
    pub format: AlertFormat,
    /// How long an event may wait, in minutes, 1 to 10080. `alert_backlog`, `CAPI_ALERT_BACKLOG`;
    /// default 15.
    pub backlog: Duration,
    /// Percent of refused events within an hour that make an alert, 1 to 100. `alert_refused`,
    /// `CAPI_ALERT_REFUSED`; default 10.
    pub refused_percent: u64,
}

/// What an alert looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertFormat {
    /// `{"text": …}`, which Slack and those that imitate it take.
    Slack,
    /// An object with a key for each part.
    Json,
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

/// Requests per minute that one may ask for.
const RATES: RangeInclusive<u64> = 1..=60_000;

/// The value of an environment variable, unless it is empty.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Config {
    /// Reads `file`, or the one that `CAPI_CONFIG` names, and the environment over it.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let named = variable("CAPI_CONFIG").map(PathBuf::from);
        let file = file.or(named.as_deref());
        let text = match file {
            Some(path) => fs::read_to_string(path)
                .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?,
            None => String::new(),
        };
        Ok(Self { file: file.map(Path::to_owned), ..Self::read(&text, variable)? })
    }

    /// Places of the configuration and of credentials that everybody on the machine may change.
    pub fn exposed(&self) -> Vec<PathBuf> {
        exposed::exposed(self.file.as_deref(), self.credentials.directory.as_deref())
    }

    /// Settings that differ in `new` and take effect with the next start only.
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let differs = [
            ("listen", self.listen != new.listen),
            ("log", self.log.filter != new.log.filter),
            ("log_format", self.log.format != new.log.format),
        ];
        differs.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
    }

    /// Requests per minute to a destination, as far as the configuration says so.
    pub fn rate(&self, destination: &str) -> Option<Rate> {
        self.delivery.rates.get(destination).copied().or(self.delivery.rate)
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
            rate: Rate::per_minute(self.whole("rate", 0, RATES)?),
            rates: self.rates()?,
            lease: Duration::from_secs(self.whole("lease", 60, 15..=3_600)?),
            request_timeout: Duration::from_secs(self.whole("request_timeout", 10, 1..=300)?),
            connect_timeout: Duration::from_secs(self.whole("connect_timeout", 3, 1..=60)?),
            grace: Duration::from_secs(self.whole("grace", 10, 0..=600)?),
        };
        if delivery.lease <= delivery.request_timeout + Duration::from_secs(5) {
            return Err(broken("lease", "must exceed request_timeout by more than 5 seconds"));
        }
        Ok(Config {
            file: None,
            database: self.database(usize::try_from(connections).unwrap_or(6))?,
            instance: self.text("instance")?,
            worker: self.text("worker")?.unwrap_or_else(default_worker),
            delivery,
            doorbell: Doorbell {
                poll: Duration::from_millis(self.whole("poll", 3, 1..=1_000)?),
                sleep_after: Duration::from_millis(self.whole("sleep_after", 50, 10..=60_000)?),
                safety_poll: Duration::from_secs(self.whole("safety_poll", 6, 5..=300)?),
            },
            listen: self.listen()?,
            maintain_every: Duration::from_secs(self.whole("maintain_every", 600, 1..=3_600)?),
            alerts: self.alerts()?,
            log: self.log()?,
            credentials: Credentials {
                declared: self.credentials()?,
                endpoints: self.endpoints()?,
                directory: self.text("credentials_dir")?.map(PathBuf::from),
                environment: self.environment,
            },
        })
    }

    fn database(&mut self, connections: usize) -> Result<Database, ConfigError> {
        let url = self.text("database_url")?.map(SecretString::from);
        let url = url.ok_or_else(|| broken("database_url", "is required"))?;
        let parsed = database::parse(&url).ok_or_else(|| {
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

    fn listen(&mut self) -> Result<Option<SocketAddr>, ConfigError> {
        let address = self.text("listen")?.map(|text| text.parse());
        address.transpose().map_err(|_| {
            broken("listen", "must be an IP address and a port such as 127.0.0.1:9187")
        })
    }

    fn alerts(&mut self) -> Result<Alerts, ConfigError> {
        Ok(Alerts {
            look_every: Duration::from_secs(self.whole("look_every", 60, 1..=3_600)?),
            webhook: self.receiver()?,
            format: match self.text("alert_format")?.as_deref() {
                None | Some("slack") => AlertFormat::Slack,
                Some("json") => AlertFormat::Json,
                Some(_) => return Err(broken("alert_format", "must be slack or json")),
            },
            backlog: Duration::from_secs(60 * self.whole("alert_backlog", 15, 1..=10_080)?),
            refused_percent: self.whole("alert_refused", 10, 1..=100)?,
        })
    }

    /// The name is logged: a URL in its place is a secret.
    fn receiver(&mut self) -> Result<Option<String>, ConfigError> {
        const KEY: &str = "alert_webhook";
        let name = self.text(KEY)?;
        if name.as_deref().is_some_and(|name| !is_name(name)) {
            let rule = "must be the name of the credential that holds the URL, not the URL itself";
            return Err(broken(KEY, rule));
        }
        Ok(name)
    }

    fn rates(&mut self) -> Result<BTreeMap<String, Rate>, ConfigError> {
        self.known.push("rates");
        let rule = "must be a table of destinations with whole numbers from 1 to 60000";
        let table = match self.table.remove("rates") {
            None => return Ok(BTreeMap::new()),
            Some(Value::Table(table)) => table,
            Some(_) => return Err(broken("rates", rule)),
        };
        let rate = |(name, value)| match value {
            Value::Integer(number) => u64::try_from(number)
                .ok()
                .filter(|number| RATES.contains(number))
                .and_then(Rate::per_minute)
                .map(|rate| (name, rate))
                .ok_or_else(|| broken("rates", rule)),
            _ => Err(broken("rates", rule)),
        };
        table.into_iter().map(rate).collect()
    }

    fn credentials(&mut self) -> Result<BTreeMap<String, Declared>, ConfigError> {
        const KEY: &str = "credentials";
        self.known.push(KEY);
        let rule = "must be a table of names, each with a text or with a table of value, env or file, \
            and hosts and expires";
        let table = match self.table.remove(KEY) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(_) => return Err(broken(KEY, rule)),
        };
        let mut declared = BTreeMap::new();
        for (name, value) in table {
            if !is_name(&name) {
                return Err(broken(KEY, &CredentialError::Name.to_string()));
            }
            let one = match value {
                Value::String(token) => {
                    Declared { source: Source::Value(token.into()), ..Declared::default() }
                }
                Value::Table(table) => declaration(table).ok_or_else(|| broken(KEY, rule))?,
                _ => return Err(broken(KEY, rule)),
            };
            declared.insert(name, one);
        }
        // One that the file declares may get its hosts here.
        let mut named: BTreeMap<String, Vec<Place>> = BTreeMap::new();
        for one in listed(&(self.environment)(&variable_of(KEY)).unwrap_or_default()) {
            let (name, place) = match one.split_once('@') {
                Some((name, place)) => (name, Some(place)),
                None => (one.as_str(), None),
            };
            let place = place.map(|place| Place::parse(place).ok_or(())).transpose();
            let (true, Ok(place)) = (is_name(name), place) else {
                let rule = "must be names of credentials, each with or without @host or @host:port \
                    behind it";
                return Err(broken(KEY, rule));
            };
            named.entry(name.to_owned()).or_default().extend(place);
        }
        for (name, hosts) in named {
            let one: &mut Declared = declared.entry(name).or_default();
            if !hosts.is_empty() {
                one.hosts = Some(hosts);
            }
        }
        Ok(declared)
    }

    fn endpoints(&mut self) -> Result<Vec<Place>, ConfigError> {
        const KEY: &str = "endpoints";
        self.known.push(KEY);
        let in_file = self.table.remove(KEY);
        let places = match ((self.environment)(&variable_of(KEY)), in_file) {
            (Some(text), _) => {
                listed(&text).iter().map(|one| Place::parse(one)).collect::<Option<Vec<_>>>()
            }
            (None, None) => Some(Vec::new()),
            (None, Some(list)) => places(list),
        };
        places.ok_or_else(|| broken(KEY, "must be a list of hosts, each with or without a port"))
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
                None => return Ok(default),
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

/// The parts of a list in a variable.
fn listed(text: &str) -> Vec<String> {
    let parts = text.split(|c: char| c == ',' || c.is_whitespace());
    parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// A list of hosts in the file.
fn places(value: Value) -> Option<Vec<Place>> {
    let Value::Array(list) = value else { return None };
    list.iter().map(|one| Place::parse(one.as_str()?)).collect()
}

/// What the table of a credential says; nothing when it says what has no meaning.
fn declaration(mut table: Table) -> Option<Declared> {
    let mut text = |key: &str| match table.remove(key) {
        None => Some(None),
        Some(Value::String(text)) if !text.is_empty() => Some(Some(text)),
        Some(_) => None,
    };
    let source = match (text("value")?, text("env")?, text("file")?) {
        (None, None, None) => Source::Usual,
        (Some(value), None, None) => Source::Value(value.into()),
        (None, Some(variable), None) => Source::Variable(variable),
        (None, None, Some(file)) => Source::File(file.into()),
        _ => return None,
    };
    let expires = text("expires")?.map(SecretString::from);
    let hosts = match table.remove("hosts") {
        None => None,
        Some(list) => Some(places(list)?),
    };
    table.is_empty().then_some(Declared { source, hosts, expires })
}

/// The variable of a setting.
pub fn variable_of(key: &str) -> String {
    format!("CAPI_{}", key.to_uppercase())
}

fn broken(key: &'static str, rule: &str) -> ConfigError {
    ConfigError::Setting { key, variable: variable_of(key), rule: rule.to_owned() }
}

/// Two sidecars in containers often share the process id 1. The same after a reload.
fn default_worker() -> String {
    static NAME: OnceLock<String> = OnceLock::new();
    let name = || format!("capi-{}-{:04x}", std::process::id(), rand::random::<u16>());
    NAME.get_or_init(name).clone()
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
        known.retain(|key| *key != "rates");
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
            ("credentials.A = { value = 's3cret', file = '/x' }", "setting credentials"),
            ("credentials.A = { hosts = 'a.example' }", "setting credentials"),
            ("credentials.A = { hosts = ['https://s3cret'] }", "setting credentials"),
            ("credentials.A = { s3cret = 'a' }", "setting credentials"),
            ("credentials.PGPASSWORD = { env = 'A' }", "setting credentials"),
            ("endpoints = 's3cret'", "setting endpoints"),
            ("endpoints = ['s3cret/x']", "setting endpoints"),
            ("rate = 0", "setting rate"),
            ("rates = { meta-eu = 's3cret' }", "setting rates"),
            ("rates = { meta-eu = 0 }", "setting rates"),
            ("listen = 's3cret'", "setting listen"),
            ("listen = 9187", "setting listen"),
            ("alert_format = 's3cret'", "setting alert_format"),
            ("alert_webhook = 'https://hooks.example.com/s3cret'", "setting alert_webhook"),
            ("alert_refused = 101", "setting alert_refused"),
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
    fn a_destination_has_its_own_rate_or_the_common_one() {
        let config = read("rate = 600\n[rates]\nmeta-us = 30\n").expect("a configuration");
        assert_eq!(config.rate("meta-us"), Rate::per_minute(30));
        assert_eq!(config.rate("meta-eu"), Rate::per_minute(600));
        assert_eq!(read("").expect("a configuration").rate("meta-eu"), None);
    }

    #[test]
    fn a_reload_keeps_the_workers_name_and_tells_what_it_cannot_change() {
        let old = read("").expect("a configuration");
        let new = read("listen = '127.0.0.1:9187'\nlog = 'debug'\nconcurrency = 9\n");
        let new = new.expect("a configuration");
        assert_eq!(old.worker, new.worker);
        assert_eq!(old.needs_restart(&new), ["listen", "log"]);
    }

    /// Whether the credential is declared and may go to this URL, for destinations of Meta.
    fn goes(config: &Config, name: &str, url: &str) -> Result<bool, CredentialError> {
        let url = reqwest::Url::parse(url).expect("a URL");
        Ok(config.credentials.resolve(name, "meta")?.may_go(&url))
    }

    #[test]
    fn a_credential_goes_to_its_hosts_or_to_the_vendors_and_the_listed_ones() {
        fn environment(name: &str) -> Option<String> {
            Some(match name {
                "CAPI_CREDENTIALS" => {
                    "A_TOKEN, HOOK@a.example HOOK@127.0.0.1:8080,B_TOKEN@b.example".into()
                }
                "CAPI_ENDPOINTS" => "gw.example.com,127.0.0.1:55190".into(),
                "A_TOKEN" | "HOOK" | "SECRET_ACCESS_KEY" | "OTHER_NAME" => "t".into(),
                _ => return None,
            })
        }
        let file = format!(
            "{URL}endpoints = ['not.this.example']\n[credentials]\nB_TOKEN = 't'\n\
             [credentials.C_TOKEN]\nenv = 'OTHER_NAME'\nhosts = ['c.example']\n"
        );
        let config = Config::read(&file, environment).expect("a configuration");
        for (name, url, expected) in [
            ("A_TOKEN", "https://graph.facebook.com/v1/1", Ok(true)),
            ("A_TOKEN", "https://gw.example.com/capi", Ok(true)),
            ("A_TOKEN", "http://127.0.0.1:55190/", Ok(true)),
            ("A_TOKEN", "http://127.0.0.1:55191/", Ok(false)),
            ("A_TOKEN", "https://not.this.example/", Ok(false)),
            ("A_TOKEN", "https://business-api.tiktok.com/", Ok(false)),
            ("HOOK", "https://a.example/in", Ok(true)),
            ("HOOK", "http://127.0.0.1:8080/in", Ok(true)),
            ("HOOK", "https://graph.facebook.com/", Ok(false)),
            ("HOOK", "https://gw.example.com/", Ok(false)),
            ("B_TOKEN", "https://b.example/", Ok(true)),
            ("B_TOKEN", "https://graph.facebook.com/", Ok(false)),
            ("C_TOKEN", "https://c.example/", Ok(true)),
            ("SECRET_ACCESS_KEY", "https://graph.facebook.com/", Err(CredentialError::Undeclared)),
            ("OTHER_NAME", "https://graph.facebook.com/", Err(CredentialError::Undeclared)),
        ] {
            assert_eq!(goes(&config, name, url), expected, "{name} to {url}");
        }
    }

    #[test]
    fn the_receiver_of_alerts_is_no_credential_of_destinations() {
        fn environment(name: &str) -> Option<String> {
            (name == "ALERT_URL").then(|| "https://hooks.example/s3cret".into())
        }
        let file = format!("{URL}alert_webhook = 'ALERT_URL'\n");
        let config = Config::read(&file, environment).expect("a configuration");
        assert!(config.credentials.receiver("ALERT_URL").is_ok());
        let undeclared = Err(CredentialError::Undeclared);
        assert_eq!(goes(&config, "ALERT_URL", "https://graph.facebook.com/"), undeclared);
        assert!(config.credentials.receiver("CAPI_DATABASE_URL").is_err());
    }

    #[test]
    fn what_is_refused_has_the_line_to_add() {
        let config = read("[credentials]\nA = 't'\nB = { value = 't', hosts = ['b.example'] }\n");
        let credentials = config.expect("a configuration").credentials;
        let says = |name: &str, url: &str| {
            let credential = credentials.resolve(name, "meta").expect(name);
            credentials.check_endpoint(name, &credential, url)
        };
        assert_eq!(says("A", "https://graph.facebook.com"), Ok(()));
        let said = says("A", "http://127.0.0.1:55190/x").expect_err("not listed");
        assert!(said.starts_with("credential A may not go to 127.0.0.1:55190: "), "{said}");
        assert!(said.contains(r#"hosts = ["127.0.0.1:55190"] to [credentials.A]"#), "{said}");
        let said = says("B", "https://graph.facebook.com").expect_err("not listed");
        assert!(said.ends_with("add it to the hosts of B"), "{said}");
        let said = credentials.resolve("C", "meta").expect_err("not declared").about("C");
        assert!(said.contains("[credentials.C]") && said.contains("CAPI_CREDENTIALS"), "{said}");
    }

    #[test]
    fn debug_shows_no_secret() {
        let config = read("credentials.META_TOKEN = 'EAAGsecret'").expect("a configuration");
        let shown = format!("{config:?}");
        assert!(shown.contains("META_TOKEN") && shown.contains("db.example.com"), "{shown}");
        assert!(!shown.contains("EAAGsecret") && !shown.contains("s3cret"), "{shown}");
    }
}
