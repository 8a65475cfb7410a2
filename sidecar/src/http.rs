//! The one HTTP client: timeouts, size limit, no redirects, credentials, redaction.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use capi_core::destination::{CredentialSlot, Grant, Method, Request, Response};
use reqwest::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, DATE, HeaderName, HeaderValue};
use reqwest::{Client, ClientBuilder, Url, redirect};
use ring::hmac;
use rustls::ClientConfig;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::config::Credential;
use crate::oauth::{self, Tokens};
pub use error::SendError;
use error::is_safe;

pub(crate) mod error;

/// Most bytes of an answer that are read. Most have hundreds; one that refuses each event of a full batch
/// has a megabyte, and what is cut off cannot be read at all.
const ANSWER_LIMIT: usize = 2 * 1024 * 1024;

/// The header that says when to come back: in seconds, or as a date.
const RETRY_AFTER: &str = "retry-after";

/// How long an idle connection to a platform is kept.
const IDLE: Duration = Duration::from_secs(60);

/// How many ids of answers are kept of each host.
const IDS_KEPT: usize = 1_000;

/// Where platforms write the id of an answer; one id for each request.
const IDS: [&str; 4] = ["/fbtrace_id", "/error/fbtrace_id", "/request_id", "/requestId"];

/// Sends requests to platforms.
#[derive(Clone, Debug)]
pub struct Http {
    pool: Arc<Mutex<Client>>,
    make: Make,
    seen: Arc<Mutex<Seen>>,
    /// From the start of a request to the end of its answer, all exchanges of a token included.
    timeout: Duration,
    tokens: Tokens,
}

/// What a client is made of.
#[derive(Clone, Debug)]
struct Make {
    tls: ClientConfig,
    connect_timeout: Duration,
    timeout: Duration,
}

/// Ids of the last answers of each host, hashed.
#[derive(Debug, Default)]
struct Seen {
    hasher: RandomState,
    hosts: HashMap<String, VecDeque<u64>>,
}

impl Seen {
    /// Whether an id of a host is new; it is not from now on.
    fn is_new(&mut self, host: &str, id: &str) -> bool {
        let id = self.hasher.hash_one(id);
        let ids = self.hosts.entry(host.to_owned()).or_default();
        if ids.contains(&id) {
            return false;
        }
        if ids.len() == IDS_KEPT {
            ids.pop_front();
        }
        ids.push_back(id);
        true
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
pub fn check(slot: CredentialSlot, credential: &Credential) -> Result<(), SendError> {
    let secret = credential.secret().expose_secret();
    let is_token = secret.bytes().all(|b| b.is_ascii_graphic());
    match slot {
        CredentialSlot::OAuth(grant) => oauth::check(grant, credential),
        CredentialSlot::Signature { .. } => Ok(()),
        // A key file of another platform's.
        _ if !is_token || secret.starts_with('{') => Err(SendError::Credential),
        _ => Ok(()),
    }
}

/// The HTTP client cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("build the HTTP client")]
pub struct ClientError(#[source] reqwest::Error);

impl Make {
    fn client(&self) -> Result<Client, ClientError> {
        self.builder().build().map_err(ClientError)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    fn builder(&self) -> ClientBuilder {
        Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .connect_timeout(self.connect_timeout)
            .timeout(self.timeout)
            .pool_idle_timeout(IDLE)
            .redirect(redirect::Policy::none())
            // Each send is an attempt on record, within the rate. A repetition by itself would be none.
            .retry(reqwest::retry::never())
            .no_proxy()
            .user_agent(concat!("pg_capi/", env!("CARGO_PKG_VERSION")))
    }
}

impl Http {
    /// Builds the client. `timeout` runs from the start of a request to the end of its answer.
    pub fn new(
        mut tls: ClientConfig,
        connect_timeout: Duration,
        timeout: Duration,
    ) -> Result<Self, ClientError> {
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let make = Make { tls, connect_timeout, timeout };
        let pool = Arc::new(Mutex::new(make.client()?));
        Ok(Self { pool, make, seen: Arc::default(), timeout, tokens: Tokens::default() })
    }

    fn client(&self) -> Client {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the connections, because an answer came that cannot be its request's: whatever else
    /// such a connection holds is not believed. Requests that are under way end first.
    pub fn part(&self) {
        // What it is made of made one before; if it does not now, the next anomaly tries again.
        if let Ok(client) = self.make.client() {
            *self.pool.lock().unwrap_or_else(PoisonError::into_inner) = client;
        }
    }

    /// Refuses an answer whose id was seen before: on HTTP/1.1, a second copy that comes late is
    /// taken for the answer to the next request.
    fn believe(&self, host: &str, answer: Response) -> Result<Response, SendError> {
        let Some(id) = id_of(&answer) else { return Ok(answer) };
        let is_new = self.seen.lock().unwrap_or_else(PoisonError::into_inner).is_new(host, &id);
        if is_new {
            return Ok(answer);
        }
        self.part();
        Err(SendError::Repeated)
    }

    /// Posts to a URL that is itself a secret; whether the receiver took it.
    pub async fn notify(&self, url: &SecretString, body: &Value) -> Result<(), NotifyError> {
        let url = Url::parse(url.expose_secret()).map_err(|_| SendError::Build)?;
        if !is_safe(&url) {
            return Err(SendError::InClear.into());
        }
        let body = serde_json::to_vec(body).map_err(|_| SendError::Build)?;
        let request = self.client().post(url).header(CONTENT_TYPE, "application/json").body(body);
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
        credential: &Credential,
    ) -> Result<Response, SendError> {
        let mut parts = Parts::of(request)?;
        // Settings may have named another place since the destination was looked at.
        if !credential.may_go(&parts.url) {
            return Err(SendError::NotAllowed);
        }
        // An exchange looks at it itself.
        if !matches!(slot, CredentialSlot::OAuth(_)) {
            check(slot, credential)?;
        }
        let secret = credential.secret().expose_secret();
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
                // A receiver of one's own may answer the same to all.
                parts.has_own_answer = false;
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
        credential: &Credential,
    ) -> Result<Response, SendError> {
        let deadline = Instant::now() + self.timeout;
        let client = self.client();
        let token = async |refused: Option<&SecretString>| {
            let token = self.tokens.get(&client, grant, credential, refused);
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
        let client = self.client();
        let host = parts.has_own_answer.then(|| parts.url.authority().to_owned());
        let mut builder = match parts.method {
            // No id tells a late copy of its answer from the answer to the next question, so on HTTP/1.1
            // there is no next one on this connection. HTTP/2 numbers its answers, and drops this header.
            Method::Get => client.get(parts.url).header(CONNECTION, "close"),
            Method::Post | Method::Delete => {
                let builder = match parts.method {
                    Method::Delete => client.delete(parts.url),
                    _ => client.post(parts.url),
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
        let answer = read(answer).await?;
        match host {
            Some(host) => self.believe(&host, answer),
            None => Ok(answer),
        }
    }
}

/// The id that the platform gave to the request, in the body or, by Meta, in a header.
fn id_of(answer: &Response) -> Option<String> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let mut in_body = IDS.iter().filter_map(|place| body.pointer(place)?.as_str());
    let id = in_body.next().or_else(|| answer.header("x-fb-trace-id"))?;
    (!id.is_empty()).then(|| id.to_owned())
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
    /// Whether the platform gives each answer an id of its own. The answer to a question may name
    /// the request that is asked about.
    has_own_answer: bool,
}

impl Parts {
    fn of(request: Request) -> Result<Self, SendError> {
        let url = Url::parse(&request.url).map_err(|_| SendError::Build)?;
        if !is_safe(&url) {
            return Err(SendError::InClear);
        }
        let headers = request.headers.into_iter();
        let headers = headers.map(|(name, value)| (HeaderName::from_static(name), value)).collect();
        let has_own_answer = request.method != Method::Get;
        let body = request.body.into_bytes();
        Ok(Self { method: request.method, url, headers, body, has_own_answer })
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

    fn token() -> Credential {
        Credential::anywhere("EAAGsecret")
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
    async fn the_longest_answer_of_a_platform_is_read_to_its_end() {
        // Google Ads describes each refused one of 2,000 conversions in some 700 bytes.
        let body = "x".repeat(2_000 * 700);
        let (url, _task) = server(ok(&body)).await;
        let tls = crate::tls::client(None).expect("TLS");
        let patient = Duration::from_secs(20);
        let http = Http::new(tls, patient, patient).expect("a client");
        let answer = http.send(request(url), CredentialSlot::Bearer, &token()).await;
        assert_eq!(answer.expect("an answer").body.len(), body.len());
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
        let file = Credential::anywhere("{\"private_key\":\"a\"}");
        for slot in
            [CredentialSlot::Bearer, CredentialSlot::Header("x-key"), CredentialSlot::Query("key")]
        {
            let request = request("https://events.example.com/in".into());
            let sent = http().send(request, slot, &file).await;
            assert_eq!(sent.err(), Some(SendError::Credential), "{slot:?}");
            assert_eq!(check(slot, &token()), Ok(()));
        }
        let signing = CredentialSlot::Signature { timestamp: "t", signature: "s" };
        assert_eq!(check(signing, &Credential::anywhere("two words")), Ok(()));
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
    async fn a_late_copy_of_an_answer_is_not_believed_for_the_next_request() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (copy, mut wanted) = tokio::sync::mpsc::channel::<()>(1);
        let server = tokio::spawn(async move {
            let request = async |stream: &mut TcpStream| {
                let mut got = Vec::new();
                while !got.ends_with(b"{\"data\":[]}") {
                    let mut buffer = [0; 4096];
                    let count = stream.read(&mut buffer).await.expect("a request");
                    assert!(count > 0, "the connection ended before its request");
                    got.extend_from_slice(&buffer[..count]);
                }
            };
            let first = ok("{\"events_received\":1,\"fbtrace_id\":\"A1\"}").expect("text");
            let (mut stream, _) = listener.accept().await.expect("a connection");
            request(&mut stream).await;
            stream.write_all(first.as_bytes()).await.expect("an answer");
            // The copy comes when the second request is under way.
            request(&mut stream).await;
            stream.write_all(first.as_bytes()).await.expect("a copy");
            wanted.recv().await;
            // What the connection still holds is nobody's: the third request has one of its own.
            let second = ok("{\"events_received\":1,\"fbtrace_id\":\"A2\"}").expect("text");
            stream.write_all(second.as_bytes()).await.ok();
            let (mut fresh, _) = listener.accept().await.expect("another connection");
            request(&mut fresh).await;
            let third = ok("{\"events_received\":1,\"fbtrace_id\":\"A3\"}").expect("text");
            fresh.write_all(third.as_bytes()).await.expect("an answer");
            (stream, fresh)
        });
        let tls = crate::tls::client(None).expect("TLS");
        let patient = Duration::from_secs(20);
        let http = Http::new(tls, patient, patient).expect("a client");
        let send = async |path: &str| {
            let request = request(format!("http://{address}/v26.0/{path}/events"));
            http.send(request, CredentialSlot::Bearer, &token()).await
        };
        assert_eq!(send("1").await.expect("an answer").status, 200);
        let repeated = send("2").await.err();
        assert_eq!(repeated, Some(SendError::Repeated));
        assert_eq!(repeated.map(SendError::certainty), Some("unknown"));
        copy.send(()).await.expect("the server lives");
        let answer = send("2").await.expect("an answer");
        assert!(answer.body.ends_with(b"\"A3\"}"), "an answer of its own");
        server.await.expect("the server");
    }

    /// A server of HTTP/2 without TLS that meets the first request with these frames and takes the
    /// others; how many came.
    async fn refuse_once(refusal: &'static [u8]) -> (Result<Response, SendError>, usize) {
        const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        // `:status: 200`, the end of the headers and of the answer.
        const TAKEN: [u8; 10] = [0, 0, 1, 1, 0x5, 0, 0, 0, 0, 0x88];
        const PREFACE: usize = 24;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (came, mut requests) = tokio::sync::mpsc::unbounded_channel();
        let server = tokio::spawn(async move {
            let mut is_first = true;
            loop {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let mut preface = [0; PREFACE];
                stream.read_exact(&mut preface).await.expect("a preface");
                stream.write_all(&SETTINGS).await.expect("settings");
                let mut head = [0; 9];
                // Frames, until the client ends the connection.
                while stream.read_exact(&mut head).await.is_ok() {
                    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                    let mut body = vec![0; length as usize];
                    stream.read_exact(&mut body).await.expect("a frame");
                    let ends_request = matches!(head[3], 0 | 1) && head[4] & 1 == 1;
                    if !ends_request {
                        continue;
                    }
                    came.send(()).expect("somebody counts");
                    let mut answer = TAKEN;
                    answer[5..9].copy_from_slice(&head[5..9]);
                    let answer = if is_first { refusal } else { &answer };
                    is_first = false;
                    stream.write_all(answer).await.expect("an answer");
                }
            }
        });
        let tls = crate::tls::client(None).expect("TLS");
        let patient = Duration::from_secs(20);
        let http = Http::new(tls, patient, patient).expect("a client");
        let speaks = http.make.builder().http2_prior_knowledge().build().expect("a client");
        *http.pool.lock().expect("not poisoned") = speaks;
        let request = request(format!("http://{address}/v26.0/1/events"));
        let sent = http.send(request, CredentialSlot::Bearer, &token()).await;
        server.abort();
        let mut count = 0;
        while requests.try_recv().is_ok() {
            count += 1;
        }
        (sent, count)
    }

    #[tokio::test]
    async fn a_request_that_http2_refuses_is_not_repeated_behind_the_record() {
        // GOAWAY, the last stream being 0, without an error.
        let goaway = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        // RST_STREAM of stream 1: REFUSED_STREAM, and ENHANCE_YOUR_CALM.
        let refused = &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 7];
        let calm = &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 11];
        for refusal in [goaway.as_slice(), refused, calm] {
            let (sent, count) = refuse_once(refusal).await;
            assert_eq!(sent.map(|answer| answer.status), Err(SendError::Broken), "{refusal:?}");
            assert_eq!(count, 1, "{refusal:?}");
        }
    }

    #[tokio::test]
    async fn a_receiver_of_ones_own_and_an_answer_to_a_question_may_repeat_an_id() {
        let signed = CredentialSlot::Signature { timestamp: "t", signature: "s" };
        let cases: [(_, _, &[u8]); 2] = [
            (Method::Post, signed, b"{\"data\":[]}"),
            (Method::Get, CredentialSlot::Bearer, b"\r\n\r\n"),
        ];
        // A late copy of an answer to a question must find no other question.
        let same = |method| method == Method::Post;
        for (method, slot, end) in cases {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            let server = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                for at in 0..2 {
                    if at == 1 && !same(method) {
                        // Held open, so that it is the client who gives it up.
                        let (next, _) = listener.accept().await.expect("another connection");
                        stream = next;
                    }
                    let mut got = Vec::new();
                    while !got.ends_with(end) {
                        let mut buffer = [0; 4096];
                        let count = stream.read(&mut buffer).await.expect("a request");
                        assert!(count > 0, "the same connection");
                        got.extend_from_slice(&buffer[..count]);
                    }
                    let answer = ok("{\"request_id\":\"A1\"}").expect("text");
                    stream.write_all(answer.as_bytes()).await.expect("an answer");
                }
                stream
            });
            let http = http();
            for _ in 0..2 {
                let request = match method {
                    Method::Get => Request::get(format!("http://{address}/")),
                    _ => request(format!("http://{address}/")),
                };
                let answer = http.send(request, slot, &token()).await;
                assert_eq!(answer.map(|answer| answer.status), Ok(200), "{method:?}");
            }
            server.await.expect("the server");
        }
    }

    #[test]
    fn the_last_ids_of_each_host_are_known() {
        let mut seen = Seen::default();
        assert!(seen.is_new("a", "1") && seen.is_new("b", "1") && !seen.is_new("a", "1"));
        for id in 0..IDS_KEPT {
            assert!(seen.is_new("a", &format!("x{id}")));
        }
        assert!(seen.is_new("a", "1"), "forgotten");
        assert_eq!(seen.hosts["a"].len(), IDS_KEPT);
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
    async fn a_credential_goes_nowhere_but_to_its_hosts() {
        let (url, task) = server(ok("{}")).await;
        let place = url.split('/').nth(2).expect("a host").to_owned();
        let elsewhere = Credential::to("EAAGsecret", &["graph.facebook.com", "127.0.0.1:1"]);
        for slot in [
            CredentialSlot::Bearer,
            CredentialSlot::Header("x-key"),
            CredentialSlot::Query("key"),
            CredentialSlot::Signature { timestamp: "t", signature: "s" },
        ] {
            let sent = http().send(request(url.clone()), slot, &elsewhere).await;
            assert_eq!(sent.err(), Some(SendError::NotAllowed), "{slot:?}");
        }
        assert!(!task.is_finished(), "nothing came");
        let here = Credential::to("EAAGsecret", &[&place]);
        http().send(request(url), CredentialSlot::Bearer, &here).await.expect("an answer");
    }

    #[tokio::test]
    async fn a_credential_with_a_line_break_is_not_sent() {
        let url = "http://127.0.0.1:1/".to_owned();
        let credential = Credential::anywhere("a\r\nhost: b");
        let sent = http().send(request(url), CredentialSlot::Bearer, &credential).await;
        assert_eq!(sent.err(), Some(SendError::Credential));
    }
}
