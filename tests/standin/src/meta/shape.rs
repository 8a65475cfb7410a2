//! Owns the types of values: each part of a request is a table of keys and shapes.

use serde_json::{Map, Number, Value};

use crate::refusal::Checked;
use crate::refusal::Refusal;

/// A JSON object.
pub(super) type Object = Map<String, Value>;

/// What a value must look like. Null fits nowhere: absent means left out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// Text, not blank.
    Text,
    /// A list of texts, none blank.
    Texts,
    /// One text or a list of them, none blank.
    TextOrTexts,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// Any number. Amounts as text are refused.
    Number,
    /// A whole number.
    Whole,
    /// A whole number that is not negative.
    Count,
    /// A count, or its digits as text.
    CountOrDigits,
    /// Text, not blank, or a whole number.
    TextOrWhole,
    /// True or false.
    Flag,
    /// True, false, 0 or 1.
    FlagOrBit,
    /// An object; its keys are judged elsewhere.
    Object,
    /// A list of objects.
    Objects,
    /// Judged elsewhere.
    Any,
}

impl Shape {
    fn fits(self, value: &Value) -> bool {
        let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.trim().is_empty());
        let is_whole = |value: &Value| value.is_i64() || value.is_u64();
        match self {
            Self::Text => is_text(value),
            Self::Texts => value.as_array().is_some_and(|list| list.iter().all(is_text)),
            Self::TextOrTexts => texts(value).is_some() && every_text(value, is_text),
            Self::OneOf(known) => value.as_str().is_some_and(|text| known.contains(&text)),
            Self::Number => value.is_number(),
            Self::Whole => is_whole(value),
            Self::Count => value.is_u64(),
            Self::CountOrDigits => value.is_u64() || value.as_str().is_some_and(is_digits),
            Self::TextOrWhole => is_text(value) || is_whole(value),
            Self::Flag => value.is_boolean(),
            Self::FlagOrBit => value.is_boolean() || matches!(value.as_i64(), Some(0 | 1)),
            Self::Object => value.is_object(),
            Self::Objects => value.as_array().is_some_and(|list| list.iter().all(Value::is_object)),
            Self::Any => true,
        }
    }

    fn rule(self) -> &'static str {
        match self {
            Self::Text => "must be text, not empty",
            Self::Texts => "must be a list of texts, none empty",
            Self::TextOrTexts => "must be text or a list of texts, not empty",
            Self::OneOf(_) => "must be one of the documented values",
            Self::Number => "must be a number",
            Self::Whole => "must be a whole number",
            Self::Count | Self::CountOrDigits => "must be a whole number, not negative",
            Self::TextOrWhole => "must be text or a whole number",
            Self::Flag => "must be true or false",
            Self::FlagOrBit => "must be 0 or 1",
            Self::Object => "must be an object",
            Self::Objects => "must be a list of objects",
            Self::Any => "must be present",
        }
    }
}

/// An object of the request and the path to it, so that a refusal can name the field.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'v> {
    object: &'v Object,
    path: &'static str,
}

impl<'v> Fields<'v> {
    /// The fields at `path`, which ends in a dot unless it is empty.
    pub(super) fn new(object: &'v Object, path: &'static str) -> Self {
        Self { object, path }
    }

    /// A refusal of one field.
    pub(super) fn refuse(&self, key: &str, rule: &str) -> Refusal {
        Refusal::invalid(self.name(key), rule)
    }

    /// A refusal of one field that the platform has a subcode for.
    pub(super) fn refuse_as(&self, subcode: i32, key: &str, rule: &str) -> Refusal {
        Refusal::coded(subcode, self.name(key), rule)
    }

    /// Refuses values of another shape, and keys that are not in the table.
    pub(super) fn conform(&self, table: &[(&str, Shape)]) -> Checked<()> {
        self.conform_open(table)?;
        match self.object.keys().find(|key| !table.iter().any(|(known, _)| known == key)) {
            Some(key) => Err(self.refuse(key, "is not a parameter of this edge")),
            None => Ok(()),
        }
    }

    /// Refuses values of another shape; keys that are not in the table are the sender's own.
    pub(super) fn conform_open(&self, table: &[(&str, Shape)]) -> Checked<()> {
        for (key, shape) in table {
            if self.object.get(*key).is_some_and(|value| !shape.fits(value)) {
                return Err(self.refuse(key, shape.rule()));
            }
        }
        Ok(())
    }

    /// Refuses when one of the keys is left out.
    pub(super) fn require(&self, keys: &[&str], rule: &str) -> Checked<()> {
        match keys.iter().find(|key| !self.has(key)) {
            Some(key) => Err(self.refuse(key, rule)),
            None => Ok(()),
        }
    }

    /// Whether there is such a key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.object.contains_key(key)
    }

    /// Whether there is no key at all.
    pub(super) fn is_empty(&self) -> bool {
        self.object.is_empty()
    }

    /// All keys and values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'v str, &'v Value)> {
        self.object.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The value as it is.
    pub(super) fn value(&self, key: &str) -> Option<&'v Value> {
        self.object.get(key)
    }

    /// The value, where it is text.
    pub(super) fn text(&self, key: &str) -> Option<&'v str> {
        self.value(key)?.as_str()
    }

    /// The value, where it is a whole number.
    pub(super) fn whole(&self, key: &str) -> Option<i64> {
        self.value(key)?.as_i64()
    }

    /// The value, where it is a number.
    pub(super) fn number(&self, key: &str) -> Option<&'v Number> {
        match self.value(key)? {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The value, where it is an object.
    pub(super) fn object(&self, key: &str, path: &'static str) -> Option<Self> {
        self.value(key)?.as_object().map(|object| Self::new(object, path))
    }

    fn name(&self, key: &str) -> String {
        [self.path, key].concat()
    }
}

/// One text or a list of texts, never none.
pub(super) fn texts(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(text) => Some(vec![text]),
        Value::Array(list) if !list.is_empty() => list.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// Whether there are only digits, and at least one.
pub(super) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn every_text(value: &Value, holds: impl Fn(&Value) -> bool) -> bool {
    match value {
        Value::Array(list) => list.iter().all(holds),
        single => holds(single),
    }
}
