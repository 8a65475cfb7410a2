//! Which credentials there are, where they are found and may go, when they end, and whether one has
//! changed.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use capi_core::platform;
use capi_core::time::Timestamp;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use super::environment::Environment;

/// What follows a credential's name in the name of its expiry.
const EXPIRES: &str = "_EXPIRES";

/// Most bytes of a credential's file: a key file has two thousand.
const LONGEST: u64 = 64 * 1024;

/// Which credentials there are, where each is found, and where it may go: `credentials`,
/// `CAPI_CREDENTIALS`. Destinations name credential and endpoint in the database, and whoever manages
/// them there must get at nothing that is not meant for a platform.
///
/// A credential is declared in the table `[credentials]`, by `CAPI_CREDENTIALS`, or by its file in
/// `credentials_dir`, `CAPI_CREDENTIALS_DIR` (default: none). Unless its table says otherwise it is the
/// environment variable of its name, then the text in `[credentials]`, then that file, which is read
/// anew for each batch.
pub struct Credentials {
    pub(super) declared: BTreeMap<String, Declared>,
    /// Hosts besides the vendors' own that a credential without `hosts` may go to. `endpoints`,
    /// `CAPI_ENDPOINTS`; default: none.
    pub(super) endpoints: Vec<Place>,
    pub(super) directory: Option<PathBuf>,
    pub(super) environment: Environment,
}

/// What the configuration says of a credential.
#[derive(Clone, Default)]
pub(super) struct Declared {
    pub(super) source: Source,
    /// Where it may go; `None`: to the hosts of the destination's vendor, and to `endpoints`.
    pub(super) hosts: Option<Vec<Place>>,
    /// When it ends.
    pub(super) expires: Option<SecretString>,
}

/// Where a credential is found.
#[derive(Clone, Default)]
pub(super) enum Source {
    /// The variable of its name, or its file in the directory.
    #[default]
    Usual,
    /// The variable of its name, or this.
    Value(SecretString),
    /// The variable of this name.
    Variable(String),
    /// This file.
    File(PathBuf),
}

/// A host and a port, compared exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    host: String,
    port: u16,
}

impl Place {
    /// Reads `host` or `host:port`; without a port it is that of https.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let apart = |c: char| matches!(c, '/' | '\\' | '@' | '?' | '#') || c.is_whitespace();
        if text.contains(apart) {
            return None;
        }
        Self::of(&Url::parse(&format!("https://{text}")).ok()?)
    }

    /// Where a URL leads.
    fn of(url: &Url) -> Option<Self> {
        Some(Self { host: url.host_str()?.to_owned(), port: url.port_or_known_default()? })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            443 => f.write_str(&self.host),
            port => write!(f, "{}:{port}", self.host),
        }
    }
}

/// A credential, and where it may go.
#[derive(Clone, Debug)]
pub struct Credential {
    secret: SecretString,
    places: Vec<Place>,
    /// For servers of tests, whose ports nobody knows.
    #[cfg(test)]
    anywhere: bool,
}

impl Credential {
    /// What is to be kept secret.
    pub fn secret(&self) -> &SecretString {
        &self.secret
    }

    /// Whether it may go to this URL.
    pub fn may_go(&self, url: &Url) -> bool {
        #[cfg(test)]
        if self.anywhere {
            return true;
        }
        Place::of(url).is_some_and(|place| self.places.contains(&place))
    }

    fn new(secret: SecretString, places: Vec<Place>) -> Self {
        Self {
            secret,
            places,
            #[cfg(test)]
            anywhere: false,
        }
    }

    /// One that may go to these places, each `host` or `host:port`; what is none is left out.
    pub fn to(secret: impl Into<SecretString>, places: &[&str]) -> Self {
        let places = places.iter().filter_map(|place| Place::parse(place));
        Self::new(secret.into(), places.collect())
    }

    /// One that may go anywhere.
    #[cfg(test)]
    pub(crate) fn anywhere(secret: &str) -> Self {
        Self { anywhere: true, ..Self::to(secret, &[]) }
    }
}

/// What tells one content of a credential from another, within this process only: the key of the
/// hash is random, so that it says nothing about the credential.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// That of a credential.
    pub fn of(credential: &SecretString) -> Self {
        static KEY: OnceLock<RandomState> = OnceLock::new();
        Self(KEY.get_or_init(RandomState::new).hash_one(credential.expose_secret()))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint")
    }
}

/// Why a credential cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The configuration does not list the name.
    #[error("credential is not declared in the configuration")]
    Undeclared,
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
    /// What should say when the credential ends does not.
    #[error("the credential's expiry must be a day such as 2027-03-31, or a time as in RFC 3339")]
    Expiry,
}

impl CredentialError {
    /// The sentence about the credential of this name.
    pub fn about(self, name: &str) -> String {
        match self {
            Self::Undeclared => format!(
                "credential {name} is not declared: add the table [credentials.{name}] to the \
                 sidecar's configuration file, or {name} to CAPI_CREDENTIALS"
            ),
            _ => format!("{self}: {name}"),
        }
    }
}

/// Whether a name can be that of a credential. Not of one of the sidecar's own settings, nor of the
/// database's password.
pub(super) fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    let own = name.starts_with("CAPI_") || name.starts_with("PG");
    !name.is_empty() && !own && name.bytes().all(plain)
}

impl Credentials {
    /// The credential of this name for destinations of this platform.
    pub fn resolve(&self, name: &str, platform: &str) -> Result<Credential, CredentialError> {
        let secret = self.secret(name)?;
        let own = self.declared.get(name).and_then(|declared| declared.hosts.clone());
        let places = own.unwrap_or_else(|| {
            let vendor = platform::vendor_endpoints(platform).iter();
            let vendor = vendor.filter_map(|url| Place::of(&Url::parse(url).ok()?));
            vendor.chain(self.endpoints.iter().cloned()).collect()
        });
        Ok(Credential::new(secret, places))
    }

    /// Refuses to let a credential go to this endpoint; the sentence has the line to add.
    pub fn check_endpoint(
        &self,
        name: &str,
        credential: &Credential,
        endpoint: &str,
    ) -> Result<(), String> {
        let url = Url::parse(endpoint).map_err(|_| "endpoint is no URL".to_owned())?;
        if credential.may_go(&url) {
            return Ok(());
        }
        let place = Place::of(&url).map(|place| place.to_string()).unwrap_or_default();
        let has_hosts = self.declared.get(name).is_some_and(|declared| declared.hosts.is_some());
        let line = match has_hosts {
            true => format!("add it to the hosts of {name}"),
            false => format!(
                "add hosts = [\"{place}\"] to [credentials.{name}] in the sidecar's configuration \
                 file, or {name}@{place} to CAPI_CREDENTIALS"
            ),
        };
        Err(format!("credential {name} may not go to {place}: {line}"))
    }

    /// The URL that alerts are posted to. The configuration itself names it, and no destination can.
    pub fn receiver(&self, name: &str) -> Result<SecretString, CredentialError> {
        if !is_name(name) {
            return Err(CredentialError::Name);
        }
        let declared = self.declared.get(name).cloned().unwrap_or_default();
        usable(&self.find(name, &declared.source)?.ok_or(CredentialError::Missing)?)
    }

    /// A declared credential's content.
    pub fn secret(&self, name: &str) -> Result<SecretString, CredentialError> {
        if !is_name(name) {
            return Err(CredentialError::Name);
        }
        let found = match self.declared.get(name) {
            Some(declared) => self.find(name, &declared.source)?.ok_or(CredentialError::Missing),
            None => self.in_directory(name)?.ok_or(CredentialError::Undeclared),
        };
        usable(&found?)
    }

    /// When the credential of this name ends, as far as somebody has said so: a day or a time under
    /// the name with `_EXPIRES` behind it. A day counts from its beginning, UTC.
    pub fn expires(&self, name: &str) -> Result<Option<Timestamp>, CredentialError> {
        let beside = format!("{name}{EXPIRES}");
        if !is_name(&beside) {
            return Ok(None);
        }
        let found = match (self.declared.get(name), self.declared.get(&beside)) {
            (None, None) => self.in_directory(&beside)?,
            (Some(Declared { expires: Some(expires), .. }), _) => Some(expires.clone()),
            (_, Some(beside_it)) => self.find(&beside, &beside_it.source)?,
            (Some(_), None) => self.find(&beside, &Source::Usual)?,
        };
        let Some(text) = found else { return Ok(None) };
        let text = text.expose_secret().trim();
        let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
        Timestamp::parse(&full).map(Some).map_err(|_| CredentialError::Expiry)
    }

    fn find(&self, name: &str, source: &Source) -> Result<Option<SecretString>, CredentialError> {
        let variable = |name: &str| (self.environment)(name).map(SecretString::from);
        match source {
            Source::Usual => match variable(name) {
                Some(found) => Ok(Some(found)),
                None => self.in_directory(name),
            },
            Source::Value(value) => Ok(variable(name).or_else(|| Some(value.clone()))),
            Source::Variable(other) => Ok(variable(other)),
            Source::File(path) => read(path),
        }
    }

    fn in_directory(&self, name: &str) -> Result<Option<SecretString>, CredentialError> {
        self.directory.as_ref().map_or(Ok(None), |directory| read(&directory.join(name)))
    }
}

/// It is read anew for each batch by whoever sends: what has no end, such as a pipe or a device, would
/// hold up all of them.
fn read(path: &Path) -> Result<Option<SecretString>, CredentialError> {
    let of = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Ok(None),
        _ => Err(CredentialError::Unreadable),
    };
    match fs::metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Err(CredentialError::Unreadable),
        Err(error) => return of(error),
    }
    let mut text = String::new();
    let read =
        fs::File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text));
    match read {
        Ok(_) if text.len() as u64 <= LONGEST => Ok(Some(text.into())),
        Ok(_) => Err(CredentialError::Unreadable),
        Err(error) => of(error),
    }
}

/// A credential without blanks around it, if it is one.
fn usable(token: &SecretString) -> Result<SecretString, CredentialError> {
    let trimmed = token.expose_secret().trim();
    // A key file is JSON, with spaces and lines.
    let object = trimmed.starts_with('{') && trimmed.parse::<serde_json::Value>().is_ok();
    let token = !trimmed.is_empty() && trimmed.bytes().all(|b| b.is_ascii_graphic());
    if token || object { Ok(trimmed.into()) } else { Err(CredentialError::Value) }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("names", &self.declared.keys())
            .field("endpoints", &self.endpoints)
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(directory: Option<PathBuf>) -> Credentials {
        fn environment(name: &str) -> Option<String> {
            match name {
                "META_TOKEN" | "CAPI_DATABASE_URL" | "PGPASSWORD" => {
                    Some(" from-environment ".into())
                }
                "BROKEN" => Some("two\nlines".into()),
                "HOME" => Some("/root".into()),
                _ => None,
            }
        }
        let of_value = |value: &str| Source::Value(value.into());
        let declared = [
            ("META_TOKEN", of_value("from-table")),
            ("TABLE_TOKEN", of_value("from-table")),
            ("BROKEN", Source::Usual),
            ("OTHER", Source::Usual),
        ];
        let declare = |(name, source): (&str, Source)| {
            (name.to_owned(), Declared { source, ..Declared::default() })
        };
        let declared = declared.map(declare).into();
        Credentials { declared, endpoints: Vec::new(), directory, environment }
    }

    #[test]
    fn credentials_come_from_environment_then_table_then_directory() {
        let directory =
            std::env::temp_dir().join(format!("capi-credentials-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        fs::write(directory.join("FILE_TOKEN"), "from-file\n").expect("a file");
        let credentials = credentials(Some(directory.clone()));
        let get = |name| credentials.secret(name).map(|token| token.expose_secret().to_owned());
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
        assert_eq!(get("HOME"), Err(CredentialError::Undeclared), "whatever the environment has");
        fs::remove_dir_all(directory).expect("removed");
    }

    #[test]
    fn what_has_no_end_is_no_credential() {
        let directory =
            std::env::temp_dir().join(format!("capi-endless-credentials-{}", std::process::id()));
        fs::create_dir_all(directory.join("FOLDER")).expect("a directory");
        let place = |name: &str| directory.join(name);
        std::os::unix::fs::symlink("/dev/zero", place("DEVICE")).expect("a link");
        let pipe = std::process::Command::new("mkfifo").arg(place("PIPE")).status();
        assert!(pipe.expect("mkfifo").success());
        fs::write(place("LARGE"), "a".repeat(LONGEST as usize + 1)).expect("a file");
        fs::write(place("REAL"), "a".repeat(LONGEST as usize)).expect("a file");
        std::os::unix::fs::symlink(place("REAL"), place("LINK")).expect("a link");
        let credentials = credentials(Some(directory.clone()));
        for name in ["FOLDER", "DEVICE", "PIPE", "LARGE"] {
            let secret = credentials.secret(name).map(|_| ());
            assert_eq!(secret, Err(CredentialError::Unreadable), "{name}");
            let expires = credentials.expires(name);
            assert!(matches!(expires, Ok(None)), "{name}");
        }
        assert!(credentials.secret("LINK").is_ok(), "as Kubernetes has them");
        fs::remove_dir_all(directory).expect("removed");
    }

    #[test]
    fn the_end_of_a_credential_is_a_day_or_a_time_beside_it() {
        fn environment(name: &str) -> Option<String> {
            Some(match name {
                "A_TOKEN_EXPIRES" => "2027-03-31\n".into(),
                "B_TOKEN_EXPIRES" => "2027-03-31T12:30:00+02:00".into(),
                "C_TOKEN_EXPIRES" => "next spring".into(),
                "D_TOKEN_EXPIRES" => "2027-03-31".into(),
                _ => return None,
            })
        }
        let declared =
            ["A_TOKEN", "B_TOKEN", "C_TOKEN"].map(|n| (n.to_owned(), Declared::default()));
        let declared = declared.into();
        let credentials =
            Credentials { declared, endpoints: Vec::new(), directory: None, environment };
        let time = |text| Ok(Some(Timestamp::parse(text).expect("a time")));
        assert_eq!(credentials.expires("A_TOKEN"), time("2027-03-31T00:00:00Z"));
        assert_eq!(credentials.expires("B_TOKEN"), time("2027-03-31T10:30:00Z"));
        assert_eq!(credentials.expires("C_TOKEN"), Err(CredentialError::Expiry));
        assert_eq!(credentials.expires("D_TOKEN"), Ok(None), "it is not declared");
    }

    #[test]
    fn a_fingerprint_tells_contents_apart_and_shows_nothing() {
        let of = |text: &str| Fingerprint::of(&text.into());
        assert_eq!(of("EAAGone"), of("EAAGone"));
        assert_ne!(of("EAAGone"), of("EAAGtwo"));
        assert_ne!(of("{\n  \"private_key\": \"a\"\n}"), of("{\n  \"private_key\": \"b\"\n}"));
        assert_eq!(format!("{:?}", of("EAAGone")), "Fingerprint");
    }

    #[test]
    fn a_credential_name_reaches_nothing_but_credentials() {
        for name in ["", "../shadow", "a/b", "CAPI_DATABASE_URL", "PGPASSWORD", "a b", "a.b"] {
            let found = credentials(None).secret(name).map(|_| ());
            assert_eq!(found, Err(CredentialError::Name), "{name}");
        }
    }

    #[test]
    fn a_place_is_compared_exactly() {
        let url = |text: &str| Url::parse(text).expect("a URL");
        for (place, same, others) in [
            (
                "graph.facebook.com",
                vec!["https://graph.facebook.com/v26.0/7", "https://GRAPH.facebook.com:443/"],
                vec![
                    "https://graph.facebook.com.evil.example/",
                    "https://evil.example/graph.facebook.com",
                    "https://graph.facebook.com@evil.example/",
                    "https://a.graph.facebook.com/",
                    "https://graph.facebook.com:8443/",
                    "https://graph.facebook.com./",
                ],
            ),
            (
                "127.0.0.1:55190",
                vec!["http://127.0.0.1:55190/x", "http://0x7f.1:55190/", "http://127.1:55190"],
                vec!["http://127.0.0.1:55191/", "http://localhost:55190/", "http://127.0.0.1/"],
            ),
            ("[::1]:8080", vec!["http://[0:0:0:0:0:0:0:1]:8080/"], vec!["http://[::1]/"]),
        ] {
            let allowed = Place::parse(place).expect(place);
            assert_eq!(allowed.to_string(), place);
            for same in same {
                assert_eq!(Place::of(&url(same)).as_ref(), Some(&allowed), "{same}");
            }
            for other in others {
                assert_ne!(Place::of(&url(other)).as_ref(), Some(&allowed), "{other}");
            }
        }
        for text in
            ["", "a b", "a/b", "https://a", "u@a", "a:99999", "[::1].evil.example", "*.a.example"]
        {
            let place = Place::parse(text);
            assert!(place.is_none_or(|place| place.host.contains('*')), "{text}");
        }
    }
}
