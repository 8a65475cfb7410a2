//! Where the queue is, and whether the way there is encrypted.

use std::fmt;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::config::{Host, SslMode};

/// Where the queue is.
#[derive(Clone)]
pub struct Database {
    /// `postgres://` URL or `key=value` string. Without `sslmode`, TLS is required unless the host
    /// is this machine; `require` verifies the certificate. `database_url`, `CAPI_DATABASE_URL`;
    /// required.
    pub(super) url: SecretString,
    /// File with further root certificates in PEM for the database.
    /// `database_root_cert`, `CAPI_DATABASE_ROOT_CERT`; default: those of the system.
    pub root_cert: Option<PathBuf>,
    /// Connections besides the bell's, 1 to 100. `database_connections`,
    /// `CAPI_DATABASE_CONNECTIONS`; default 6.
    pub connections: usize,
    /// The parsed URL.
    pub(super) parsed: tokio_postgres::Config,
}

pub(super) fn parse(url: &SecretString) -> Option<tokio_postgres::Config> {
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

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

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
            let config = Config::read_text(&format!("database_url = '{url}'")).expect(url);
            assert_eq!(config.database.driver().get_ssl_mode(), mode, "{url}");
        }
    }
}
