//! Custom audiences: `POST` and `DELETE` of `/{version}/{audience}/users`.
//!
//! `…/marketing-api/reference/custom-audience/users` and
//! `…/marketing-api/audiences/guides/custom-audiences`, read 2026-11-24:
//! - up to 10,000 rows; a `schema` of keys and `data` with a row of values each; an unknown value is
//!   an empty text;
//! - everything is hashed but `EXTERN_ID`, which is any text of the sender's. Here it is the digest
//!   that events have, for no clear text leaves the database;
//! - `LOOKALIKE_VALUE` is a number, 0 among them;
//! - Limited Data Use is a column of lists beside the others;
//! - a session has a number, its requests count from 1, the last one says so; it lasts 90 minutes;
//! - wrong rows are counted in the answer and do not refuse the request.
//!
//! Not documented, or not found: whether a JSON body serves a DELETE as it serves a POST, what
//! `num_received` counts, and in which order additions and removals are worked off. So removals go
//! first, and name the strong identifiers alone.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::codes::{self, Class};
use super::settings::{self, Settings};
use super::{answer, usage};
use crate::audience::{PARTS, STRONG};
use crate::destination::audience::{Change, Decision, Member, Session, Verdict};
use crate::destination::settings::{Shape, broken, shapes};
use crate::destination::{Method, Reason, Request, Response, SettingsError};
use crate::identity::{DateOrder, HashedPhone, country_code};

/// Most rows of a request.
pub(in crate::platform) const BATCH_LIMIT: usize = 10_000;

/// Parts of a member with their keys.
const KEYS: [&str; PARTS.len()] = [
    "EMAIL",
    "PHONE",
    "EXTERN_ID",
    "FN",
    "LN",
    "GEN",
    "DOBY",
    "DOBM",
    "DOBD",
    "CT",
    "ST",
    "ZIP",
    "COUNTRY",
];

/// The country of a state: the USA.
const USA: i64 = 1;

/// Every setting of an audience.
const KNOWN: &[(&str, Shape)] = &[
    ("audience_id", Shape::Text),
    ("default_country", Shape::TextOrNull),
    ("date_order", Shape::TextOrNull),
    ("hashed_phone", Shape::TextOrNull),
];

/// One custom audience.
#[derive(Debug)]
pub(in crate::platform) struct List {
    url: String,
    settings: Settings,
}

impl List {
    /// Reads the settings of the destination and of the audience.
    pub(in crate::platform) fn build(
        destination: &Value,
        audience: &Value,
    ) -> Result<Self, SettingsError> {
        let settings = settings::read(destination)?;
        let own = shapes(audience, KNOWN)?;
        let text = |key: &str| own.get(key).and_then(Value::as_str);
        let Some(id) = text("audience_id") else {
            return Err(broken("audience_id", "is required"));
        };
        if id.is_empty() || id.len() > 20 || !id.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(broken("audience_id", "must be the digits of a custom audience's id"));
        }
        if text("default_country").is_some_and(|country| country_code(country).is_err()) {
            return Err(broken("default_country", "must be an ISO 3166-1 code such as DE"));
        }
        if text("date_order").is_some_and(|order| DateOrder::parse(order).is_none()) {
            return Err(broken("date_order", "must be dmy, mdy or ymd"));
        }
        if text("hashed_phone").is_some_and(|form| HashedPhone::parse(form).is_none()) {
            return Err(broken("hashed_phone", "must be digits or plus"));
        }
        let url = settings.audience_url(id).ok_or_else(|| {
            broken("endpoint", "must not be a Conversions API Gateway: a Gateway has no audiences")
        })?;
        Ok(Self { url, settings })
    }

    /// The request of a change; see [`crate::platform::audience::Audience::request`].
    pub(in crate::platform) fn request(
        &self,
        change: Change,
        members: &[Member],
        session: Session,
    ) -> Request {
        let parts = match change {
            Change::Add => PARTS.len(),
            Change::Remove => STRONG,
        };
        // A column that nobody fills only takes room.
        let columns: Vec<usize> = (0..parts)
            .filter(|&at| {
                members.iter().any(|member| member.digests.get(at).is_some_and(|d| !d.is_empty()))
            })
            .collect();
        let valued = change == Change::Add && members.iter().any(|member| member.value.is_some());
        let limited = match change {
            Change::Add => self.limited_use(),
            Change::Remove => Map::new(),
        };
        let mut schema: Vec<Value> = columns.iter().map(|&at| KEYS[at].into()).collect();
        if valued {
            schema.push("LOOKALIKE_VALUE".into());
        }
        schema.extend(limited.keys().map(|key| Value::from(key.as_str())));
        let row = |member: &Member| -> Value {
            let digest =
                |&at: &usize| Value::from(member.digests.get(at).map_or("", String::as_str));
            let mut row: Vec<Value> = columns.iter().map(digest).collect();
            if valued {
                row.push(
                    member
                        .value
                        .as_ref()
                        .map_or_else(|| Value::from(""), |value| Value::Number(value.to_json())),
                );
            }
            row.extend(limited.values().cloned());
            Value::Array(row)
        };
        let data: Vec<Value> = members.iter().map(row).collect();
        let body = json!({
            "session": {
                "session_id": session.id,
                "batch_seq": session.sequence,
                "last_batch_flag": session.is_last,
                "estimated_num_total": session.estimated,
            },
            "payload": {"schema": schema, "data": data},
        });
        let mut request = Request::post(self.url.clone(), &body, Vec::new());
        if change == Change::Remove {
            request.method = Method::Delete;
        }
        request
    }

    /// Limited Data Use as columns, the same in every row.
    fn limited_use(&self) -> Map<String, Value> {
        let mut columns = Map::new();
        if self.settings.limited_data_use {
            columns.insert("DATA_PROCESSING_OPTIONS".into(), json!(["LDU"]));
            if let Some(state) = self.settings.limited_data_use_state {
                columns.insert("DATA_PROCESSING_OPTIONS_COUNTRY".into(), USA.into());
                columns.insert("DATA_PROCESSING_OPTIONS_STATE".into(), state.into());
            }
        }
        columns
    }

    /// Reads an answer. A success that does not name the rows of its request is none.
    pub(in crate::platform) fn verdict(sent: usize, response: &Response) -> Verdict {
        let (failure, request_id) = answer::failure(response);
        let decision = match failure {
            None => taken(sent, response),
            Some(failure) => {
                let reason = failure.reason;
                match failure.class {
                    Class::Retry | Class::Unknown => {
                        Decision::Retry { reason, after: response.retry_after() }
                    }
                    Class::Throttle => Decision::Wait { reason, after: usage::pause(response) },
                    Class::Configuration => Decision::Blocked { reason },
                    Class::Payload => Decision::Refused { reason },
                }
            }
        };
        Verdict { decision, request_id }
    }

    /// What a reason of this edge means.
    pub(in crate::platform) fn explain(reason: &str) -> Option<&'static str> {
        Some(match reason {
            "num_received_short" => {
                "Meta received fewer rows than were sent and does not say which; the batch goes \
                 again with the next sync"
            }
            "num_received_unknown" => {
                "the answer said success and not how many rows were received, so it may come from \
                 something in between; the batch goes again with the next sync; check endpoint"
            }
            "100/33" => {
                "no such audience, or the token may not see it; correct audience_id, or give the \
                 token's user access to the ad account"
            }
            "100/1713230" => {
                "Meta has restricted the audience (operation_status 471); settle it in Audience \
                 Manager"
            }
            "190" | "190/463" => {
                "the access token is invalid or has expired; make a new one with ads_management and \
                 store it under the credential's name"
            }
            "200/1870090" => {
                "the terms for custom audiences are not accepted; do so in the ad account"
            }
            _ if reason.split('/').next() == Some("200") => {
                "the token may not change the audience; it needs ads_management and access to the ad \
                 account"
            }
            _ if reason.split('/').next() == Some("2650") => {
                "Meta does not take this change of the audience; look at it in Audience Manager"
            }
            _ => {
                let mut codes = reason.splitn(2, '/').map(|code| code.parse::<i64>().ok());
                let code = codes.next().flatten()?;
                match codes::class(Some(code), codes.next().flatten(), false, 400) {
                    Class::Throttle => "Meta takes no more calls for now; sync again later",
                    Class::Retry | Class::Unknown => {
                        "Meta is not available for now; sync again later"
                    }
                    Class::Configuration => {
                        "the token, or the app behind it, may not change the audience"
                    }
                    Class::Payload => {
                        "Meta takes no request of this kind; look the code up in its Marketing API \
                         errors"
                    }
                }
            }
        })
    }
}

/// What Meta says of rows.
#[derive(Deserialize)]
struct Answer {
    num_received: Option<Value>,
    num_invalid_entries: Option<Value>,
}

fn taken(sent: usize, response: &Response) -> Decision {
    let answer: Option<Answer> = serde_json::from_slice(&response.body).ok();
    // Some fields of this API are numbers in text.
    let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
    let received = answer.as_ref().and_then(|answer| number(answer.num_received.as_ref()?));
    let invalid = answer.as_ref().and_then(|answer| number(answer.num_invalid_entries.as_ref()?));
    let retry = |reason| Decision::Retry { reason: Reason::new(reason), after: None };
    match received {
        None => retry("num_received_unknown"),
        Some(received) if received < sent as u64 => retry("num_received_short"),
        Some(_) => Decision::Taken { invalid: invalid.unwrap_or(0) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Digest;
    use crate::money::Amount;
    use proptest::prelude::*;
    use std::time::Duration;

    fn list(settings: &Value) -> List {
        List::build(settings, &json!({"audience_id": "6001"})).expect("settings")
    }

    fn plain() -> List {
        list(&json!({"pixel_id": "1"}))
    }

    fn member(parts: &[(&str, &str)], value: Option<&str>) -> Member {
        let digest = |part: &&str| {
            let found = parts.iter().find(|(name, _)| name == part);
            found.map_or(String::new(), |(_, text)| Digest::of(text).as_str().to_owned())
        };
        Member {
            digests: PARTS.iter().map(digest).collect(),
            value: value.map(|value| Amount::parse(value).expect("a number")),
        }
    }

    const SESSION: Session = Session { id: 7, sequence: 1, is_last: true, estimated: 2 };

    #[test]
    fn additions_name_every_part_that_somebody_has() {
        let members = [
            member(&[("email", "jo@example.com"), ("city", "berlin")], Some("44.50")),
            member(&[("phone", "493023125042"), ("birth_year", "1985")], Some("0")),
        ];
        let request = plain().request(Change::Add, &members, SESSION);
        assert_eq!(request.method, Method::Post);
        assert_eq!(request.url, "https://graph.facebook.com/v26.0/6001/users");
        let payload = &request.body["payload"];
        assert_eq!(payload["schema"], json!(["EMAIL", "PHONE", "DOBY", "CT", "LOOKALIKE_VALUE"]));
        let hash = |text: &str| Digest::of(text).as_str().to_owned();
        let first = payload["data"][0].to_string();
        let city = hash("berlin");
        assert_eq!(first, format!("[\"{}\",\"\",\"\",\"{city}\",44.50]", hash("jo@example.com")));
        assert_eq!(payload["data"][1][1], hash("493023125042"));
        let session = json!({"session_id": 7, "batch_seq": 1, "last_batch_flag": true,
            "estimated_num_total": 2});
        assert_eq!(request.body["session"], session);
    }

    #[test]
    fn removals_name_strong_identifiers_and_no_value() {
        let parts = [("email", "jo@example.com"), ("external_id", "k-17"), ("city", "berlin")];
        let request = plain().request(Change::Remove, &[member(&parts, Some("3"))], SESSION);
        assert_eq!(request.method, Method::Delete);
        assert_eq!(request.body["payload"]["schema"], json!(["EMAIL", "EXTERN_ID"]));
    }

    #[test]
    fn limited_data_use_goes_with_every_addition() {
        let members = [member(&[("email", "jo@example.com")], None)];
        let located = list(&json!({"pixel_id": "1", "limited_data_use": true}));
        let payload = &located.request(Change::Add, &members, SESSION).body["payload"];
        assert_eq!(payload["schema"], json!(["EMAIL", "DATA_PROCESSING_OPTIONS"]));
        assert_eq!(payload["data"][0][1], json!(["LDU"]));
        let named =
            json!({"pixel_id": "1", "limited_data_use": true, "limited_data_use_state": 1000});
        let payload = &list(&named).request(Change::Add, &members, SESSION).body["payload"];
        let schema = payload["schema"].as_array().expect("keys");
        let at = |key: &str| schema.iter().position(|known| known == key).expect("the key");
        assert_eq!(payload["data"][0][at("DATA_PROCESSING_OPTIONS_COUNTRY")], 1);
        assert_eq!(payload["data"][0][at("DATA_PROCESSING_OPTIONS_STATE")], 1000);
        let removal = located.request(Change::Remove, &members, SESSION);
        assert_eq!(removal.body["payload"]["schema"], json!(["EMAIL"]));
    }

    #[test]
    fn settings_that_are_none_are_refused_without_their_value() {
        let secret = "EAAGsecret";
        let meta = json!({"pixel_id": "1"});
        for (audience, key) in [
            (json!({}), "audience_id"),
            (json!({"audience_id": secret}), "audience_id"),
            (json!({"audience_id": 6001}), "audience_id"),
            (json!({"audience_id": ""}), "audience_id"),
            (json!({"audience_id": "1", "token": secret}), "token"),
            (json!({"audience_id": "1", "default_country": secret}), "default_country"),
            (json!({"audience_id": "1", "date_order": secret}), "date_order"),
            (json!({"audience_id": "1", "hashed_phone": secret}), "hashed_phone"),
        ] {
            let error = List::build(&meta, &audience).expect_err(key).to_string();
            assert!(error.starts_with(&format!("setting {key}:")), "{error}");
            assert!(!error.contains(secret), "{error}");
        }
        let gateway = json!({"pixel_id": "1", "endpoint": "https://gw.example.com/capi"});
        let error = List::build(&gateway, &json!({"audience_id": "1"})).expect_err("a Gateway");
        assert!(error.to_string().starts_with("setting endpoint:"), "{error}");
    }

    fn answer(status: u16, body: &str) -> Response {
        Response { status, headers: Vec::new(), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn every_answer_has_its_decision() {
        let decide = |status, body: &str| List::verdict(3, &answer(status, body)).decision;
        let received = r#"{"audience_id":"6001","session_id":"7","num_received":3,
            "num_invalid_entries":1,"invalid_entry_samples":{"x":"y"}}"#;
        assert_eq!(decide(200, received), Decision::Taken { invalid: 1 });
        assert_eq!(decide(200, r#"{"num_received":"30"}"#), Decision::Taken { invalid: 0 });
        let retry = |reason| Decision::Retry { reason: Reason::new(reason), after: None };
        assert_eq!(decide(200, r#"{"num_received":2}"#), retry("num_received_short"));
        assert_eq!(decide(200, "{}"), retry("num_received_unknown"));
        for garbage in ["", "<html>", "{\"num"] {
            assert_eq!(decide(200, garbage), retry("unreadable_answer"));
            assert_eq!(decide(502, garbage), retry("http_502"));
        }
        let error = |code, sub| format!(r#"{{"error":{{"code":{code},"error_subcode":{sub}}}}}"#);
        let blocked = |reason| Decision::Blocked { reason: Reason::new(reason) };
        assert_eq!(decide(401, &error(190, 463)), blocked("190/463"));
        assert_eq!(decide(400, &error(100, 33)), blocked("100/33"));
        assert_eq!(decide(403, &error(200, 1_870_090)), blocked("200/1870090"));
        let refused = |reason| Decision::Refused { reason: Reason::new(reason) };
        assert_eq!(decide(400, &error(100, 1_713_230)), refused("100/1713230"));
        assert_eq!(decide(400, &error(2650, 1_870_145)), refused("2650/1870145"));
        assert_eq!(decide(500, &error(2, 0)), retry("2/0"));
        let throttled =
            Decision::Wait { reason: Reason::new("80003/0"), after: Duration::from_secs(60) };
        assert_eq!(decide(400, &error(80_003, 0)), throttled);
    }

    #[test]
    fn reasons_have_a_way_out() {
        for reason in ["100/33", "100/1713230", "190/463", "200/1870090", "2650/1870145"] {
            assert!(List::explain(reason).is_some(), "{reason}");
        }
        let throttled = List::explain("80003").expect("a meaning");
        assert!(throttled.contains("sync again later"), "{throttled}");
        assert_eq!(List::explain("http_502"), None);
        for reason in ["num_received_short", "num_received_unknown", "200/1870050"] {
            assert!(List::explain(reason).is_some(), "{reason}");
        }
    }

    proptest! {
        #[test]
        fn a_request_has_a_row_per_member_and_a_value_per_key(
            people in prop::collection::vec((prop::collection::vec(any::<bool>(), PARTS.len()), any::<bool>()), 1..40),
            change in prop::sample::select(vec![Change::Add, Change::Remove]),
            limited in any::<bool>(),
        ) {
            let members: Vec<Member> = people.iter().map(|(has, valued)| Member {
                digests: has.iter().enumerate().map(|(at, has)| {
                    if *has { Digest::of(&at.to_string()).as_str().to_owned() } else { String::new() }
                }).collect(),
                value: valued.then(|| Amount::parse("1.5").expect("a number")),
            }).collect();
            let list = list(&json!({"pixel_id": "1", "limited_data_use": limited}));
            let body = list.request(change, &members, SESSION).body;
            let keys = body["payload"]["schema"].as_array().expect("keys");
            let rows = body["payload"]["data"].as_array().expect("rows");
            prop_assert_eq!(rows.len(), members.len());
            for (row, member) in rows.iter().zip(&members) {
                prop_assert_eq!(row.as_array().expect("a row").len(), keys.len());
                for (key, value) in keys.iter().zip(row.as_array().expect("a row")) {
                    if let Some(at) = KEYS.iter().position(|known| known == key) {
                        prop_assert_eq!(value.as_str().expect("a text"), &member.digests[at]);
                        prop_assert!(change == Change::Add || at < STRONG);
                    }
                }
            }
        }
    }
}
