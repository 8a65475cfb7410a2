//! Owns the token endpoints: Google's (service account and refresh token) and LinkedIn's (refresh
//! token). What they read and answer is never logged.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde_json::{Value, json};

use super::call::{Call, Failure, Reply};
use super::options::DEMO_TOKEN;
use super::platform::Platform;
use super::state::Standin;

/// Google's token endpoint.
pub(super) const GOOGLE: &str = "/token";
/// LinkedIn's token endpoint.
pub(super) const LINKEDIN: &str = "/oauth/v2/accessToken";

const JWT_GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const SCOPE: &str = "https://www.googleapis.com/auth/datamanager";
/// An hour, which is also the longest life of an assertion.
const GOOGLE_LIFE: i64 = 3_600;
/// 60 days.
const LINKEDIN_LIFE: i64 = 60 * 86_400;

/// Why no token is given: HTTP status, error, rule.
type Denial = (u16, &'static str, &'static str);

/// Answers one request for a token.
pub(super) fn judge(state: &Standin, call: &Call) -> Reply {
    match give(state, call) {
        Ok((platform, life)) => {
            let token = state.issued().issue(platform, call.now_us + life * 1_000_000);
            let mut answer = json!({ "access_token": token, "expires_in": life - 1 });
            if platform == Platform::GoogleAds {
                answer["token_type"] = json!("Bearer");
                answer["scope"] = json!(SCOPE);
            }
            Reply::json(200, answer)
        }
        Err((status, error, rule)) => refusal(status, error).failed(error, rule),
    }
}

/// Puts a failure in the words of OAuth.
pub(super) fn fail(failure: Failure) -> Reply {
    let (status, error) = match failure {
        Failure::NotFound => (404, "not_found"),
        Failure::Token => (400, "invalid_grant"),
        Failure::Throttled => (429, "rate_limit_exceeded"),
        Failure::Server(status) => (status, "internal_failure"),
        Failure::Client(status) => (status, "invalid_request"),
        Failure::TooLarge => (413, "invalid_request"),
    };
    refusal(status, error).failed(error, "fault")
}

fn refusal(status: u16, error: &str) -> Reply {
    Reply::json(status, json!({ "error": error, "error_description": "Refused by the stand-in." }))
}

fn give(state: &Standin, call: &Call) -> Result<(Platform, i64), Denial> {
    let google = call.platform == Platform::GoogleOauth;
    let (platform, life, [form_rule, grant_rule, refresh_rule]) = if google {
        let rules = ["google_oauth.form", "google_oauth.grant", "google_oauth.refresh"];
        (Platform::GoogleAds, GOOGLE_LIFE, rules)
    } else {
        let rules = ["linkedin_oauth.form", "linkedin_oauth.grant", "linkedin_oauth.refresh"];
        (Platform::Linkedin, LINKEDIN_LIFE, rules)
    };
    let is_form = call
        .header("content-type")
        .is_some_and(|content_type| content_type.starts_with("application/x-www-form-urlencoded"));
    if call.method != "POST" || !is_form {
        return Err((400, "invalid_request", form_rule));
    }
    let form: Vec<(String, String)> = form_urlencoded::parse(&call.body).into_owned().collect();
    let field =
        |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    match field("grant_type") {
        Some("refresh_token") => {
            let known = state
                .credential(platform)
                .and_then(|text| serde_json::from_str::<Value>(text).ok())
                .unwrap_or_default();
            let wanted = |name: &str| known[name].as_str();
            let is_client = |name: &str| {
                field(name).is_some_and(|given| {
                    !given.is_empty() && wanted(name).is_none_or(|wanted| wanted == given)
                })
            };
            if !is_client("client_id") || !is_client("client_secret") {
                return Err((401, "invalid_client", refresh_rule));
            }
            let plain = state.credential(platform).unwrap_or(DEMO_TOKEN);
            let refresh = wanted("refresh_token").unwrap_or(plain);
            if field("refresh_token") != Some(refresh) {
                return Err((400, "invalid_grant", refresh_rule));
            }
        }
        Some(JWT_GRANT) if google => {
            let assertion = field("assertion").unwrap_or_default();
            check_assertion(state.credential(platform), assertion, call.now())?;
        }
        _ => return Err((400, "unsupported_grant_type", grant_rule)),
    }
    Ok((platform, life))
}

fn check_assertion(key_file: Option<&str>, assertion: &str, now: i64) -> Result<(), Denial> {
    const RULE: &str = "google_oauth.assertion";
    const CLAIMS: &str = "google_oauth.claims";
    let bad = (400, "invalid_grant", RULE);
    let parts: Vec<&str> = assertion.split('.').collect();
    let [head, claims, signature] = parts[..] else { return Err(bad) };
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| bad);
    let json = |part: &str| serde_json::from_slice::<Value>(&decode(part)?).map_err(|_| bad);
    if json(head)?["alg"] != "RS256" {
        return Err(bad);
    }
    let signature = decode(signature)?;
    let claims = json(claims)?;
    let file = key_file.and_then(|text| serde_json::from_str::<Value>(text).ok());
    if let Some(file) = &file
        && let Some(pem) = file["private_key"].as_str()
    {
        let public = public_key(pem).ok_or(bad)?;
        let signed = assertion.rsplit_once('.').map_or("", |(signed, _)| signed);
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public)
            .verify(signed.as_bytes(), &signature)
            .map_err(|_| bad)?;
        if claims["iss"] != file["client_email"] {
            return Err((400, "invalid_grant", CLAIMS));
        }
    }
    // RSA with 2,048 bits at least.
    if signature.len() < 256 {
        return Err(bad);
    }
    let scopes = claims["scope"].as_str().unwrap_or_default();
    if !scopes.split(' ').any(|scope| scope == SCOPE) {
        return Err((400, "invalid_scope", CLAIMS));
    }
    let time = |name: &str| claims[name].as_i64();
    let timely = match (time("iat"), time("exp")) {
        (Some(issued), Some(ends)) => {
            issued <= now + 60 && now < ends && ends > issued && ends - issued <= GOOGLE_LIFE
        }
        _ => false,
    };
    let text = |name: &str| claims[name].as_str().unwrap_or_default();
    if !timely || text("iss").is_empty() || !text("aud").ends_with(GOOGLE) {
        return Err((400, "invalid_grant", CLAIMS));
    }
    Ok(())
}

/// The public half of a private key in PEM.
fn public_key(pem: &str) -> Option<Vec<u8>> {
    let lines = pem.lines().filter(|line| !line.starts_with("-----"));
    let der = STANDARD.decode(lines.collect::<String>()).ok()?;
    let pair = RsaKeyPair::from_pkcs8(&der).ok()?;
    Some(pair.public_key().as_ref().to_vec())
}
