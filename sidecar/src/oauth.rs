//! Access tokens for platforms that take none which lasts: a credential in JSON is exchanged for one
//! at a token endpoint, and the token is kept until shortly before it ends.
//!
//! The credential is the key file of a service account, as Google hands it out (`client_email`,
//! `private_key`; RFC 7523), or an object with `client_id`, `client_secret` and `refresh_token`
//! (RFC 6749, section 6). A text that is no object is an access token itself. `docs/reference/platforms.md`
//! says where each comes from.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use capi_core::destination::Grant;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Url};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use crate::config;
use crate::http::error::{SendError, is_safe};

/// How long an assertion is valid; the longest that Google takes.
const ASSERTION_LIFE: u64 = 3_600;

/// How long a token is used whose answer says nothing of its end.
const UNSAID_LIFE: u64 = 300;

/// Longest time that a token is used: an early exchange costs nothing.
const LONGEST_LIFE: u64 = 24 * 3_600;

/// A token is renewed this long before its end, or in the last fifth of a short life.
const MARGIN: u64 = 300;

/// The token of a credential that nobody has used for so long is forgotten: the credential is
/// another one by now, or its destination rests.
const UNUSED: Duration = Duration::from_secs(3_600);

/// Most bytes of a token endpoint's answer that are read.
const ANSWER_LIMIT: usize = 64 * 1024;

/// The grant by which a service account gets a token.
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Tokens by credential. Each has a lock of its own: one exchange at a time, and the others wait for
/// its token.
#[derive(Clone, Default)]
pub struct Tokens {
    slots: Arc<Mutex<HashMap<[u8; 32], Kept>>>,
}

/// A slot and when somebody wanted it last.
struct Kept {
    slot: Slot,
    used: Instant,
}

type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

/// A token and when to renew it.
struct Token {
    secret: SecretString,
    renew_at: Instant,
}

/// A credential in JSON. No `Debug`: all of it is secret.
#[derive(Deserialize)]
struct Credential {
    client_email: Option<String>,
    private_key: Option<String>,
    private_key_id: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    refresh_token: Option<String>,
    token_uri: Option<String>,
}

/// What a token endpoint answers, as far as it is of use.
#[derive(Deserialize)]
struct Answer {
    access_token: String,
    /// Seconds; some write a text.
    expires_in: Option<serde_json::Value>,
}

/// Whether the credential can serve the grant; says nothing about whether the platform takes it.
pub fn check(grant: &Grant, credential: &config::Credential) -> Result<(), SendError> {
    match parse(credential.secret())? {
        Some(parsed) => {
            parsed.place(grant, credential)?;
            parsed.form(grant).map(drop)
        }
        None => Ok(()),
    }
}

/// The credential as an object; `None` where it is a token itself.
fn parse(credential: &SecretString) -> Result<Option<Credential>, SendError> {
    let text = credential.expose_secret();
    if !text.starts_with('{') {
        return Ok(None);
    }
    // The error would quote the text.
    serde_json::from_str(text).map(Some).map_err(|_| SendError::Credential)
}

impl Credential {
    fn endpoint<'a>(&'a self, grant: &'a Grant) -> Result<Url, SendError> {
        let endpoint = self.token_uri.as_deref().unwrap_or(grant.endpoint);
        let url = Url::parse(endpoint).map_err(|_| SendError::Credential)?;
        if is_safe(&url) { Ok(url) } else { Err(SendError::InClear) }
    }

    /// The token endpoint: the vendor's, or one that the credential may go to.
    fn place(&self, grant: &Grant, credential: &config::Credential) -> Result<Url, SendError> {
        let url = self.endpoint(grant)?;
        let is_vendors = Url::parse(grant.endpoint).is_ok_and(|vendors| vendors == url);
        if is_vendors || credential.may_go(&url) { Ok(url) } else { Err(SendError::NotAllowed) }
    }

    /// The form that is posted.
    fn form(&self, grant: &Grant) -> Result<String, SendError> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        match self {
            Self { client_email: Some(email), private_key: Some(key), .. } => {
                let scope = grant.scope.ok_or(SendError::Credential)?;
                let endpoint = self.endpoint(grant)?;
                let id = self.private_key_id.as_deref();
                let assertion = assertion(email, key, id, scope, endpoint.as_str())?;
                form.append_pair("grant_type", JWT_BEARER).append_pair("assertion", &assertion);
            }
            Self {
                client_id: Some(id),
                client_secret: Some(secret),
                refresh_token: Some(token),
                ..
            } => {
                form.append_pair("grant_type", "refresh_token")
                    .append_pair("refresh_token", token)
                    .append_pair("client_id", id)
                    .append_pair("client_secret", secret);
            }
            _ => return Err(SendError::Credential),
        }
        Ok(form.finish())
    }
}

/// A JSON Web Token, signed with RS256 (RFC 7515, 7519).
fn assertion(
    email: &str,
    key: &str,
    key_id: Option<&str>,
    scope: &str,
    audience: &str,
) -> Result<String, SendError> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes());
    let der = der.map_err(|_| SendError::Credential)?;
    let pair = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| SendError::Credential)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut header = json!({"alg": "RS256", "typ": "JWT"});
    if let Some(id) = key_id {
        header["kid"] = id.into();
    }
    let claims = json!({"iss": email, "scope": scope, "aud": audience, "iat": now,
        "exp": now + ASSERTION_LIFE});
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .map_err(|_| SendError::Credential)?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

impl Tokens {
    /// A token for the credential. `refused` is one that the platform did not take: then it is
    /// exchanged anew, and the result is `None` where that cannot give another.
    pub(crate) async fn get(
        &self,
        client: &Client,
        grant: &Grant,
        credential: &config::Credential,
        refused: Option<&SecretString>,
    ) -> Result<Option<SecretString>, SendError> {
        let secret = credential.secret();
        let Some(parsed) = parse(secret)? else {
            return Ok(refused.is_none().then(|| secret.clone()));
        };
        let url = parsed.place(grant, credential)?;
        let slot = self.slot(grant, secret);
        let mut held = slot.lock().await;
        if let Some(token) = &*held {
            let bad = refused.is_some_and(|r| r.expose_secret() == token.secret.expose_secret());
            if !bad && Instant::now() < token.renew_at {
                return Ok(Some(token.secret.clone()));
            }
        }
        *held = None;
        let token = exchange(client, grant, &parsed, url).await?;
        let secret = token.secret.clone();
        *held = Some(token);
        Ok(Some(secret))
    }

    fn slot(&self, grant: &Grant, credential: &SecretString) -> Slot {
        let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
        hash.update(grant.endpoint.as_bytes());
        hash.update(&[0]);
        hash.update(credential.expose_secret().as_bytes());
        let mut key = [0; 32];
        key.copy_from_slice(hash.finish().as_ref());
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        slots.retain(|_, kept| now.duration_since(kept.used) < UNUSED);
        let kept = slots.entry(key).or_insert_with(|| Kept { slot: Slot::default(), used: now });
        kept.used = now;
        kept.slot.clone()
    }
}

/// Seconds that a token lasts, whatever its endpoint says: no clock can count to the longest that a
/// number can name.
fn life(said: Option<&serde_json::Value>) -> u64 {
    let seconds = match said {
        Some(serde_json::Value::Number(number)) => number.as_f64(),
        Some(serde_json::Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    match seconds.filter(|seconds: &f64| !seconds.is_nan()) {
        // Of a float, `as` takes the nearest.
        Some(seconds) => (seconds as u64).min(LONGEST_LIFE),
        None => UNSAID_LIFE,
    }
}

async fn exchange(
    client: &Client,
    grant: &Grant,
    credential: &Credential,
    url: Url,
) -> Result<Token, SendError> {
    let form = credential.form(grant)?;
    let request = client.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    let mut answer = request.body(form).send().await.map_err(|_| SendError::TokenUnavailable)?;
    match answer.status().as_u16() {
        200..300 => {}
        // Neither is about the credential.
        408 | 429 => return Err(SendError::TokenUnavailable),
        400..500 => return Err(SendError::TokenRefused),
        _ => return Err(SendError::TokenUnavailable),
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|_| SendError::TokenUnavailable)? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_LIMIT {
            return Err(SendError::TokenUnavailable);
        }
    }
    let answer: Answer = serde_json::from_slice(&body).map_err(|_| SendError::TokenUnavailable)?;
    // It becomes a header.
    if answer.access_token.is_empty() || !answer.access_token.bytes().all(|b| b.is_ascii_graphic())
    {
        return Err(SendError::TokenUnavailable);
    }
    let life = life(answer.expires_in.as_ref());
    let used = life.saturating_sub(MARGIN.min(life / 5));
    Ok(Token {
        secret: answer.access_token.into(),
        renew_at: Instant::now() + Duration::from_secs(used),
    })
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
