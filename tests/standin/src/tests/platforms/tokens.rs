//! Examples of the token endpoints, with a real signature.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};

use super::{Book, DEMO_TOKEN, Local, Shot, google, linkedin, now};
use crate::{Platform, StandinOptions};

/// A key that opens nothing but this test.
const KEY: &str = include_str!("../../../service_account.pem");
const GOOGLE: &str = "/token";
const LINKEDIN: &str = "/oauth/v2/accessToken";
const JWT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const SCOPE: &str = "https://www.googleapis.com/auth/datamanager";

fn form(path: &str, fields: &[(&str, &str)]) -> Shot {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let form = "application/x-www-form-urlencoded";
    Shot::json(path, &[], &"").with("content-type", form).saying(&body)
}

fn refresh(path: &str, token: &str) -> Shot {
    form(
        path,
        &[
            ("grant_type", "refresh_token"),
            ("client_id", "client"),
            ("client_secret", "a secret"),
            ("refresh_token", token),
        ],
    )
}

fn claims() -> Value {
    json!({
        "iss": "shop@project.example.com", "scope": SCOPE,
        "aud": "https://oauth2.googleapis.com/token", "iat": now(), "exp": now() + 3600,
    })
}

fn assertion(claims: &Value) -> String {
    let der: String = KEY.lines().filter(|line| !line.starts_with('-')).collect();
    let pair = RsaKeyPair::from_pkcs8(&STANDARD.decode(der).expect("base64")).expect("a key");
    let head = URL_SAFE_NO_PAD.encode(json!({"alg": "RS256", "typ": "JWT"}).to_string());
    let text = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let mut signature = vec![0; pair.public().modulus_len()];
    let random = ring::rand::SystemRandom::new();
    pair.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).expect("signed");
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn signed(claims: &Value) -> Shot {
    form(GOOGLE, &[("grant_type", JWT), ("assertion", &assertion(claims))])
}

pub(super) fn google() -> Book {
    let mut book = Book::new(claims(), signed);
    let good = book.good();
    let json = good.clone().with("content-type", "application/json");
    book.shots("google_oauth.form", [good.clone()], [json, good.clone().method("GET")]);
    book.shots("google_oauth.grant", [good.clone()], [form(GOOGLE, &[("grant_type", "password")])]);
    let good = [refresh(GOOGLE, DEMO_TOKEN)];
    book.shots("google_oauth.refresh", good, [refresh(GOOGLE, "wrong")]);
    book.shots(
        "google_oauth.assertion",
        [book.good()],
        [
            form(GOOGLE, &[("grant_type", JWT)]),
            form(GOOGLE, &[("grant_type", JWT), ("assertion", "a.b.c")]),
        ],
    );
    book.bad("google_oauth.claims", "/iss", json!("absent"));
    book.bad("google_oauth.claims", "/aud", json!("https://example.com/"));
    book.bad("google_oauth.claims", "/exp", json!(now() + 7_200));
    book.bad("google_oauth.claims", "/exp", json!(now() - 1));
    book.bad("google_oauth.claims", "/iat", json!("now"));
    book
}

pub(super) fn linkedin() -> Book {
    let mut book = Book::new(Value::Null, |_| refresh(LINKEDIN, DEMO_TOKEN));
    let good = book.good();
    let json = good.clone().with("content-type", "application/json");
    book.shots("linkedin_oauth.form", [good.clone()], [json]);
    let jwt = form(LINKEDIN, &[("grant_type", JWT)]);
    book.shots("linkedin_oauth.grant", [good.clone()], [jwt]);
    book.shots("linkedin_oauth.refresh", [good], [refresh(LINKEDIN, "wrong")]);
    book
}

fn local(platform: Platform, credential: &Value) -> Local {
    let mut options = StandinOptions::default();
    options.credentials.insert(platform, credential.to_string().into());
    Local::new(&options)
}

#[tokio::test]
async fn a_service_account_gets_a_token_for_an_hour() {
    let file = json!({"client_email": "shop@project.example.com", "private_key": KEY});
    let local = local(Platform::GoogleAds, &file);
    let (status, answer) = local.call(signed(&claims()).request()).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!((&answer["token_type"], &answer["scope"]), (&json!("Bearer"), &json!(SCOPE)));
    let token = format!("Bearer {}", answer["access_token"].as_str().expect("a token"));
    let send = || google::book().good().with("authorization", &token).request();
    assert_eq!(local.call(send()).await.0, 200);
    assert_eq!(local.call(google::book().good().request()).await.0, 401, "no token of ours");
    local.post("/_standin/clock", &json!({"advance_seconds": 3_600})).await;
    assert_eq!(local.call(send()).await.0, 401, "an hour is over");
}

#[tokio::test]
async fn a_signature_of_somebody_else_gets_nothing() {
    let file = json!({"client_email": "shop@project.example.com", "private_key": KEY});
    let local = local(Platform::GoogleAds, &file);
    let assertion = assertion(&claims());
    let (text, signature) = assertion.rsplit_once('.').expect("three parts");
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).expect("base64");
    bytes[7] ^= 1;
    let forged = format!("{text}.{}", URL_SAFE_NO_PAD.encode(bytes));
    let shot = form(GOOGLE, &[("grant_type", JWT), ("assertion", &forged)]);
    let (status, answer) = local.call(shot.request()).await;
    assert_eq!((status, &answer["error"]), (400, &json!("invalid_grant")));
    let other = super::set(&claims(), "/iss", json!("other@project.example.com"));
    assert_eq!(local.call(signed(&other).request()).await.0, 400);
}

#[tokio::test]
async fn a_refresh_token_needs_its_client() {
    let file = json!({"client_id": "client", "client_secret": "a secret", "refresh_token": "r-1"});
    let local = local(Platform::Linkedin, &file);
    let (status, answer) = local.call(refresh(LINKEDIN, "r-1").request()).await;
    assert_eq!(status, 200, "{answer}");
    let token = format!("Bearer {}", answer["access_token"].as_str().expect("a token"));
    let shot = linkedin::book().good().with("authorization", &token);
    assert_eq!(local.call(shot.request()).await.0, 200);
    let body = refresh(LINKEDIN, "r-1").body.replace("a+secret", "another");
    let (status, answer) = local.call(refresh(LINKEDIN, "r-1").saying(&body).request()).await;
    assert_eq!((status, &answer["error"]), (401, &json!("invalid_client")));
    // Faults hit a token endpoint only by its name.
    local.post("/_standin/faults", &json!({"kind": "status", "status": 503})).await;
    assert_eq!(local.call(refresh(LINKEDIN, "r-1").request()).await.0, 200);
    let down = json!({"kind": "status", "status": 503, "platform": "linkedin_oauth"});
    local.post("/_standin/faults", &down).await;
    assert_eq!(local.call(refresh(LINKEDIN, "r-1").request()).await.0, 503);
}
