//! `capi check`: says for each precondition of `capi run` whether it is met, and the way out.

use std::io::Write as _;
use std::process::ExitCode;

use capi_core::time::Timestamp;
use serde_json::{Value, json};

use super::way_out::way_out;
use crate::VERSION;
use crate::alert::{one_line, step_to};
use crate::config::{Config, ConfigError, Credentials, Database};
use crate::handshake::Handshake;
use crate::queue::{DestinationRow, Inspection, QueueError, Session};
use crate::worker::chain;
use crate::workers::ready;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Ok,
    Warn,
    Fail,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Check {
    name: String,
    level: Level,
    message: String,
    way_out: Option<String>,
}

impl Check {
    fn ok(name: &str, message: impl Into<String>) -> Self {
        Self { name: name.into(), level: Level::Ok, message: message.into(), way_out: None }
    }

    fn warn(name: &str, message: impl Into<String>, way_out: impl Into<String>) -> Self {
        let way_out = Some(way_out.into());
        Self { name: name.into(), level: Level::Warn, message: message.into(), way_out }
    }

    fn fail(name: &str, message: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self { level: Level::Fail, ..Self::warn(name, message, way_out) }
    }

    fn of_error(name: &str, error: &QueueError, database: &Database) -> Self {
        let way_out = way_out(error, database);
        Self { name: name.into(), level: Level::Fail, message: chain(error), way_out }
    }

    fn json(&self) -> Value {
        json!({
            "check": self.name,
            "level": self.level.as_str(),
            "message": self.message,
            "way_out": self.way_out,
        })
    }

    fn line(&self) -> String {
        let level = self.level.as_str();
        let way_out = self.way_out.as_ref().map(|text| format!("; {text}")).unwrap_or_default();
        // A name may hold a line break.
        let said = one_line(&format!("{level:<4}  {:<12}  {}{way_out}", self.name, self.message));
        said + "\n"
    }
}

pub(super) async fn check(
    config: Result<Config, ConfigError>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let mut checks = Vec::new();
    match config {
        Ok(config) => all(&config, &mut checks).await,
        Err(error) => {
            let way_out = "correct the file or the environment; `capi --help` names the variables";
            checks.push(Check::fail("config", chain(&error), way_out));
        }
    }
    let text = if json {
        format!("{:#}\n", checks.iter().map(Check::json).collect::<Value>())
    } else {
        checks.iter().map(Check::line).collect()
    };
    std::io::stdout().write_all(text.as_bytes())?;
    let failed = checks.iter().any(|check| check.level == Level::Fail);
    Ok(if failed { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// Every check, up to the first one without which the next ones make no sense.
async fn all(config: &Config, checks: &mut Vec<Check>) {
    let database = &config.database;
    checks.push(Check::ok("config", format!("{} as worker {}", place(database), config.worker)));
    for place in config.exposed() {
        let way_out = "take the right to write from others: chmod o-w";
        let message = format!("everybody on this machine may change {}", place.display());
        checks.push(Check::warn("config", message, way_out));
    }
    if database.in_clear() {
        let way_out = "drop sslmode=disable from `database_url`";
        checks.push(Check::warn("tls", "the database connection is not encrypted", way_out));
    }
    let session = match Session::open(database).await {
        Ok(session) => session,
        Err(error) => return checks.push(Check::of_error("database", &error, database)),
    };
    let inspection = match session.inspect().await {
        Ok(inspection) => inspection,
        Err(error) => return checks.push(Check::of_error("database", &error, database)),
    };
    checks.push(Check::ok("database", format!("connected as {}", inspection.role)));
    let found = installation(&inspection, database);
    let usable = found.iter().all(|check| check.level != Level::Fail);
    checks.extend(found);
    if !usable {
        return;
    }
    match session.handshake().await {
        Ok(handshake) => checks.extend(versions(&handshake, config.instance.as_deref())),
        Err(error) => return checks.push(Check::of_error("handshake", &error, database)),
    }
    match session.destinations().await {
        Ok(rows) => checks.extend(destinations(&rows, &config.credentials, crate::worker::now())),
        Err(error) => checks.push(Check::of_error("destinations", &error, database)),
    }
    checks.extend(alerts(config));
    checks.push(match session.bell_keep().await {
        Ok(true) => Check::ok("bell", "free: the next sidecar keeps it"),
        Ok(false) => Check::ok("bell", "kept by a running sidecar"),
        Err(error) => Check::of_error("bell", &error, database),
    });
    checks.push(match session.locks().await {
        Ok(holders) => Check::ok("locks", held(&holders)),
        Err(error) => Check::of_error("locks", &error, database),
    });
}

/// Who holds locks of the extension: whoever waits for one waits for them.
fn held(holders: &Value) -> String {
    let holder = |row: &Value| {
        let of = row["id"].as_i64().filter(|id| *id != 0).map(|id| format!(" of {id}"));
        let (lock, role) = (&row["lock"], &row["role"]);
        format!(
            "{}{} by {} (pid {})",
            lock.as_str().unwrap_or_default(),
            of.unwrap_or_default(),
            role.as_str().unwrap_or("a prepared transaction"),
            row["pid"]
        )
    };
    let holders: Vec<String> = holders.as_array().into_iter().flatten().map(holder).collect();
    match holders.as_slice() {
        [] => "nobody holds one".to_owned(),
        holders => format!("held: {}", holders.join(", ")),
    }
}

fn place(database: &Database) -> String {
    format!("database {} at {}", database.name(), database.place())
}

/// Extension, tables and rights.
fn installation(inspection: &Inspection, database: &Database) -> Vec<Check> {
    let Inspection { role, superuser, extension, available, set_up, denied } = inspection;
    let name = database.name();
    let Some(extension) = extension else {
        let way_out = match available {
            true => format!("in database {name} run `create extension pg_capi;`"),
            false => "install the package of pg_capi for this server's version".to_owned(),
        };
        return vec![Check::fail("extension", format!("not in database {name}"), way_out)];
    };
    let mut checks = vec![Check::ok("extension", extension.clone())];
    if !set_up {
        let way_out = format!("in database {name} run `select capi.setup();`");
        checks.push(Check::fail("setup", "the tables are missing", way_out));
        return checks;
    }
    checks.push(match denied.as_slice() {
        [] => Check::ok("rights", "may call every function that `capi run` needs"),
        denied => Check::fail(
            "rights",
            format!("may not call {}", denied.join(", ")),
            format!("run `grant capi_sidecar to {role};`"),
        ),
    });
    if *superuser {
        let way_out = "connect as a role that is a member of capi_sidecar and nothing else";
        checks.push(Check::warn("role", format!("{role} is a superuser"), way_out));
    }
    checks
}

/// Versions, name and adoption.
fn versions(handshake: &Handshake, instance: Option<&str>) -> Vec<Check> {
    let fits = handshake.check_versions(VERSION).map_err(|misfit| misfit.to_string());
    let here = handshake.check_instance(instance).map_err(|misfit| misfit.to_string());
    let check = |name: &str, found: Result<(), String>, message: String| match found {
        Ok(()) => Check::ok(name, message),
        Err(misfit) => {
            Check { name: name.into(), level: Level::Fail, message: misfit, way_out: None }
        }
    };
    let compared = if instance.is_some() { "as configured" } else { "not compared" };
    vec![
        check("versions", fits, format!("sidecar {VERSION}, extension {}", handshake.extension)),
        check("instance", here, format!("{} ({compared})", handshake.instance)),
        if handshake.adopted {
            Check::ok("adopted", "this database sends")
        } else {
            Check::fail(
                "adopted",
                "this database is a copy (restored, cloned or upgraded) and sends nothing",
                "if it is the one to send from now on, run `capi adopt`",
            )
        },
    ]
}

/// Settings, credential, state and API version of each destination.
fn destinations(rows: &[DestinationRow], credentials: &Credentials, now: Timestamp) -> Vec<Check> {
    if rows.is_empty() {
        let way_out = "create one with `select capi.create_destination(…);`";
        return vec![Check::warn("destination", "there is none", way_out)];
    }
    rows.iter().map(|row| destination(row, credentials, now)).collect()
}

/// Whether the receiver of alerts is known, if there is to be one.
fn alerts(config: &Config) -> Option<Check> {
    let name = config.alerts.webhook.as_deref()?;
    Some(match config.credentials.receiver(name) {
        Ok(_) => Check::ok("alerts", format!("posted to the URL in {name}")),
        Err(error) => {
            let way_out = "give this sidecar the URL under that name";
            Check::fail("alerts", format!("{error}: {name}"), way_out)
        }
    })
}

fn destination(row: &DestinationRow, credentials: &Credentials, now: Timestamp) -> Check {
    let DestinationRow { name, state, pause_reason, .. } = row;
    let named = |text: &str| format!("{name}: {text}");
    let platform = match ready(row, credentials) {
        Ok((platform, _)) => platform,
        Err(why) => {
            return Check::fail(
                "destination",
                named(&why),
                "correct it with capi.alter_destination, or give this sidecar the credential",
            );
        }
    };
    let resume = format!("mend the cause, then `select capi.resume('{name}');`");
    let reason = pause_reason.as_deref().unwrap_or("no reason given");
    match state.as_str() {
        "active" => {}
        "blocked" => {
            return Check::fail("destination", named(&format!("blocked: {reason}")), resume);
        }
        other => return Check::warn("destination", named(&format!("{other}: {reason}")), resume),
    }
    match credentials.expires(&row.credential) {
        Ok(Some(end)) => {
            if let Some(days) = step_to(end, now) {
                let when = match days.as_str() {
                    "0" => "has expired, or does so now".to_owned(),
                    "1" => "expires within a day".to_owned(),
                    days => format!("expires within {days} days"),
                };
                return Check::warn(
                    "destination",
                    named(&format!("{} {when}", row.credential)),
                    "store a new credential under the same name, and its own end beside it",
                );
            }
        }
        Ok(None) => {}
        Err(error) => {
            let way_out = format!("correct {}_EXPIRES", row.credential);
            return Check::warn("destination", named(&error.to_string()), way_out);
        }
    }
    let Some(version) = platform.api_version() else {
        return Check::ok("destination", named("active"));
    };
    match version.trouble(now) {
        None => Check::ok("destination", named(&format!("active, API {}", version.name))),
        Some(trouble) if trouble.has_ended => {
            Check::fail("destination", named(&trouble.what), trouble.way_out)
        }
        Some(trouble) => Check::warn("destination", named(&trouble.what), trouble.way_out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::read_text(
            "database_url = 'postgres://capi:s3cret@db.example.com/shop'\n\
             credentials.META_TOKEN = 'EAAGsecret'\n",
        )
        .expect("a configuration")
    }

    fn inspection() -> Inspection {
        Inspection {
            role: "capi".into(),
            superuser: false,
            extension: Some("0.1.0".into()),
            available: true,
            set_up: true,
            denied: vec![],
        }
    }

    fn levels(checks: &[Check]) -> Vec<Level> {
        checks.iter().map(|check| check.level).collect()
    }

    fn way_out_of(checks: &[Check]) -> String {
        checks.last().and_then(|check| check.way_out.clone()).unwrap_or_default()
    }

    #[test]
    fn a_sound_installation_is_ok() {
        let checks = installation(&inspection(), &config().database);
        assert_eq!(levels(&checks), [Level::Ok, Level::Ok]);
    }

    #[test]
    fn each_gap_of_an_installation_has_its_way_out() {
        let config = config();
        for (change, way_out) in [
            (
                (|i| (i.extension, i.available) = (None, false)) as fn(&mut Inspection),
                "install the package",
            ),
            (|i| i.extension = None, "create extension pg_capi"),
            (|i| i.set_up = false, "in database shop run `select capi.setup();`"),
            (|i| i.denied = vec!["claim".into()], "grant capi_sidecar to capi"),
        ] {
            let mut inspection = inspection();
            change(&mut inspection);
            let checks = installation(&inspection, &config.database);
            assert_eq!(levels(&checks).last(), Some(&Level::Fail));
            assert!(way_out_of(&checks).contains(way_out), "{checks:?}");
        }
        let superuser = Inspection { superuser: true, ..inspection() };
        let checks = installation(&superuser, &config.database);
        assert_eq!(levels(&checks).last(), Some(&Level::Warn));
    }

    #[test]
    fn a_refused_connection_has_its_way_out() {
        let database = &config().database;
        let refused = |code: &str| QueueError::Refused { code: code.into(), message: "no".into() };
        let call = |code: &str| QueueError::Call {
            call: "capi.handshake",
            code: code.into(),
            message: None,
        };
        for (error, text) in [
            (refused("28P01"), "correct the password of capi"),
            (refused("28000"), "pg_hba.conf"),
            (refused("3D000"), "create database shop"),
            (refused("53300"), "max_connections"),
            (call("42501"), "grant capi_sidecar to capi"),
            (call("42883"), "create extension pg_capi"),
            (call("42P01"), "select capi.setup()"),
            (QueueError::Unreachable("refused".into()), "start Postgres"),
        ] {
            let check = Check::of_error("database", &error, database);
            let way_out = check.way_out.expect("a way out");
            assert!(way_out.contains(text), "{way_out}");
            assert!(!way_out.contains("s3cret"));
        }
    }

    fn row(change: impl FnOnce(&mut DestinationRow)) -> Check {
        let mut row = DestinationRow {
            destination: 1,
            name: "meta-eu".into(),
            platform: "meta".into(),
            settings: json!({"pixel_id": "1"}),
            credential: "META_TOKEN".into(),
            state: "active".into(),
            pause_reason: None,
            version: 1,
        };
        change(&mut row);
        let now = Timestamp::parse("2026-11-21T00:00:00Z").expect("a time");
        destination(&row, &config().credentials, now)
    }

    #[test]
    fn a_destination_is_judged_by_settings_credential_state_and_version() {
        assert_eq!(row(|_| {}).level, Level::Ok);
        assert_eq!(row(|r| r.settings = json!({})).level, Level::Fail);
        assert_eq!(row(|r| r.platform = "myspace".into()).level, Level::Fail);
        let missing = row(|r| r.credential = "OTHER_TOKEN".into());
        assert_eq!(missing.level, Level::Fail);
        assert!(missing.message.contains("OTHER_TOKEN"), "{missing:?}");
        assert_eq!(row(|r| r.state = "paused".into()).level, Level::Warn);
        assert_eq!(row(|r| r.state = "blocked".into()).level, Level::Fail);
        let versioned = |version: &str| {
            row(|r| r.settings = json!({"pixel_id": "1", "api_version": version})).level
        };
        assert_eq!(versioned("v20.0"), Level::Fail);
        assert_eq!(versioned("v21.0"), Level::Warn);
        assert_eq!(versioned("v25.0"), Level::Ok);
        assert_eq!(versioned("v18.0"), Level::Fail);
        assert_eq!(versioned("v20.5"), Level::Warn);
        assert_eq!(versioned("v99.0"), Level::Warn);
        let gateway = json!({"pixel_id": "1", "endpoint": "https://gw.example.com/capi"});
        let refused = row(|r| r.settings = gateway);
        assert_eq!(refused.level, Level::Fail);
        assert!(refused.message.contains("META_TOKEN may not go to gw.example.com"), "{refused:?}");
        let unknown = row(|r| r.credential = "AWS_SECRET_ACCESS_KEY".into());
        assert_eq!(unknown.level, Level::Fail);
        assert!(unknown.message.contains("[credentials.AWS_SECRET_ACCESS_KEY]"), "{unknown:?}");
    }

    #[test]
    fn a_credential_that_ends_soon_is_a_warning() {
        let ends = |when: &str| {
            let text = format!(
                "database_url = 'postgres://capi@db.example.com/shop'\n[credentials]\n\
                 META_TOKEN = 'EAAGsecret'\nMETA_TOKEN_EXPIRES = '{when}'\n"
            );
            let credentials = Config::read_text(&text).expect("a configuration").credentials;
            let row = DestinationRow {
                destination: 1,
                name: "meta-eu".into(),
                platform: "meta".into(),
                settings: json!({"pixel_id": "1"}),
                credential: "META_TOKEN".into(),
                state: "active".into(),
                pause_reason: None,
                version: 1,
            };
            let now = Timestamp::parse("2026-11-21T00:00:00Z").expect("a time");
            let check = destination(&row, &credentials, now);
            assert!(!format!("{check:?}").contains("EAAGsecret"));
            (check.level, check.message)
        };
        assert_eq!(ends("2027-11-21").0, Level::Ok);
        let (level, message) = ends("2026-11-28");
        assert_eq!(level, Level::Warn);
        assert_eq!(message, "meta-eu: META_TOKEN expires within 7 days");
        assert_eq!(ends("2026-11-20").1, "meta-eu: META_TOKEN has expired, or does so now");
        assert_eq!(ends("soon").0, Level::Warn);
    }

    #[test]
    fn a_receiver_of_alerts_must_be_known() {
        let check = |further: &str| {
            let text = format!("database_url = 'postgres://capi@db.example.com/shop'\n{further}");
            alerts(&Config::read_text(&text).expect("a configuration")).map(|check| check.level)
        };
        assert_eq!(check(""), None);
        assert_eq!(check("alert_webhook = 'ALERT_URL'\n"), Some(Level::Fail));
        let given =
            "alert_webhook = 'ALERT_URL'\ncredentials.ALERT_URL = 'https://example.com/x'\n";
        assert_eq!(check(given), Some(Level::Ok));
    }

    #[test]
    fn a_copy_is_told_to_be_adopted() {
        let handshake = Handshake {
            extension: VERSION.into(),
            library: VERSION.into(),
            layout: VERSION.into(),
            instance: "shop".into(),
            database: 1,
            adopted: false,
            server_version_num: 150_018,
        };
        let checks = versions(&handshake, Some("staging"));
        assert_eq!(levels(&checks), [Level::Ok, Level::Fail, Level::Fail]);
        assert!(way_out_of(&checks).contains("capi adopt"));
    }

    #[test]
    fn a_check_is_one_line() {
        let line = Check::warn("role", "x is a superuser", "use another").line();
        assert_eq!(line, "warn  role          x is a superuser; use another\n");
    }
}
