//! What the stand-in is told when it starts.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use secrecy::SecretString;

use super::platform::Platform;
use super::wording::{ErrorData, Language};

/// The token that is accepted when none is configured. No secret: it opens nothing.
pub const DEMO_TOKEN: &str = "standin-token-for-local-use";

/// Options of the stand-in.
#[derive(Debug, Clone, clap::Args)]
pub struct StandinOptions {
    /// Address to listen on. The control routes ask for no token: keep it on loopback.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8790")]
    pub listen: SocketAddr,

    /// Environment variable that holds the token to accept; without it, the demo token
    /// `standin-token-for-local-use`.
    #[arg(long, value_name = "NAME")]
    pub token_env: Option<String>,

    /// The token to accept. Filled from `token_env` by whoever may read the environment.
    #[arg(skip)]
    pub token: Option<SecretString>,

    /// Environment variable that holds a platform's credential to accept, as
    /// `tiktok=TIKTOK_TOKEN`; may be repeated. Without it, the demo token. Google's and LinkedIn's
    /// may be JSON: a service account's key file, or `client_id`, `client_secret`, `refresh_token`.
    #[arg(long = "credential-env", value_name = "PLATFORM=NAME", value_parser = credential_env)]
    pub credential_env: Vec<(Platform, String)>,

    /// The credentials to accept. Filled from `credential_env` by whoever may read the environment.
    #[arg(skip)]
    pub credentials: BTreeMap<Platform, SecretString>,

    /// How often Google's status still says PROCESSING before it tells the outcome.
    #[arg(long, value_name = "POLLS", default_value_t = 1)]
    pub google_polls: u32,

    /// The only pixel (dataset) id that exists; without it, any number does.
    #[arg(long, value_name = "ID")]
    pub pixel: Option<String>,

    /// API versions that are served.
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "v21.0,v22.0,v23.0,v24.0,v25.0,v26.0"
    )]
    pub versions: Vec<String>,

    /// Accepted events that are kept to be looked at.
    #[arg(long, value_name = "EVENTS", default_value_t = 200_000)]
    pub keep: usize,

    /// Event ids that are remembered to find duplicates (about 60 bytes each).
    #[arg(long, value_name = "IDS", default_value_t = 2_000_000)]
    pub keep_ids: usize,

    /// Requests that are kept to be looked at; their bodies share 32 MiB.
    #[arg(long, value_name = "REQUESTS", default_value_t = 1_000)]
    pub keep_requests: usize,

    /// How far in the future an event may lie, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600)]
    pub max_future: i64,

    /// Language of the texts for people in errors.
    #[arg(long, value_enum, default_value_t)]
    pub language: Language,

    /// Form of the details in errors.
    #[arg(long, value_enum, default_value_t)]
    pub error_data: ErrorData,

    /// Largest request body that is read, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20)]
    pub max_body: usize,

    /// Start of the pseudo-random numbers behind fault probabilities.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
}

fn credential_env(text: &str) -> Result<(Platform, String), String> {
    let (platform, name) =
        text.split_once('=').ok_or("must be PLATFORM=NAME, such as tiktok=TIKTOK_TOKEN")?;
    match Platform::parse(platform) {
        Some(platform) => Ok((platform, name.to_owned())),
        None => Err(format!("no such platform; there are {}", Platform::names().join(", "))),
    }
}

impl Default for StandinOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8790)),
            token_env: None,
            token: None,
            credential_env: Vec::new(),
            credentials: BTreeMap::new(),
            google_polls: 1,
            pixel: None,
            versions: (21..=26).map(|version| format!("v{version}.0")).collect(),
            keep: 200_000,
            keep_ids: 2_000_000,
            keep_requests: 1_000,
            max_future: 3_600,
            language: Language::En,
            error_data: ErrorData::Object,
            max_body: 16 << 20,
            seed: 1,
        }
    }
}
