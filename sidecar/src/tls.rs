//! The TLS setup that the database and the platforms share: verified certificates, one provider.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Why there is no TLS setup.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file with further root certificates cannot be read.
    #[error("read root certificates from {path}")]
    RootCert {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The provider lacks a protocol version.
    #[error("set up TLS")]
    Setup(#[from] rustls::Error),
}

/// A client that trusts the system's roots and those in `further`.
///
/// Without any root every handshake fails; a machine without roots can still talk to itself.
pub fn client(further: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    if let Some(path) = further {
        let broken = |source| TlsError::RootCert { path: path.to_owned(), source };
        let found: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(path).map_err(broken)?.collect();
        roots.add_parsable_certificates(found.map_err(broken)?);
    }
    if roots.is_empty() {
        tracing::warn!("no root certificates found: install ca-certificates or set SSL_CERT_FILE");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
