//! What platforms take of an event in clear, as a tree or packed.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::node::{self, Packed};

/// Payload facts in clear, by standard field name (`capi.field`), already checked and typed:
/// texts as strings, counts and amounts as numbers, `contents`, `app_data` and the like as JSON whose
/// parts are typed, too. What asks for restricted use and cannot be read is the text `unreadable`.
///
/// Open on purpose: a newer extension may store fields that an older sidecar does not know.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Facts(pub Fields);

impl Facts {
    /// The text of a field, if it is there.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.json(field)?.as_str()
    }

    /// The JSON of a field, if it is there, as a tree.
    pub fn get(&self, field: &str) -> Option<&Value> {
        // Most fields are not there, and a tree is dear.
        self.json(field)?;
        self.0.get(field)
    }

    /// The JSON of a field, if it is there, wherever it lies.
    pub fn json(&self, field: &str) -> Option<Json<'_>> {
        self.0.json(field)
    }
}

/// Fields by name: a tree, or the bytes of [`packed`](super::packed), of which a tree is made when somebody asks for
/// one.
#[derive(Default)]
pub struct Fields {
    packed: Option<Bytes>,
    tree: OnceLock<Map<String, Value>>,
}

impl Fields {
    pub(super) fn packed(bytes: Bytes) -> Self {
        Self { packed: Some(bytes), tree: OnceLock::new() }
    }

    fn json(&self, field: &str) -> Option<Json<'_>> {
        match &self.packed {
            Some(bytes) => node::Object(bytes).find(field).map(|node| Json(Either::Packed(node))),
            None => self.tree.get()?.get(field).map(|value| Json(Either::Tree(value))),
        }
    }

    /// Drops the tree where it can be made again.
    pub fn fold(&mut self) {
        if self.packed.is_some() {
            self.tree.take();
        }
    }
}

impl Deref for Fields {
    type Target = Map<String, Value>;

    fn deref(&self) -> &Map<String, Value> {
        self.tree.get_or_init(|| {
            let packed = self.packed.as_ref();
            packed.map(|bytes| node::tree(node::Object(bytes))).unwrap_or_default()
        })
    }
}

impl DerefMut for Fields {
    fn deref_mut(&mut self) -> &mut Map<String, Value> {
        let _: &Map<String, Value> = self;
        self.packed = None;
        self.tree.get_mut().expect("it was just made")
    }
}

impl From<Map<String, Value>> for Fields {
    fn from(map: Map<String, Value>) -> Self {
        Self { packed: None, tree: map.into() }
    }
}

impl From<Fields> for Map<String, Value> {
    fn from(mut fields: Fields) -> Self {
        std::mem::take(&mut *fields)
    }
}

impl Clone for Fields {
    fn clone(&self) -> Self {
        match &self.packed {
            Some(bytes) => Self::packed(bytes.clone()),
            None => Map::clone(self).into(),
        }
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Map::deserialize(deserializer).map(Self::from)
    }
}

/// A JSON value of an event, as a tree or as bytes.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a>(Either<'a>);

#[derive(Clone, Copy, Debug)]
enum Either<'a> {
    Tree(&'a Value),
    Packed(Packed<'a>),
}

impl<'a> Json<'a> {
    /// The text, if it is one.
    pub fn as_str(self) -> Option<&'a str> {
        match self.0 {
            Either::Tree(value) => value.as_str(),
            Either::Packed(Packed::Text(text)) => Some(text),
            Either::Packed(_) => None,
        }
    }

    /// The digits, if it is a number.
    pub fn digits(self) -> Option<&'a str> {
        match self.0 {
            Either::Tree(Value::Number(number)) => Some(number.as_str()),
            Either::Packed(Packed::Number(digits)) => Some(digits),
            _ => None,
        }
    }

    /// The number, if it is one from 0 without fraction.
    pub fn as_u64(self) -> Option<u64> {
        self.digits()?.parse().ok()
    }

    /// Whether it is an object.
    pub fn is_object(self) -> bool {
        matches!(self.0, Either::Tree(Value::Object(_)) | Either::Packed(Packed::Object(_)))
    }

    /// The value under a key, if it is an object that has it.
    pub fn get(self, key: &str) -> Option<Json<'a>> {
        match self.0 {
            Either::Tree(value) => value.get(key).map(|value| Json(Either::Tree(value))),
            Either::Packed(Packed::Object(object)) => {
                object.find(key).map(|node| Json(Either::Packed(node)))
            }
            Either::Packed(_) => None,
        }
    }

    /// The elements, none if it is no list.
    pub fn elements(self) -> impl Iterator<Item = Json<'a>> {
        let (tree, packed) = match self.0 {
            Either::Tree(Value::Array(values)) => (Some(values), None),
            Either::Packed(Packed::List(list)) => (None, Some(list)),
            _ => (None, None),
        };
        let tree = tree.into_iter().flatten().map(|value| Json(Either::Tree(value)));
        tree.chain(packed.into_iter().flatten().map(|node| Json(Either::Packed(node))))
    }

    /// Keys and values, none if it is no object.
    pub fn members(self) -> impl Iterator<Item = (&'a str, Json<'a>)> {
        let (tree, packed) = match self.0 {
            Either::Tree(Value::Object(map)) => (Some(map), None),
            Either::Packed(Packed::Object(object)) => (None, Some(object)),
            _ => (None, None),
        };
        let tree = tree.into_iter().flatten();
        let tree = tree.map(|(key, value)| (key.as_str(), Json(Either::Tree(value))));
        let packed = packed.into_iter().flatten();
        tree.chain(packed.map(|(key, node)| (key, Json(Either::Packed(node)))))
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Either::Tree(value) => value.serialize(serializer),
            Either::Packed(node) => node.serialize(serializer),
        }
    }
}
