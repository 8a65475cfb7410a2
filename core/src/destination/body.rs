//! The body of a request: the bytes that are sent.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;

use serde::{Serialize, Serializer};
use serde_json::Value;

/// JSON as it goes over the wire. As a tree it would be several times as large, so there is one only
/// when somebody looks inside: the preview, a test mode, tests.
#[derive(Clone, Default)]
pub struct Body {
    /// Empty while the tree is newer.
    bytes: Vec<u8>,
    tree: OnceLock<Value>,
}

impl Body {
    /// Writes a body.
    pub fn of(body: &impl Serialize) -> Self {
        // A fit event has no number that is none and no key that is no text.
        let bytes = serde_json::to_vec(body).expect("texts, numbers and lists are JSON");
        Self { bytes, tree: OnceLock::new() }
    }

    /// The bytes to send.
    pub fn into_bytes(self) -> Vec<u8> {
        match self.tree.get() {
            Some(tree) if self.bytes.is_empty() => Self::of(tree).bytes,
            _ => self.bytes,
        }
    }

    /// The body as a tree.
    pub fn into_value(self) -> Value {
        let _: &Value = &self;
        self.tree.into_inner().unwrap_or_default()
    }
}

impl Deref for Body {
    type Target = Value;

    fn deref(&self) -> &Value {
        self.tree.get_or_init(|| serde_json::from_slice(&self.bytes).unwrap_or_default())
    }
}

impl DerefMut for Body {
    fn deref_mut(&mut self) -> &mut Value {
        let _: &Value = self;
        self.bytes = Vec::new();
        self.tree.get_mut().expect("it was just made")
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

// It holds what is known of a person.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_changed_in_the_tree_is_what_is_sent() {
        let mut body = Body::of(&json!({"data": [1.50]}));
        assert_eq!(body["data"][0].to_string(), "1.5");
        assert_eq!(body.clone().into_bytes(), br#"{"data":[1.5]}"#);
        body["code"] = "T1".into();
        assert_eq!(body.clone().into_bytes(), br#"{"code":"T1","data":[1.5]}"#);
        assert_eq!(body.clone().into_value(), json!({"code": "T1", "data": [1.5]}));
        assert!(!format!("{body:?}").contains("T1"));
    }
}
