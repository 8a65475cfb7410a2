//! A row of a conversion view, and what its values are as texts and times.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::field;
use crate::identity;
use crate::time::Timestamp;

/// Longest text of a fact, in bytes.
pub(super) const LONGEST_TEXT: usize = 4096;

/// A row of a conversion view: field name to value.
///
/// Times are JSON numbers of microseconds since 1970, or text with an offset; numbers are JSON
/// numbers or decimal text; SQL null is JSON null or absence.
#[derive(Clone, Default)]
pub struct Row(pub BTreeMap<&'static str, Value>);

impl Row {
    /// Takes the standard fields out of an object such as `to_jsonb` makes of a row.
    pub fn from_object(object: Map<String, Value>) -> Self {
        let known = |(name, value): (String, Value)| Some((field::find(&name)?.name, value));
        Self(object.into_iter().filter_map(known).collect())
    }

    pub(crate) fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }

    /// The scalar texts of a field: one, or the elements of an array, and of more than are hashed
    /// one more.
    pub(crate) fn texts(&self, field: &str) -> Vec<Cow<'_, str>> {
        match self.get(field) {
            None => Vec::new(),
            Some(Value::Array(values)) => {
                values.iter().filter_map(scalar).take(identity::MOST_VALUES + 1).collect()
            }
            Some(value) => scalar(value).into_iter().collect(),
        }
    }

    /// Whether a field holds an object, or an array an object or array, which is no text.
    pub(crate) fn holds_nested(&self, field: &str) -> bool {
        let nested = |value: &Value| value.is_object() || value.is_array();
        match self.get(field) {
            Some(Value::Array(values)) => values.iter().any(nested),
            Some(value) => value.is_object(),
            None => false,
        }
    }

    /// The text of a field that is a scalar and not empty.
    pub fn text(&self, field: &str) -> Option<Cow<'_, str>> {
        self.get(field).and_then(scalar).filter(|text| !text.trim().is_empty())
    }
}

pub(super) fn timestamp(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Number(micros) => micros.as_i64().map(Timestamp),
        Value::String(text) => Timestamp::parse(text).ok(),
        _ => None,
    }
}

/// The text of a value that is neither null nor nested.
pub(super) fn scalar(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Borrowed(number.as_str())),
        Value::Bool(answer) => Some(Cow::Borrowed(if *answer { "true" } else { "false" })),
        _ => None,
    }
}
