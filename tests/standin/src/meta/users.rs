//! Owns the checks on a change of a custom audience: who is added to it or removed from it.
//!
//! A wrong row is counted and does not refuse the request, unlike a wrong event; a wrong shape of
//! the whole does.

use serde_json::{Map, Value};

use super::shape::{Fields, Shape, is_digits};
use super::user;
use crate::refusal::Checked;
use crate::refusal::Refusal;

/// Most rows in one request.
const MAX_ROWS: usize = 10_000;

const KEYS: &[(&str, Shape)] = &[
    ("payload", Shape::Object),
    ("session", Shape::Object),
    ("namespace", Shape::Text),
    ("access_token", Shape::Any),
    ("appsecret_proof", Shape::Any),
];

const PAYLOAD: &[(&str, Shape)] =
    &[("schema", Shape::Any), ("data", Shape::Any), ("is_raw", Shape::Flag)];

const SESSION: &[(&str, Shape)] = &[
    ("session_id", Shape::CountOrDigits),
    ("batch_seq", Shape::Count),
    ("last_batch_flag", Shape::Flag),
    ("estimated_num_total", Shape::Count),
];

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    /// SHA-256 in 64 lower-case hex digits.
    Digest,
    /// Text as it is.
    Text,
    /// A number that is not negative.
    Value,
    /// `[]` or `["LDU"]`.
    StandinOptions,
    /// A code of Limited Data Use.
    Code,
}

const COLUMNS: &[(&str, Column)] = &[
    ("EMAIL", Column::Digest),
    ("PHONE", Column::Digest),
    ("GEN", Column::Digest),
    ("DOBY", Column::Digest),
    ("DOBM", Column::Digest),
    ("DOBD", Column::Digest),
    ("LN", Column::Digest),
    ("FN", Column::Digest),
    ("FI", Column::Digest),
    ("CT", Column::Digest),
    ("ST", Column::Digest),
    ("ZIP", Column::Digest),
    ("COUNTRY", Column::Digest),
    ("MADID", Column::Text),
    ("EXTERN_ID", Column::Text),
    ("PAGEUID", Column::Text),
    ("LOOKALIKE_VALUE", Column::Value),
    ("DATA_PROCESSING_OPTIONS", Column::StandinOptions),
    ("DATA_PROCESSING_OPTIONS_COUNTRY", Column::Code),
    ("DATA_PROCESSING_OPTIONS_STATE", Column::Code),
];

/// Keys that stand alone, with the column that they are.
const SINGLE: &[(&str, &str)] =
    &[("EMAIL_SHA256", "EMAIL"), ("PHONE_SHA256", "PHONE"), ("MOBILE_ADVERTISER_ID", "MADID")];

/// The place of a request among those that belong together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Session {
    pub(crate) id: u64,
    pub(crate) sequence: u64,
    pub(crate) is_last: bool,
}

/// A request whose shape is right.
#[derive(Debug)]
pub(crate) struct Users {
    pub(crate) session: Session,
    /// Rows that could be somebody's, by key.
    pub(crate) rows: Vec<Map<String, Value>>,
    /// Rows that could not.
    pub(crate) invalid: usize,
}

/// Judges the parameters.
pub(super) fn check(parameters: &Map<String, Value>) -> Checked<Users> {
    let fields = Fields::new(parameters, "");
    fields.conform(KEYS)?;
    fields.require(&["payload", "session"], "is required")?;
    let payload = parameters.get("payload").and_then(Value::as_object);
    let session = parameters.get("session").and_then(Value::as_object);
    let (Some(payload), Some(session)) = (payload, session) else {
        return Err(fields.refuse("payload", "must be an object"));
    };
    let session = self::session(Fields::new(session, "session."))?;
    let (rows, invalid) = rows(Fields::new(payload, "payload."))?;
    Ok(Users { session, rows, invalid })
}

fn session(fields: Fields<'_>) -> Checked<Session> {
    fields.conform(SESSION)?;
    fields.require(&["session_id", "batch_seq", "last_batch_flag"], "is required")?;
    let number = |key: &str| match fields.value(key) {
        Some(Value::String(digits)) => digits.parse().ok(),
        Some(value) => value.as_u64(),
        None => None,
    };
    let in_64_bits = |id: &u64| (1..=i64::MAX.unsigned_abs()).contains(id);
    let id = number("session_id").filter(in_64_bits);
    let id = id.ok_or_else(|| fields.refuse("session_id", "must be a positive 64-bit number"))?;
    let sequence = number("batch_seq").filter(|sequence| *sequence > 0);
    let sequence = sequence.ok_or_else(|| fields.refuse("batch_seq", "must count from 1"))?;
    let is_last = fields.value("last_batch_flag") == Some(&Value::Bool(true));
    Ok(Session { id, sequence, is_last })
}

fn rows(fields: Fields<'_>) -> Checked<(Vec<Map<String, Value>>, usize)> {
    fields.conform(PAYLOAD)?;
    fields.require(&["schema", "data"], "is required")?;
    let data = fields.value("data").and_then(Value::as_array);
    let data = data.ok_or_else(|| fields.refuse("data", "must be a list of rows"))?;
    if data.is_empty() || data.len() > MAX_ROWS {
        return Err(fields.refuse("data", "must hold 1 to 10000 rows"));
    }
    let columns = columns(fields)?;
    let is_single = fields.value("schema").is_some_and(Value::is_string);
    let (mut good, mut invalid) = (Vec::with_capacity(data.len()), 0);
    for row in data {
        let values = match row {
            single if is_single => vec![single],
            Value::Array(values) => values.iter().collect(),
            _ => return Err(fields.refuse("data", "must hold a list per row")),
        };
        if values.len() != columns.len() {
            return Err(fields.refuse("data", "must hold a value per key of the schema"));
        }
        let pairs = || columns.iter().zip(&values);
        let somebody = pairs().any(|((_, column), value)| {
            matches!(column, Column::Digest | Column::Text) && **value != ""
        });
        match somebody && pairs().all(|((_, column), value)| column.fits(value)) {
            true => good.push(
                pairs().map(|((key, _), value)| ((*key).to_owned(), (*value).clone())).collect(),
            ),
            false => invalid += 1,
        }
    }
    Ok((good, invalid))
}

fn columns(fields: Fields<'_>) -> Checked<Vec<(&'static str, Column)>> {
    let refuse = |rule| fields.refuse("schema", rule);
    let find = |key: &str| COLUMNS.iter().find(|(known, _)| *known == key).copied();
    let columns = match fields.value("schema") {
        Some(Value::String(key)) => {
            let single = SINGLE.iter().find(|(known, _)| known == key).map(|(_, column)| *column);
            vec![single.and_then(find).ok_or_else(|| refuse("is no key that stands alone"))?]
        }
        Some(Value::Array(keys)) => {
            let known = keys.iter().map(|key| key.as_str().and_then(find));
            known.collect::<Option<Vec<_>>>().ok_or_else(|| refuse("has an unknown key"))?
        }
        _ => return Err(refuse("must be a key or a list of keys")),
    };
    let is_repeated =
        |(at, (key, _)): (usize, &(&str, Column))| columns[..at].iter().any(|(k, _)| k == key);
    if columns.iter().enumerate().any(is_repeated) {
        return Err(refuse("must not repeat a key"));
    }
    if !columns.iter().any(|(_, column)| matches!(column, Column::Digest | Column::Text)) {
        return Err(refuse("must have a key of a person"));
    }
    Ok(columns)
}

impl Column {
    fn fits(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Digest | Self::Text, Value::String(text)) if text.is_empty() => true,
            (Self::Digest, Value::String(text)) => {
                text.len() == 64
                    && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
                    && text != user::DIGEST_OF_NOTHING
            }
            (Self::Text, Value::String(text)) => !text.trim().is_empty(),
            (Self::Value, Value::Number(number)) => {
                number.as_f64().is_some_and(|number| number >= 0.0)
            }
            (Self::StandinOptions, Value::Array(options)) => {
                options.len() <= 1 && options.iter().all(|option| option == "LDU")
            }
            (Self::Code, Value::Number(number)) => number.is_u64(),
            (Self::Code, Value::String(text)) => is_digits(text),
            _ => false,
        }
    }
}

/// A request that comes too late, or a second time, or out of turn.
pub(crate) fn out_of_turn(key: &str, rule: &str) -> Refusal {
    Refusal::invalid(format!("session.{key}"), rule)
}
