//! Random JSON trees that look like what somebody outside answers: recorded answers, edited.
//!
//! The sidecar's search includes this file too.

#![allow(dead_code, reason = "each search uses some of it")]

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use capi_core::destination::Response;
use serde_json::{Map, Value, json};

/// Stands in texts that may quote what was sent: no part of what is kept may hold it.
pub(crate) const MARK: &str = "qx.hostile@example.com";

/// Choices that bytes make; when they are used up every choice is the first.
pub(crate) struct Choices<'a>(std::slice::Iter<'a, u8>);

impl<'a> Choices<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes.iter())
    }

    /// A number below a limit of at most 65,536.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let mut byte = || usize::from(self.0.next().copied().unwrap_or(0));
        let number = if limit > 256 { byte() * 256 + byte() } else { byte() };
        number % limit.max(1)
    }

    pub(crate) fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

/// Recorded answers by platform: the platform, its body and status.
pub(crate) fn recorded() -> &'static [(String, Value, u16)] {
    static ANSWERS: OnceLock<Vec<(String, Value, u16)>> = OnceLock::new();
    ANSWERS.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src/platform");
        let mut answers = Vec::new();
        for platform in fs::read_dir(folder).expect("recorded answers") {
            let platform = platform.expect("a folder").path();
            let answers_of = platform.join("answers");
            if !answers_of.is_dir() {
                continue;
            }
            for file in fs::read_dir(answers_of).expect("a folder") {
                let text = fs::read_to_string(file.expect("a file").path()).expect("a file");
                let answer: Value = serde_json::from_str(&text).expect("JSON");
                let status = answer["status"].as_u64().and_then(|s| u16::try_from(s).ok());
                let name = platform.file_name().expect("a name").to_string_lossy().into_owned();
                answers.push((name, answer["body"].clone(), status.unwrap_or(200)));
            }
        }
        answers.sort_by_key(|(name, body, _)| (name.clone(), body.to_string()));
        assert!(answers.len() > 100, "recorded answers: {}", answers.len());
        answers
    })
}

/// A tree that means no good.
fn odd(choices: &mut Choices<'_>) -> Value {
    match choices.below(18) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(0),
        3 => json!(-1),
        4 => json!(i64::MIN),
        5 => json!(u64::MAX),
        6 => json!(1e308),
        7 => json!(0.5),
        8 => json!(""),
        9 => json!(MARK),
        10 => json!("9".repeat(400)),
        11 => json!("x".repeat(5_000)),
        12 => json!([]),
        13 => json!({}),
        14 => (0..100).fold(json!(MARK), |inner, _| json!([inner])),
        15 => (0..100).fold(json!(1), |inner, _| json!({"error": inner, "message": MARK})),
        16 => Value::Array(vec![json!({"code": 1, "index": 0, "message": MARK}); 200]),
        _ => recorded()[choices.below(recorded().len())].1.clone(),
    }
}

fn nodes(tree: &Value) -> usize {
    1 + match tree {
        Value::Array(list) => list.iter().take(50).map(nodes).sum(),
        Value::Object(map) => map.values().map(nodes).sum(),
        _ => 0,
    }
}

/// The node of a number, counted as [`nodes`] does.
fn node<'a>(tree: &'a mut Value, number: &mut usize) -> Option<&'a mut Value> {
    if *number == 0 {
        return Some(tree);
    }
    *number -= 1;
    match tree {
        Value::Array(list) => list.iter_mut().take(50).find_map(|inner| node(inner, number)),
        Value::Object(map) => map.values_mut().find_map(|inner| node(inner, number)),
        _ => None,
    }
}

/// A recorded tree with a few edits.
pub(crate) fn edited(mut tree: Value, choices: &mut Choices<'_>) -> Value {
    for _ in 0..choices.below(5) {
        let mut number = choices.below(nodes(&tree).min(60_000));
        let Some(found) = node(&mut tree, &mut number) else { continue };
        match choices.below(6) {
            0 => *found = json!([found.take()]),
            1 => *found = json!({"data": found.take(), "error": {"message": MARK, "code": 7}}),
            2 => {
                if let Value::Array(list) = found {
                    let again: Vec<Value> = list.iter().take(20).cloned().collect();
                    (0..choices.below(40)).for_each(|_| list.extend(again.iter().cloned()));
                }
            }
            3 => {
                if let Value::Object(map) = found {
                    let keys: Vec<String> = map.keys().cloned().collect();
                    if !keys.is_empty() {
                        let gone = map.remove(&keys[choices.below(keys.len())]);
                        map.insert(MARK.to_owned(), gone.unwrap_or_default());
                    }
                }
            }
            _ => *found = odd(choices),
        }
    }
    tree
}

/// An answer to a request, and the platform that it was recorded of.
pub(crate) fn answer(choices: &mut Choices<'_>) -> (&'static str, Response) {
    let (platform, body, status) = &recorded()[choices.below(recorded().len())];
    let body = edited(body.clone(), choices);
    let mut bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    match choices.below(12) {
        0 => bytes.truncate(choices.below(bytes.len() + 1)),
        1 => bytes = format!("<html>{MARK}</html>").into_bytes(),
        2 => bytes = [b"[".repeat(20_000), b"]".repeat(20_000)].concat(),
        3 => bytes.splice(0..0, [0xEF, 0xBB, 0xBF]).for_each(drop),
        4 => bytes.extend([0xFF, 0xFE, 0]),
        _ => {}
    }
    let odd = [
        100, 199, 200, 202, 204, 207, 299, 301, 400, 401, 403, 404, 408, 409, 412, 413, 422, 429,
        451, 500, 502, 503, 599, 999, 0,
    ];
    let status = if choices.below(3) == 0 { choices.of(&odd) } else { *status };
    let names = [
        "retry-after",
        "x-business-use-case-usage",
        "x-app-usage",
        "x-ad-account-usage",
        "x-fb-trace-id",
        "x-ratelimit-reset",
        "x-restli-id",
        "x-linkedin-error-response",
        "x-ratelimit-remaining",
        "x-request-id",
        "date",
    ];
    let values = [
        "0",
        "1",
        "-1",
        "18446744073709551615",
        "18446744073709551616",
        "1e9",
        "",
        " 7 ",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        MARK,
        "{\"1\": [{\"call_count\": 1e308, \"estimated_time_to_regain_access\": 18446744073709551615}]}",
        "{\"call_count\": -5, \"total_time\": 100}",
        "{\"1\": [{\"call_count\": 100, \"estimated_time_to_regain_access\": -9}]}",
        "[[[",
        "{\"acc_id_util_pct\": 99.9, \"reset_time_duration\": 9223372036854775807}",
    ];
    let headers = (0..choices.below(4))
        .map(|_| (choices.of(&names).to_owned(), choices.of(&values).to_owned()))
        .collect();
    (platform, Response { status, headers, body: bytes })
}

/// Any tree at all, with these keys where keys are.
pub(crate) fn tree(choices: &mut Choices<'_>, keys: &[&str], depth: usize) -> Value {
    match choices.below(if depth == 0 { 2 } else { 6 }) {
        0 | 1 => odd(choices),
        2 => Value::Array((0..choices.below(4)).map(|_| tree(choices, keys, depth - 1)).collect()),
        _ => {
            let mut map = Map::new();
            for _ in 0..choices.below(6) {
                map.insert(choices.of(keys).to_owned(), tree(choices, keys, depth - 1));
            }
            Value::Object(map)
        }
    }
}
