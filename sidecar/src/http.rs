//! The one HTTP client: timeouts, size limit, no redirects, credentials, redaction.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use capi_core::destination::{CredentialSlot, Grant, Method, Request, Response};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderName, HeaderValue};
use reqwest::{Client, Url, redirect};
use ring::hmac;
use rustls::ClientConfig;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::oauth::{self, Tokens};

/// Most bytes of an answer that are read. Platforms answer in hundreds.
const ANSWER_LIMIT: usize = 64 * 1024;

/// The header that says when to come back: in seconds, or as a date.
const RETRY_AFTER: &str = "retry-after";

/// How long an idle connection to a platform is kept.
const IDLE: Duration = Duration::from_secs(60);

/// Sends requests to platforms.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client,
    /// From the start of a request to the end of its answer, all exchanges of a token included.
    timeout: Duration,
    tokens: Tokens,
}

/// Why a request brought no answer. Holds no URL, for one may hold a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The request could not be made of its parts: settings or credential are wrong.
    #[error("request cannot be built")]
    Build,
    /// The URL is neither https nor loopback.
    #[error("refuses to send in clear to another machine")]
    InClear,
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
}

impl SendError {
    /// The reason on record.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Build => "request_not_built",
            Self::InClear => "tls_required",
            Self::Credential => "credential_malformed",
            Self::TokenRefused => "token_refused",
            Self::TokenUnavailable => "token_unavailable",
            Self::Connect => "connect_failed",
            Self::Timeout => "answer_timeout",
            Self::Broken => "answer_lost",
        }
    }

    /// Whether the platform may have got the request: `no` or `unknown`.
    pub fn certainty(self) -> &'static str {
        match self {
            Self::Build | Self::InClear | Self::Connect => "no",
            Self::Credential | Self::TokenRefused | Self::TokenUnavailable => "no",
            Self::Timeout | Self::Broken => "unknown",
        }
    }
}

/// Why a receiver of alerts did not take one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotifyError {
    /// There was no answer.
    #[error(transparent)]
    Send(#[from] SendError),
    /// It answered with something else than success.
    #[error("HTTP status {0}")]
    Status(u16),
}

/// Whether a credential is of the form that the slot asks for; says nothing of whether the platform
/// takes it.
pub fn check(slot: CredentialSlot, credential: &SecretString) -> Result<(), SendError> {
    let is_token = credential.expose_secret().bytes().all(|b| b.is_ascii_graphic());
    match slot {
        CredentialSlot::OAuth(grant) => oauth::check(grant, credential),
        CredentialSlot::Signature { .. } => Ok(()),
        // A key file of another platform's.
        _ if !is_token || credential.expose_secret().starts_with('{') => Err(SendError::Credential),
        _ => Ok(()),
    }
}

/// The HTTP client cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("build the HTTP client")]
pub struct ClientError(#[source] reqwest::Error);

impl Http {
    /// Builds the client. `timeout` runs from the start of a request to the end of its answer.
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub fn new(
        mut tls: ClientConfig,
        connect_timeout: Duration,
        timeout: Duration,
    ) -> Result<Self, ClientError> {
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .connect_timeout(connect_timeout)
            .timeout(timeout)
            .pool_idle_timeout(IDLE)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("pg_capi/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(ClientError)?;
        Ok(Self { client, timeout, tokens: Tokens::default() })
    }

    /// Posts to a URL that is itself a secret; whether the receiver took it.
    pub async fn notify(&self, url: &SecretString, body: &Value) -> Result<(), NotifyError> {
        let url = Url::parse(url.expose_secret()).map_err(|_| SendError::Build)?;
        if !is_safe(&url) {
            return Err(SendError::InClear.into());
        }
        let body = serde_json::to_vec(body).map_err(|_| SendError::Build)?;
        let request = self.client.post(url).header(CONTENT_TYPE, "application/json").body(body);
        let answer = request.send().await.map_err(|error| classify(&error))?;
        // What it says does not matter, and the connection can be used again only after its end.
        match read(answer).await?.status {
            200..300 => Ok(()),
            status => Err(NotifyError::Status(status)),
        }
    }

    /// Sends one request with its credential in its slot and reads the answer.
    pub async fn send(
        &self,
        request: Request,
        slot: CredentialSlot,
        credential: &SecretString,
    ) -> Result<Response, SendError> {
        let mut parts = Parts::of(request)?;
        // An exchange looks at it itself.
        if !matches!(slot, CredentialSlot::OAuth(_)) {
            check(slot, credential)?;
        }
        let secret = credential.expose_secret();
        let (name, value) = match slot {
            CredentialSlot::OAuth(grant) => return self.exchanged(parts, grant, credential).await,
            CredentialSlot::Bearer => (AUTHORIZATION, Some(format!("Bearer {secret}"))),
            CredentialSlot::Header(name) => {
                (HeaderName::from_static(name), Some(secret.to_owned()))
            }
            CredentialSlot::Query(name) => {
                parts.url.query_pairs_mut().append_pair(name, secret);
                (AUTHORIZATION, None)
            }
            CredentialSlot::Signature { timestamp, signature } => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let now = now.as_secs().to_string();
                let signed = sign(secret, &now, &parts.body);
                parts.headers.push((HeaderName::from_static(timestamp), now));
                (HeaderName::from_static(signature), Some(signed))
            }
        };
        self.send_with(parts, name, value).await
    }

    /// Sends with a token that the credential is exchanged for. A token that the platform refuses
    /// is renewed once; the second answer stands.
    async fn exchanged(
        &self,
        parts: Parts,
        grant: &'static Grant,
        credential: &SecretString,
    ) -> Result<Response, SendError> {
        let deadline = Instant::now() + self.timeout;
        let token = async |refused: Option<&SecretString>| {
            let token = self.tokens.get(&self.client, grant, credential, refused);
            timeout_at(deadline, token).await.unwrap_or(Err(SendError::TokenUnavailable))
        };
        let send = async |parts: Parts, token: &SecretString| {
            let value = format!("Bearer {}", token.expose_secret());
            let sending = self.send_with(parts, AUTHORIZATION, Some(value));
            timeout_at(deadline, sending).await.unwrap_or(Err(SendError::Timeout))
        };
        let Some(first) = token(None).await? else { return Err(SendError::Credential) };
        let answer = send(parts.clone(), &first).await?;
        if answer.status != UNAUTHORIZED {
            return Ok(answer);
        }
        match token(Some(&first)).await? {
            Some(second) => send(parts, &second).await,
            None => Ok(answer),
        }
    }

    async fn send_with(
        &self,
        parts: Parts,
        name: HeaderName,
        value: Option<String>,
    ) -> Result<Response, SendError> {
        let mut builder = match parts.method {
            Method::Get => self.client.get(parts.url),
            Method::Post | Method::Delete => {
                let builder = match parts.method {
                    Method::Delete => self.client.delete(parts.url),
                    _ => self.client.post(parts.url),
                };
                builder.header(CONTENT_TYPE, "application/json").body(parts.body)
            }
        };
        for (name, value) in parts.headers {
            builder = builder.header(name, value);
        }
        if let Some(value) = value {
            let mut value = HeaderValue::try_from(value).map_err(|_| SendError::Credential)?;
            value.set_sensitive(true);
            builder = builder.header(name, value);
        }
        let answer = builder.send().await.map_err(|error| classify(&error))?;
        read(answer).await
    }
}

/// The status of a token that is not taken.
const UNAUTHORIZED: u16 = 401;

/// A request whose parts were looked at.
#[derive(Clone)]
struct Parts {
    method: Method,
    url: Url,
    headers: Vec<(HeaderName, String)>,
    body: Vec<u8>,
}

impl Parts {
    fn of(request: Request) -> Result<Self, SendError> {
        let url = Url::parse(&request.url).map_err(|_| SendError::Build)?;
        if !is_safe(&url) {
            return Err(SendError::InClear);
        }
        let headers = request.headers.into_iter();
        let headers = headers.map(|(name, value)| (HeaderName::from_static(name), value)).collect();
        Ok(Self { method: request.method, url, headers, body: request.body.into_bytes() })
    }
}

/// The signature of a webhook: `v1=` and the HMAC-SHA256 in hex over time, a dot and body.
fn sign(secret: &str, timestamp: &str, body: &[u8]) -> String {
    let mut context =
        hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()));
    context.update(timestamp.as_bytes());
    context.update(b".");
    context.update(body);
    let tag = context.sign();
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("v1={hex}")
}

/// Whether a secret may travel to this URL.
pub(crate) fn is_safe(url: &Url) -> bool {
    url.scheme() == "https" || is_loopback(url)
}

async fn read(mut answer: reqwest::Response) -> Result<Response, SendError> {
    let status = answer.status().as_u16();
    let date = answer.headers().get(DATE).and_then(|value| value.to_str().ok());
    let headers = answer
        .headers()
        .iter()
        .filter_map(|(name, value)| {
            let value = value.to_str().ok()?;
            let seconds = (name.as_str() == RETRY_AFTER)
                .then(|| seconds_until(value, date, SystemTime::now()))
                .flatten();
            let value = seconds.map_or_else(|| value.to_owned(), |seconds| seconds.to_string());
            Some((name.as_str().to_owned(), value))
        })
        .collect();
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| classify(&error))? {
        let room = ANSWER_LIMIT - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == ANSWER_LIMIT {
            break;
        }
    }
    Ok(Response { status, headers, body })
}

/// Seconds until an HTTP date, by the clock of whoever wrote it if the answer bears its time. `None`
/// when it is no date.
fn seconds_until(value: &str, date: Option<&str>, now: SystemTime) -> Option<u64> {
    let until = httpdate::parse_http_date(value.trim()).ok()?;
    let now = date.and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or(now);
    // In the past: at once.
    Some(until.duration_since(now).unwrap_or_default().as_secs_f64().ceil() as u64)
}

fn classify(error: &reqwest::Error) -> SendError {
    if error.is_builder() {
        SendError::Build
    } else if error.is_connect() {
        SendError::Connect
    } else if error.is_timeout() {
        SendError::Timeout
    } else {
        SendError::Broken
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::JoinHandle;

    fn http() -> Http {
        let tls = crate::tls::client(None).expect("TLS");
        Http::new(tls, Duration::from_secs(1), Duration::from_millis(300)).expect("a client")
    }

    fn request(url: String) -> Request {
        Request::post(url, &json!({"data": []}), vec![])
    }

    fn token() -> SecretString {
        "EAAGsecret".into()
    }

    /// Answers one request with `answer` and hands back what it got; `None` says nothing at all.
    async fn server(answer: Option<String>) -> (String, JoinHandle<(String, TcpStream)>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let task = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut got = Vec::new();
            while !got.ends_with(b"{\"data\":[]}") {
                let mut buffer = [0; 4096];
                let count = stream.read(&mut buffer).await.expect("a request");
                got.extend_from_slice(&buffer[..count]);
            }
            if let Some(answer) = answer {
                stream.write_all(answer.as_bytes()).await.ok();
            }
            (String::from_utf8(got).expect("text"), stream)
        });
        (format!("http://{address}/v26.0/1/events"), task)
    }

    fn ok(body: &str) -> Option<String> {
        let length = body.len();
        Some(format!(
            "HTTP/1.1 200 OK\r\nX-App-Usage: {{}}\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
    }

    #[tokio::test]
    async fn the_credential_goes_into_its_slot() {
        for (slot, found) in [
            (CredentialSlot::Bearer, "authorization: Bearer EAAGsecret"),
            (CredentialSlot::Header("access-token"), "access-token: EAAGsecret"),
            (CredentialSlot::Query("api_secret"), "/events?api_secret=EAAGsecret HTTP/1.1"),
        ] {
            let (url, task) = server(ok("{}")).await;
            let answer = http().send(request(url), slot, &token()).await.expect("an answer");
            assert_eq!((answer.status, answer.body.as_slice()), (200, &b"{}"[..]));
            assert_eq!(answer.header("x-app-usage"), Some("{}"));
            let (got, _) = task.await.expect("a request");
            assert!(got.contains(found), "{got}");
            assert!(got.contains("content-type: application/json"), "{got}");
            assert_eq!(got.matches("EAAGsecret").count(), 1, "{got}");
        }
    }

    #[test]
    fn a_date_to_come_back_at_becomes_seconds_by_the_writers_clock() {
        let at = |text| httpdate::parse_http_date(text).expect("a date");
        let now = at("Tue, 24 Nov 2026 10:00:00 GMT");
        let come_back = "Tue, 24 Nov 2026 10:05:00 GMT";
        assert_eq!(seconds_until(come_back, None, now), Some(300));
        let theirs = Some("Tue, 24 Nov 2026 10:04:00 GMT");
        assert_eq!(seconds_until(come_back, theirs, now), Some(60), "our clock may be wrong");
        assert_eq!(seconds_until(come_back, Some("soon"), now), Some(300));
        assert_eq!(seconds_until("Tue, 24 Nov 2026 09:00:00 GMT", None, now), Some(0));
        assert_eq!(seconds_until(" Tuesday, 24-Nov-26 10:00:30 GMT ", None, now), Some(30));
        for text in ["120", "-1", "soon", "", "Tue, 31 Feb 2026 10:00:00 GMT"] {
            assert_eq!(seconds_until(text, None, now), None, "{text}");
        }
    }

    #[tokio::test]
    async fn retry_after_is_read_in_both_forms() {
        for (value, seconds) in [("7", 7), ("Tue, 24 Nov 2026 10:05:00 GMT", 300)] {
            let answer = format!(
                "HTTP/1.1 429 Slow\r\ndate: Tue, 24 Nov 2026 10:00:00 GMT\r\n\
                 retry-after: {value}\r\ncontent-length: 0\r\n\r\n"
            );
            let (url, _task) = server(Some(answer)).await;
            let answer = http().send(request(url), CredentialSlot::Bearer, &token()).await;
            let after = answer.expect("an answer").retry_after();
            assert_eq!(after, Some(Duration::from_secs(seconds)), "{value}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_stalls_is_a_timeout_and_perhaps_sent() {
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{";
        let (url, server) = server(Some(answer.to_owned())).await;
        let sending = tokio::spawn(async move {
            http().send(request(url), CredentialSlot::Bearer, &token()).await.err()
        });
        // The server keeps its end open until the request has given up.
        let open = server.await.expect("a request");
        assert_eq!(sending.await.expect("no panic"), Some(SendError::Timeout));
        drop(open);
    }

    #[tokio::test]
    async fn a_name_that_nobody_knows_is_certainly_not_sent() {
        let url = "https://graph.invalid/v26.0/1/events".to_owned();
        let sent = http().send(request(url), CredentialSlot::Bearer, &token()).await;
        assert_eq!(sent.err().map(SendError::certainty), Some("no"));
    }

    #[tokio::test]
    async fn an_alert_goes_to_https_or_this_machine_and_needs_a_success() {
        let body = json!({"data": []});
        let (url, task) = server(ok("ok")).await;
        assert_eq!(http().notify(&url.into(), &body).await, Ok(()));
        assert!(task.await.expect("a request").0.contains("application/json"));
        let refused = "HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n".to_owned();
        let (url, _task) = server(Some(refused)).await;
        assert_eq!(http().notify(&url.into(), &body).await, Err(NotifyError::Status(404)));
        let sent = http().notify(&"http://example.com/s3cret".into(), &body).await;
        assert_eq!(sent, Err(SendError::InClear.into()));
        let sent = http().notify(&"s3cret".into(), &body).await;
        assert_eq!(sent, Err(SendError::Build.into()));
        assert!(!format!("{sent:?}").contains("s3cret"));
    }

    #[tokio::test]
    async fn a_key_file_is_no_token() {
        let file = SecretString::from("{\"private_key\":\"a\"}");
        for slot in
            [CredentialSlot::Bearer, CredentialSlot::Header("x-key"), CredentialSlot::Query("key")]
        {
            let request = request("https://events.example.com/in".into());
            let sent = http().send(request, slot, &file).await;
            assert_eq!(sent.err(), Some(SendError::Credential), "{slot:?}");
            assert_eq!(check(slot, &token()), Ok(()));
        }
        let signing = CredentialSlot::Signature { timestamp: "t", signature: "s" };
        assert_eq!(check(signing, &"two words".into()), Ok(()));
    }

    #[tokio::test]
    async fn a_signature_covers_time_and_body_and_the_key_stays_here() {
        let slot =
            CredentialSlot::Signature { timestamp: "capi-timestamp", signature: "capi-signature" };
        let (url, task) = server(ok("{}")).await;
        http().send(request(url), slot, &token()).await.expect("an answer");
        let (got, _) = task.await.expect("a request");
        let header = |name: &str| {
            let found = got.lines().find_map(|line| line.strip_prefix(name)).expect(name);
            found.trim_start_matches(": ").to_owned()
        };
        let timestamp = header("capi-timestamp");
        let signature = header("capi-signature");
        assert_eq!(signature, sign("EAAGsecret", &timestamp, b"{\"data\":[]}"));
        assert_ne!(signature, sign("EAAGsecret", "0", b"{\"data\":[]}"));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
        assert!(now - timestamp.parse::<u64>().expect("seconds") < 60);
        assert!(!got.contains("EAAGsecret"), "{got}");
    }

    #[test]
    fn a_signature_is_the_hmac_that_others_make() {
        // printf '1790000000.{}' | openssl dgst -sha256 -hmac Jefe
        let made = "d927a7192cf1342cbb06dac01a2b72995b9dec4d36dbae00ea48c5671b3f9751";
        assert_eq!(sign("Jefe", "1790000000", b"{}"), format!("v1={made}"));
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_is_not_followed() {
        let answer =
            "HTTP/1.1 307 Away\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
        let (url, _task) = server(Some(answer.to_owned())).await;
        let answer = http().send(request(url), CredentialSlot::Bearer, &token()).await;
        assert_eq!(answer.expect("an answer").status, 307);
    }

    #[tokio::test]
    async fn a_huge_answer_is_cut() {
        let (url, _task) = server(ok(&"x".repeat(3 * ANSWER_LIMIT))).await;
        let answer = http().send(request(url), CredentialSlot::Bearer, &token()).await;
        assert_eq!(answer.expect("an answer").body.len(), ANSWER_LIMIT);
    }

    #[tokio::test]
    async fn silence_is_a_timeout_and_perhaps_sent() {
        let (url, _task) = server(None).await;
        let task = tokio::spawn(async move {
            http().send(request(url), CredentialSlot::Bearer, &token()).await.err()
        });
        let error = task.await.expect("no panic").expect("an error");
        // The server's end stays open only while its task's result lives; both outcomes are unsure.
        assert_eq!(error.certainty(), "unknown");
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_is_perhaps_sent() {
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{";
        let (url, task) = server(Some(answer.to_owned())).await;
        let sending = tokio::spawn(async move {
            http().send(request(url), CredentialSlot::Bearer, &token()).await.err()
        });
        drop(task.await.expect("a request"));
        let error = sending.await.expect("no panic").expect("an error");
        assert_eq!(error, SendError::Broken);
        assert_eq!(error.certainty(), "unknown");
    }

    #[tokio::test]
    async fn nobody_there_is_certainly_not_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let url = format!("http://{address}/");
        let error = http().send(request(url), CredentialSlot::Bearer, &token()).await.err();
        assert_eq!(error, Some(SendError::Connect));
        assert_eq!(SendError::Connect.certainty(), "no");
    }

    #[tokio::test]
    async fn nothing_goes_in_clear_to_another_machine() {
        for url in ["http://example.com/", "http://127.0.0.1.example.com/", "http://[2001:db8::1]/"]
        {
            let sent = http().send(request(url.into()), CredentialSlot::Bearer, &token()).await;
            assert_eq!(sent.err(), Some(SendError::InClear), "{url}");
        }
    }

    #[tokio::test]
    async fn a_credential_with_a_line_break_is_not_sent() {
        let url = "http://127.0.0.1:1/".to_owned();
        let credential = SecretString::from("a\r\nhost: b");
        let sent = http().send(request(url), CredentialSlot::Bearer, &credential).await;
        assert_eq!(sent.err(), Some(SendError::Credential));
    }
}
