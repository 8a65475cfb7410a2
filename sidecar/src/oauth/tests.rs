//! Exchanges with a token endpoint on loopback.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use capi_core::destination::{CredentialSlot, Request};
use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::Value;

use super::*;
use crate::http::Http;

const KEY: &str = include_str!("../testdata/service-account-key.pem");

static GRANT: Grant =
    Grant { endpoint: "https://tokens.example.com/token", scope: Some("https://example.com/x") };

/// What the platform and its token endpoint have seen.
#[derive(Clone, Default)]
struct Seen {
    forms: Arc<Mutex<Vec<String>>>,
    bearers: Arc<Mutex<Vec<String>>>,
    events: Arc<AtomicUsize>,
    /// Tokens of a lower number are refused by the platform.
    least: Arc<AtomicUsize>,
    /// Status of the token endpoint; 0 is 200.
    status: Arc<AtomicUsize>,
    life: Arc<AtomicUsize>,
}

async fn token(State(seen): State<Seen>, form: String) -> (StatusCode, Json<Value>) {
    let number = {
        let mut forms = seen.forms.lock().expect("no panic");
        forms.push(form);
        forms.len()
    };
    let status = u16::try_from(seen.status.load(Ordering::SeqCst)).expect("a status");
    let body = match status {
        0 => json!({"access_token": format!("token-{number}"),
            "expires_in": seen.life.load(Ordering::SeqCst), "token_type": "Bearer"}),
        _ => json!({"error": "invalid_grant", "error_description": "quoted s3cret"}),
    };
    let status = if status == 0 { 200 } else { status };
    (StatusCode::from_u16(status).expect("a status"), Json(body))
}

async fn events(State(seen): State<Seen>, headers: HeaderMap) -> StatusCode {
    let bearer = headers["authorization"].to_str().expect("text").to_owned();
    let number: usize =
        bearer.rsplit('-').next().and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);
    seen.bearers.lock().expect("no panic").push(bearer);
    seen.events.fetch_add(1, Ordering::SeqCst);
    match number < seen.least.load(Ordering::SeqCst) {
        true => StatusCode::UNAUTHORIZED,
        false => StatusCode::OK,
    }
}

/// Starts the platform; its address and what it sees.
async fn platform() -> (String, Seen) {
    let seen = Seen::default();
    seen.life.store(3_600, Ordering::SeqCst);
    let router = Router::new().route("/token", post(token)).route("/events", post(events));
    let router = router.with_state(seen.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { return };
            let service = hyper_util::service::TowerToHyperService::new(router.clone());
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(hyper_util::rt::TokioIo::new(stream), service),
            );
        }
    });
    (format!("http://{address}"), seen)
}

fn any(secret: &str) -> config::Credential {
    config::Credential::anywhere(secret)
}

fn refreshing(address: &str) -> String {
    json!({"client_id": "app", "client_secret": "s3cret+&", "refresh_token": "1//s3cret",
        "token_uri": format!("{address}/token")})
    .to_string()
}

fn refresh(address: &str) -> config::Credential {
    any(&refreshing(address))
}

fn http() -> Http {
    let tls = crate::tls::client(None).expect("TLS");
    Http::new(tls, Duration::from_secs(1), Duration::from_secs(5)).expect("a client")
}

async fn send(
    http: &Http,
    address: &str,
    credential: &config::Credential,
) -> Result<u16, SendError> {
    let request = Request::post(format!("{address}/events"), &json!({"n": 1}), vec![]);
    let slot = CredentialSlot::OAuth(&GRANT);
    http.send(request, slot, credential).await.map(|answer| answer.status)
}

#[tokio::test]
async fn one_exchange_serves_many_requests_at_once() {
    let (address, seen) = platform().await;
    let (http, credential) = (http(), refresh(&address));
    let all = (0..8).map(|_| send(&http, &address, &credential));
    for status in futures_of(all).await {
        assert_eq!(status, Ok(200));
    }
    let forms = seen.forms.lock().expect("no panic");
    assert_eq!(
        *forms,
        ["grant_type=refresh_token&refresh_token=1%2F%2Fs3cret&client_id=app&\
          client_secret=s3cret%2B%26"]
    );
    assert!(seen.bearers.lock().expect("no panic").iter().all(|b| b == "Bearer token-1"));
}

/// Runs them together on this task.
async fn futures_of<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = all.map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = running.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, slot) in running.iter_mut().zip(&mut done) {
            if slot.is_none()
                && let std::task::Poll::Ready(output) = future.as_mut().poll(context)
            {
                *slot = Some(output);
            }
        }
        match done.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    let (address, seen) = platform().await;
    seen.life.store(0, Ordering::SeqCst);
    let (http, credential) = (http(), refresh(&address));
    for _ in 0..2 {
        assert_eq!(send(&http, &address, &credential).await, Ok(200));
    }
    assert_eq!(*seen.bearers.lock().expect("no panic"), ["Bearer token-1", "Bearer token-2"]);
}

#[tokio::test]
async fn a_refused_token_is_exchanged_once_and_then_the_answer_stands() {
    let (address, seen) = platform().await;
    let (http, credential) = (http(), refresh(&address));
    assert_eq!(send(&http, &address, &credential).await, Ok(200));
    seen.least.store(2, Ordering::SeqCst);
    assert_eq!(send(&http, &address, &credential).await, Ok(200), "with the second token");
    seen.least.store(9, Ordering::SeqCst);
    assert_eq!(send(&http, &address, &credential).await, Ok(401));
    assert_eq!(seen.forms.lock().expect("no panic").len(), 3);
    assert_eq!(seen.events.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn a_token_endpoint_that_refuses_differs_from_one_that_is_away() {
    let (address, seen) = platform().await;
    let (http, credential) = (http(), refresh(&address));
    for (status, error) in [
        (400, SendError::TokenRefused),
        (401, SendError::TokenRefused),
        (429, SendError::TokenUnavailable),
        (503, SendError::TokenUnavailable),
    ] {
        seen.status.store(status, Ordering::SeqCst);
        let sent = send(&http, &address, &credential).await;
        assert_eq!(sent, Err(error), "{status}");
        assert_eq!(error.certainty(), "no");
        let shown = format!("{error} {error:?} {http:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
    assert_eq!(seen.events.load(Ordering::SeqCst), 0, "nothing was sent without a token");
}

#[tokio::test]
async fn a_service_account_signs_what_it_asks_for() {
    let (address, seen) = platform().await;
    let credential = json!({"type": "service_account", "private_key_id": "key-1",
        "client_email": "sender@example.com", "private_key": KEY,
        "token_uri": format!("{address}/token")})
    .to_string();
    let credential = any(&credential);
    assert_eq!(check(&GRANT, &credential), Ok(()));
    assert_eq!(send(&http(), &address, &credential).await, Ok(200));
    let form = seen.forms.lock().expect("no panic").remove(0);
    let fields: HashMap<String, String> =
        form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    assert_eq!(fields["grant_type"], JWT_BEARER);
    let (signed, signature) = fields["assertion"].rsplit_once('.').expect("three parts");
    let der = PrivatePkcs8KeyDer::from_pem_slice(KEY.as_bytes()).expect("a key");
    let pair = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).expect("a key");
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref())
        .verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).expect("base64"))
        .expect("its signature");
    let part = |at: usize| -> Value {
        let text = signed.split('.').nth(at).expect("a part");
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).expect("base64")).expect("JSON")
    };
    assert_eq!(part(0), json!({"alg": "RS256", "typ": "JWT", "kid": "key-1"}));
    let claims = part(1);
    assert_eq!(claims["iss"], "sender@example.com");
    assert_eq!(claims["scope"], "https://example.com/x");
    assert_eq!(claims["aud"], format!("{address}/token"));
    let life = claims["exp"].as_u64().zip(claims["iat"].as_u64()).map(|(exp, iat)| exp - iat);
    assert_eq!(life, Some(ASSERTION_LIFE));
}

#[tokio::test]
async fn an_access_token_of_ones_own_is_used_as_it_is() {
    let (address, seen) = platform().await;
    assert_eq!(send(&http(), &address, &any("own-5")).await, Ok(200));
    seen.least.store(9, Ordering::SeqCst);
    assert_eq!(send(&http(), &address, &any("own-5")).await, Ok(401));
    assert!(seen.forms.lock().expect("no panic").is_empty());
    assert_eq!(seen.events.load(Ordering::SeqCst), 2, "the same again would be refused again");
}

#[tokio::test(start_paused = true)]
async fn tokens_of_credentials_that_were_replaced_are_forgotten() {
    let tokens = Tokens::default();
    let [old, new]: [SecretString; 2] =
        ["http://old", "http://new"].map(|address| refreshing(address).into());
    let slot = Arc::downgrade(&tokens.slot(&GRANT, &old));
    tokio::time::advance(UNUSED / 2).await;
    tokens.slot(&GRANT, &new);
    assert!(slot.upgrade().is_some(), "it may still be in use");
    tokio::time::advance(UNUSED / 2).await;
    let kept = Arc::downgrade(&tokens.slot(&GRANT, &new));
    assert!(slot.upgrade().is_none());
    tokio::time::advance(UNUSED / 2).await;
    tokens.slot(&GRANT, &new);
    assert!(kept.upgrade().is_some(), "in use all the time");
}

#[test]
fn credentials_that_are_none_are_named_without_their_text() {
    let no_accounts = Grant { scope: None, ..Grant { endpoint: GRANT.endpoint, scope: None } };
    let account = json!({"client_email": "s3cret@example.com", "private_key": KEY}).to_string();
    assert_eq!(check(&no_accounts, &any(&account)), Err(SendError::Credential));
    for text in [
        "{",
        "{}",
        r#"{"client_email": "s3cret@example.com", "private_key": "s3cret"}"#,
        r#"{"client_id": "s3cret", "refresh_token": "s3cret"}"#,
        r#"{"client_id": 7}"#,
    ] {
        let error = check(&GRANT, &any(text)).expect_err(text);
        assert_eq!(error, SendError::Credential, "{text}");
        assert!(!format!("{error} {error:?}").contains("s3cret"));
    }
    let in_clear = json!({"client_email": "a@example.com", "private_key": KEY,
        "token_uri": "http://tokens.example.com/"})
    .to_string();
    assert_eq!(check(&GRANT, &any(&in_clear)), Err(SendError::InClear));
}

#[tokio::test]
async fn a_refresh_token_goes_to_no_endpoint_but_the_vendors_and_listed_ones() {
    let (address, seen) = platform().await;
    let place = address.trim_start_matches("http://");
    let elsewhere = config::Credential::to(refreshing(&address), &["tokens.example.com"]);
    assert_eq!(check(&GRANT, &elsewhere), Err(SendError::NotAllowed));
    let tokens = Tokens::default();
    let http = reqwest_client();
    let got = tokens.get(&http, &GRANT, &elsewhere, None).await;
    assert_eq!(got.err(), Some(SendError::NotAllowed));
    assert!(seen.forms.lock().expect("no panic").is_empty());
    let listed = config::Credential::to(refreshing(&address), &[place]);
    assert_eq!(check(&GRANT, &listed), Ok(()));
    let vendors = json!({"client_id": "a", "client_secret": "b", "refresh_token": "c"}).to_string();
    assert_eq!(check(&GRANT, &config::Credential::to(vendors, &[])), Ok(()));
}

#[expect(clippy::disallowed_methods, reason = "no request leaves")]
fn reqwest_client() -> Client {
    let tls = crate::tls::client(None).expect("TLS");
    Client::builder().tls_backend_preconfigured(tls).build().expect("a client")
}

#[test]
fn no_word_of_a_token_endpoint_breaks_the_clock() {
    for (said, seconds) in [
        ("3600", 3_600),
        ("3599.9", 3_599),
        ("\"3600\"", 3_600),
        ("18446744073709551615", LONGEST_LIFE),
        ("1e300", LONGEST_LIFE),
        ("\"1e20\"", LONGEST_LIFE),
        ("\"inf\"", LONGEST_LIFE),
        ("-1", 0),
        ("-1e300", 0),
        ("\"NaN\"", UNSAID_LIFE),
        ("\"soon\"", UNSAID_LIFE),
        ("null", UNSAID_LIFE),
        ("[3600]", UNSAID_LIFE),
    ] {
        let said: Value = serde_json::from_str(said).expect(said);
        assert_eq!(life(Some(&said)), seconds, "{said}");
    }
    assert_eq!(life(None), UNSAID_LIFE);
}
