//! Why a request brought no answer, and where a secret may travel.

use std::net::IpAddr;

use reqwest::Url;

/// Why a request brought no answer. Holds no URL, for one may hold a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The request could not be made of its parts: settings or credential are wrong.
    #[error("request cannot be built")]
    Build,
    /// The URL is neither https nor loopback.
    #[error("refuses to send in clear to another machine")]
    InClear,
    /// The configuration does not let the credential go there.
    #[error("the credential may not go to this host")]
    NotAllowed,
    /// The credential is not of the form that the platform's slot asks for.
    #[error("credential has not the form that the platform asks for")]
    Credential,
    /// The token endpoint refuses the credential.
    #[error("the token endpoint refuses the credential")]
    TokenRefused,
    /// The token endpoint gives no token now.
    #[error("the token endpoint gives no token")]
    TokenUnavailable,
    /// No connection: certainly not sent.
    #[error("cannot connect")]
    Connect,
    /// No answer in time: perhaps sent.
    #[error("no answer in time")]
    Timeout,
    /// The connection broke: perhaps sent.
    #[error("connection broke before the answer")]
    Broken,
    /// The answer bears the id of an earlier one: perhaps sent.
    #[error("the answer is that of another request")]
    Repeated,
}

impl SendError {
    /// The reason on record.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Build => "request_not_built",
            Self::InClear => "tls_required",
            Self::NotAllowed => "endpoint_not_allowed",
            Self::Credential => "credential_malformed",
            Self::TokenRefused => "token_refused",
            Self::TokenUnavailable => "token_unavailable",
            Self::Connect => "connect_failed",
            Self::Timeout => "answer_timeout",
            Self::Broken => "answer_lost",
            Self::Repeated => "answer_repeated",
        }
    }

    /// Whether the platform may have got the request: `no` or `unknown`.
    pub fn certainty(self) -> &'static str {
        match self {
            Self::Build | Self::InClear | Self::NotAllowed | Self::Connect => "no",
            Self::Credential | Self::TokenRefused | Self::TokenUnavailable => "no",
            Self::Timeout | Self::Broken | Self::Repeated => "unknown",
        }
    }
}

/// Whether a secret may travel to this URL.
pub(crate) fn is_safe(url: &Url) -> bool {
    url.scheme() == "https" || is_loopback(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
