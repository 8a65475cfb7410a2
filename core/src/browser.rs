//! What a web request tells of the browser: cookies, address of the page, IP address, user agent.
//!
//! The result is the `browser` object that conversion views take: its keys are those of
//! `capture::browser`. A request is anybody's to write, so each value passes the check that capture
//! would make, and what is longer than a browser sends is not looked at.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::capture::person_in;
use crate::identity;
use crate::time::Timestamp;

/// Longest text of all cookies and longest address, in bytes. Servers refuse headers beyond 8 to
/// 64 KiB.
const LONGEST: usize = 64 * 1024;

/// Most cookies and most parameters that are looked at; browsers keep some 180 per site.
const MOST: usize = 1_000;

/// Ids that platforms put into the address of the page they send somebody to, and their key.
const PARAMETERS: &[(&str, &str)] = &[
    ("gclid", "gclid"),
    ("gbraid", "gbraid"),
    ("wbraid", "wbraid"),
    ("ttclid", "ttclid"),
    ("epik", "epik"),
    ("ScCid", "sc_click_id"),
    ("li_fat_id", "li_fat_id"),
    ("rdt_cid", "rdt_cid"),
    ("twclid", "twclid"),
    ("msclkid", "msclkid"),
];

/// Cookies that hold an id as it is. An address outranks them: its click is the newer one.
const COOKIES: &[(&str, &str)] = &[
    ("_ttp", "ttp"),
    ("ttclid", "ttclid"),
    ("_epik", "epik"),
    ("_scid", "sc_cookie1"),
    ("_scclid", "sc_click_id"),
    ("li_fat_id", "li_fat_id"),
    ("_rdt_uuid", "rdt_uuid"),
    ("_rdt_cid", "rdt_cid"),
    ("_twclid", "twclid"),
];

/// Makes the object. `cookies` is the text of a Cookie header, or a JSON object of names and
/// values; `at` is when the request came, which is when a click in its address happened.
pub fn browser(
    cookies: Option<&str>,
    url: Option<&str>,
    ip: Option<&str>,
    user_agent: Option<&str>,
    at: Timestamp,
) -> Map<String, Value> {
    let cookies = cookies.map(read_cookies).unwrap_or_default();
    let parameters = url.map(read_parameters).unwrap_or_default();
    let mut found = Map::new();
    let mut put = |key: &str, value: Option<String>| {
        // As capture would: what holds an email address is no id.
        if let Some(value) = value.filter(|value| person_in(value).is_none()) {
            found.entry(key).or_insert(Value::String(value));
        }
    };
    put("ip", ip.and_then(|ip| identity::client_ip(ip).ok()));
    put("user_agent", user_agent.and_then(|agent| identity::user_agent(agent).ok()));
    put("fbp", cookies.get("_fbp").and_then(|value| identity::fbp(value).ok()));
    put("fbc", fbc(cookies.get("_fbc"), parameters.get("fbclid"), at));
    for (name, key) in PARAMETERS {
        put(key, parameters.get(*name).and_then(|value| identity::opaque_id(value).ok()));
    }
    for (name, key) in COOKIES {
        put(key, cookies.get(*name).and_then(|value| identity::opaque_id(value).ok()));
    }
    put("gclid", cookies.get("_gcl_aw").and_then(|value| of_google_click(value)));
    put("msclkid", cookies.get("_uetmsclkid").and_then(|value| of_microsoft_click(value)));
    put("ga_client_id", cookies.get("_ga").and_then(|value| client_id(value)));
    put("ga_session_id", session_id(&cookies));
    found
}

/// The click id: the cookie's, unless the address holds the id of another click.
fn fbc(cookie: Option<&String>, fbclid: Option<&String>, at: Timestamp) -> Option<String> {
    // A click counts for 90 days, so a cookie of an older one is none.
    let cookie = cookie.and_then(|value| identity::fbc(value, at).ok());
    let clicked = fbclid.and_then(|id| identity::fbc_from_fbclid(id, at, at).ok());
    match (cookie, clicked) {
        (Some(cookie), Some(clicked)) if is_same_click(&cookie, &clicked) => Some(cookie),
        (cookie, clicked) => clicked.or(cookie),
    }
}

/// Whether both hold the same `fbclid`; their times may differ.
fn is_same_click(one: &str, other: &str) -> bool {
    one.split('.').nth(3) == other.split('.').nth(3)
}

/// `GCL.1700000000.Cj0…`, as gtag keeps it.
fn of_google_click(value: &str) -> Option<String> {
    let (time, id) = value.strip_prefix("GCL.")?.split_once('.')?;
    if is_number(time, 10) { identity::opaque_id(id).ok() } else { None }
}

/// `_uet…` with the click id behind it.
fn of_microsoft_click(value: &str) -> Option<String> {
    identity::opaque_id(value.strip_prefix("_uet").unwrap_or(value)).ok()
}

/// The last two numbers of `GA1.1.1234567890.1700000000`; what is before them tells of domains.
fn client_id(value: &str) -> Option<String> {
    let mut parts = value.rsplit('.');
    let (time, random) = (parts.next()?, parts.next()?);
    let version = value.split('.').next()?;
    let fits = version.starts_with("GA") && is_number(time, 10) && is_number(random, 20);
    (fits && parts.count() >= 2).then(|| format!("{random}.{time}"))
}

/// The newest session of the cookies `_ga_…`, of which there is one per stream:
/// `GS1.1.1700000000.5.1.…` or `GS2.1.s1700000000$o5$g1$…`.
fn session_id(cookies: &HashMap<String, String>) -> Option<String> {
    let of_stream = |(name, value): (&String, &String)| {
        name.strip_prefix("_ga_").filter(|stream| !stream.is_empty())?;
        let mut parts = value.splitn(3, '.');
        let (version, _, rest) = (parts.next()?, parts.next()?, parts.next()?);
        let session = match version {
            "GS1" => rest.split('.').next()?,
            "GS2" => rest.split('$').find_map(|part| part.strip_prefix('s'))?,
            _ => return None,
        };
        is_number(session, 13).then(|| session.to_owned())
    };
    // As numbers of different lengths would compare.
    cookies.iter().filter_map(of_stream).max_by_key(|session| session.parse::<u64>().ok())
}

fn is_number(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// Cookies by name; the first of a name wins, which is the one of the narrowest path.
fn read_cookies(text: &str) -> HashMap<String, String> {
    let text = text.trim();
    if text.len() > LONGEST {
        return HashMap::new();
    }
    let mut cookies = HashMap::new();
    if text.starts_with('{') {
        let object: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
        for (name, value) in object.into_iter().take(MOST) {
            // Some frameworks give a list per name.
            let value = match value {
                Value::Array(values) => values.into_iter().next().unwrap_or_default(),
                value => value,
            };
            if let Value::String(value) = value {
                cookies.insert(name, decoded(value.trim(), false));
            }
        }
        return cookies;
    }
    let text =
        text.get(..7).filter(|p| p.eq_ignore_ascii_case("cookie:")).map_or(text, |_| &text[7..]);
    for pair in text.split(';').take(MOST) {
        let Some((name, value)) = pair.split_once('=') else { continue };
        let value = value.trim();
        let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
        cookies.entry(name.trim().to_owned()).or_insert_with(|| decoded(value, false));
    }
    cookies
}

/// Parameters of an address by name; the last of a name wins, which is what a redirect has added.
fn read_parameters(url: &str) -> HashMap<String, String> {
    if url.len() > LONGEST {
        return HashMap::new();
    }
    let before_fragment = url.split('#').next().unwrap_or_default();
    let Some((_, query)) = before_fragment.split_once('?') else { return HashMap::new() };
    let pairs = query.split('&').take(MOST).filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name, true), decoded(value, true))).collect()
}

/// Undoes percent encoding; in an address `+` is a blank. What is no UTF-8 then stays encoded, and
/// no check lets it pass.
fn decoded(text: &str, plus: bool) -> String {
    let text = if plus { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    if !text.contains('%') {
        return text.into_owned();
    }
    let digit = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16));
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let pair = (digit(bytes.get(at + 1)), digit(bytes.get(at + 2)));
        match (byte, pair) {
            (b'%', (Some(high), Some(low))) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};
    use serde_json::json;

    const AT: Timestamp = Timestamp(1_790_000_000_123_456);

    fn of(cookies: &str, url: &str) -> Value {
        Value::Object(browser(Some(cookies), Some(url), None, None, AT))
    }

    #[test]
    fn a_whole_request() {
        let cookies = "sid=abc; _fbp=fb.1.1789900000000.7654321; _ga=GA1.1.1234567890.1789900000; \
            _ga_AAA111=GS1.1.1789900001.5.1.1789900100.0.0.0; \
            _ga_BBB222=GS2.1.s1789990000$o7$g1$t1789990100$j60$l0$h0; _gcl_aw=GCL.1789900000.Cj0Old; \
            _ttp=2abcDEF; _epik=dj0yJnU9; _scid=11111111-2222; li_fat_id=5555-6666; \
            _rdt_uuid=1789900000000.abc-def; _uetmsclkid=_uetaabbcc; theme=dark";
        let url = "https://shop.example.com/?utm_source=x&gclid=Cj0New-1_2&fbclid=IwAR0_a-B&ttclid=E.C.P.1\
            &ScCid=aaaa-bbbb&rdt_cid=77&twclid=2x3&wbraid=ClA#top";
        let found = browser(
            Some(cookies),
            Some(url),
            Some("10.0.0.7, 203.0.113.7:443"),
            Some(" Mozilla/5.0 (X11) "),
            AT,
        );
        let expected = json!({
            "ip": "203.0.113.7",
            "user_agent": "Mozilla/5.0 (X11)",
            "fbp": "fb.1.1789900000000.7654321",
            "fbc": "fb.1.1790000000123.IwAR0_a-B",
            "ga_client_id": "1234567890.1789900000",
            "ga_session_id": "1789990000",
            "gclid": "Cj0New-1_2",
            "wbraid": "ClA",
            "ttclid": "E.C.P.1",
            "ttp": "2abcDEF",
            "epik": "dj0yJnU9",
            "sc_click_id": "aaaa-bbbb",
            "sc_cookie1": "11111111-2222",
            "li_fat_id": "5555-6666",
            "rdt_cid": "77",
            "rdt_uuid": "1789900000000.abc-def",
            "twclid": "2x3",
            "msclkid": "aabbcc",
        });
        assert_eq!(Value::Object(found), expected);
    }

    #[test]
    fn what_is_found_is_what_capture_takes() {
        use crate::capture::{Captured, Options, Row, capture};
        let url = "https://shop.example.com/?fbclid=IwAR0_a-B&gclid=Cj0";
        let found = browser(
            Some("_fbp=fb.1.1789900000000.7"),
            Some(url),
            Some("203.0.113.7"),
            Some("A/1"),
            AT,
        );
        let row = json!({"event_name": "Lead", "event_id": "l", "event_time": AT.0,
            "action_source": "website", "consent": true, "browser": found});
        let row = Row::from_object(row.as_object().expect("an object").clone());
        let Captured::Event(new) = capture(row, &Options::default(), AT) else {
            panic!("an event")
        };
        assert_eq!(new.dropped.len(), 0, "{:?}", new.dropped);
        for (fact, value) in [
            ("client_ip_address", "203.0.113.7"),
            ("client_user_agent", "A/1"),
            ("fbp", "fb.1.1789900000000.7"),
            ("fbc", "fb.1.1790000000123.IwAR0_a-B"),
            ("gclid", "Cj0"),
        ] {
            assert_eq!(new.event.facts.text(fact), Some(value));
        }
    }

    #[test]
    fn a_click_is_built_once_and_a_newer_one_wins() {
        let kept = "fb.1.1789900000000.IwAR0.AQ";
        let cookie = format!("_fbc={kept}");
        let fbc = |cookies: &str, url: &str| of(cookies, url)["fbc"].clone();
        assert_eq!(fbc(&cookie, "/x"), kept);
        assert_eq!(fbc(&cookie, "/x?fbclid=IwAR0"), kept, "a reload is no new click");
        assert_eq!(fbc(&cookie, "/x?fbclid=IwAR1"), "fb.1.1790000000123.IwAR1");
        assert_eq!(fbc("", "/x?fbclid=IwAR1"), "fb.1.1790000000123.IwAR1");
        // Malformed, or older than a click may be: as if it were not there.
        assert_eq!(fbc("_fbc=IwAR0", "/x?fbclid=IwAR1"), "fb.1.1790000000123.IwAR1");
        assert_eq!(fbc("_fbc=fb.1.1690000000000.IwAR0", "/x"), Value::Null);
        assert_eq!(fbc(&cookie, "/x?fbclid=a%20b"), kept);
        assert_eq!(fbc("", "/x?fbclid=fb.1.1789900000000.IwAR0"), "fb.1.1789900000000.IwAR0");
    }

    #[test]
    fn cookies_come_as_header_or_object_encoded_or_not() {
        let fbp = json!({"fbp": "fb.1.1789900000000.7"});
        for cookies in [
            "_fbp=fb.1.1789900000000.7",
            "Cookie: a=b;_fbp=fb.1.1789900000000.7",
            " ;;=;x; a= ;_fbp=\"fb.1.1789900000000.7\"; _fbp=second",
            "_fbp=fb%2E1%2E1789900000000%2e7; bad=%zz%",
            r#"{"_fbp": "fb.1.1789900000000.7", "n": 1, "o": {}}"#,
            r#" {"_fbp": ["fb.1.1789900000000.7"]}"#,
        ] {
            assert_eq!(of(cookies, ""), fbp, "{cookies}");
        }
        for cookies in [
            "",
            "{",
            "{}",
            "_fbp",
            "_fbp=",
            "_fbp=undefined",
            "_fbp=%ff%fe",
            "_FBP=fb.1.1789900000000.7",
        ] {
            assert_eq!(of(cookies, "?"), json!({}), "{cookies}");
        }
    }

    #[test]
    fn googles_ids_in_every_format() {
        for (cookie, client) in [
            ("GA1.1.1234567890.1789900000", json!("1234567890.1789900000")),
            ("GA1.2-2.1234567890.1789900000", json!("1234567890.1789900000")),
            ("GA1.2.1234567890", json!(null)),
            ("1234567890.1789900000", json!(null)),
            ("GA1.1.amp-abc.1789900000", json!(null)),
            ("", json!(null)),
        ] {
            assert_eq!(of(&format!("_ga={cookie}"), "")["ga_client_id"], client, "{cookie}");
        }
        for (cookie, session) in [
            ("_ga_A=GS1.1.1789900001.5.1.1789900100.0.0.0", json!("1789900001")),
            ("_ga_A=GS1.1.1789900001", json!("1789900001")),
            ("_ga_A=GS2.1.s1789900001$o5$g1$t1789900100$j60$l0$h0", json!("1789900001")),
            ("_ga_A=GS2.1.o5$g1$s1789900001", json!("1789900001")),
            ("_ga_A=GS2.1.s178x", json!(null)),
            ("_ga_A=GS3.1.1789900001", json!(null)),
            ("_ga_=GS1.1.1789900001.5", json!(null)),
            ("_ga_A=GS1", json!(null)),
        ] {
            assert_eq!(of(cookie, "")["ga_session_id"], session, "{cookie}");
        }
    }

    #[test]
    fn absurd_sizes_are_not_looked_at() {
        let long = "x".repeat(LONGEST);
        assert_eq!(of(&format!("a={long}; _ttp=abc"), &format!("/?{long}&gclid=abc")), json!({}));
        let many = "a=b; ".repeat(MOST);
        assert_eq!(of(&format!("{many}_ttp=abc"), ""), json!({}));
        assert_eq!(of(&format!("_ttp={}", "x".repeat(1025)), ""), json!({}));
    }

    proptest! {
        #[test]
        fn no_request_panics_and_what_comes_out_is_bounded(
            cookies in any::<String>(), url in any::<String>(), ip in any::<String>(),
            agent in any::<String>(), at in any::<i64>(),
        ) {
            let found = browser(Some(&cookies), Some(&url), Some(&ip), Some(&agent), Timestamp(at));
            for value in found.values() {
                let text = value.as_str().expect("a text");
                proptest::prop_assert!(text.len() <= 4096 && !text.chars().any(char::is_control));
            }
        }

        #[test]
        fn a_value_is_read_from_either_form(
            id in "[A-Za-z0-9._-]{1,40}", name in prop::sample::select(vec!["_ttp", "_epik", "_scid"]),
        ) {
            let object = json!({name: id}).to_string();
            proptest::prop_assert_eq!(of(&format!("x=1; {name}={id}"), ""), of(&object, ""));
        }
    }
}
