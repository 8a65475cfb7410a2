//! Where credentials are found, when they end, and whether one has changed.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::sync::OnceLock;

use capi_core::time::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::Environment;

/// What follows a credential's name in the name of its expiry.
const EXPIRES: &str = "_EXPIRES";

/// Where credentials are found: the environment variable of the credential's name, then the
/// table `[credentials]` of the file, then the file of that name in `credentials_dir`,
/// `CAPI_CREDENTIALS_DIR` (default: none), which is read anew for each batch.
pub struct Credentials {
    pub(super) table: BTreeMap<String, SecretString>,
    pub(super) directory: Option<PathBuf>,
    pub(super) environment: Environment,
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
        let token = self.find(name)?.ok_or(CredentialError::Missing)?;
        let trimmed = token.expose_secret().trim();
        // A key file is JSON, with spaces and lines.
        let object = trimmed.starts_with('{') && trimmed.parse::<serde_json::Value>().is_ok();
        let token = !trimmed.is_empty() && trimmed.bytes().all(|b| b.is_ascii_graphic());
        if !token && !object {
            return Err(CredentialError::Value);
        }
        Ok(trimmed.into())
    }

    /// When the credential of this name ends, as far as somebody has said so: a day or a time under
    /// the name with `_EXPIRES` behind it. A day counts from its beginning, UTC.
    pub fn expires(&self, name: &str) -> Result<Option<Timestamp>, CredentialError> {
        let Some(text) = self.find(&format!("{name}{EXPIRES}"))? else { return Ok(None) };
        let text = text.expose_secret().trim();
        let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
        Timestamp::parse(&full).map(Some).map_err(|_| CredentialError::Expiry)
    }

    fn find(&self, name: &str) -> Result<Option<SecretString>, CredentialError> {
        let found = (self.environment)(name).map(SecretString::from);
        let found = found.or_else(|| self.table.get(name).cloned());
        let (None, Some(directory)) = (&found, &self.directory) else { return Ok(found) };
        match fs::read_to_string(directory.join(name)) {
            Ok(text) => Ok(Some(text.into())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(_) => Err(CredentialError::Unreadable),
        }
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
    fn the_end_of_a_credential_is_a_day_or_a_time_beside_it() {
        fn environment(name: &str) -> Option<String> {
            Some(match name {
                "A_TOKEN_EXPIRES" => "2027-03-31\n".into(),
                "B_TOKEN_EXPIRES" => "2027-03-31T12:30:00+02:00".into(),
                "C_TOKEN_EXPIRES" => "next spring".into(),
                _ => return None,
            })
        }
        let credentials = Credentials { table: BTreeMap::new(), directory: None, environment };
        let time = |text| Ok(Some(Timestamp::parse(text).expect("a time")));
        assert_eq!(credentials.expires("A_TOKEN"), time("2027-03-31T00:00:00Z"));
        assert_eq!(credentials.expires("B_TOKEN"), time("2027-03-31T10:30:00Z"));
        assert_eq!(credentials.expires("C_TOKEN"), Err(CredentialError::Expiry));
        assert_eq!(credentials.expires("D_TOKEN"), Ok(None));
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
            let found = credentials(None).resolve(name).map(|_| ());
            assert_eq!(found, Err(CredentialError::Name), "{name}");
        }
    }
}
