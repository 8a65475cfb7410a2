//! The nodes of a packed event: what a field holds, read where it lies. Their form is described in
//! [`packed`](super::packed).

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::{Map, Number, Value};

pub(super) const NULL: u8 = 0;
pub(super) const FALSE: u8 = 1;
pub(super) const TRUE: u8 = 2;
pub(super) const NUMBER: u8 = 3;
pub(super) const TEXT: u8 = 4;
pub(super) const LIST: u8 = 5;
pub(super) const OBJECT: u8 = 6;

/// The length of a text that is not there.
pub(super) const ABSENT: u32 = u32::MAX;

/// Deeper than any field; `jsonb` of an older extension cannot exhaust the stack.
pub(super) const DEEPEST: usize = 128;

/// What is still to be read of bytes that may be anything.
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    pub(super) fn length(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.bytes(4)?.try_into().ok()?))
    }

    pub(super) fn integer(&mut self) -> Option<i64> {
        Some(i64::from_le_bytes(self.bytes(8)?.try_into().ok()?))
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        self.optional()?
    }

    pub(super) fn optional(&mut self) -> Option<Option<&'a str>> {
        match self.length()? {
            ABSENT => Some(None),
            length => {
                std::str::from_utf8(self.bytes(usize::try_from(length).ok()?)?).ok().map(Some)
            }
        }
    }

    /// The next node, if it and all within it are well formed.
    pub(super) fn node(&mut self, depth: usize) -> Option<Packed<'a>> {
        let node = self.shallow()?;
        match node {
            _ if depth > DEEPEST => return None,
            Packed::List(List(inside)) => {
                let mut inside = Cursor(inside);
                while !inside.0.is_empty() {
                    inside.node(depth + 1)?;
                }
            }
            Packed::Object(Object(inside)) => {
                let mut inside = Cursor(inside);
                while !inside.0.is_empty() {
                    inside.text()?;
                    inside.node(depth + 1)?;
                }
            }
            _ => {}
        }
        Some(node)
    }

    pub(super) fn shallow(&mut self) -> Option<Packed<'a>> {
        Some(match self.byte()? {
            NULL => Packed::Null,
            FALSE => Packed::Bool(false),
            TRUE => Packed::Bool(true),
            NUMBER => Packed::Number(self.text()?),
            TEXT => Packed::Text(self.text()?),
            kind @ (LIST | OBJECT) => {
                let length = usize::try_from(self.length()?).ok()?;
                let inside = self.bytes(length)?;
                if kind == LIST {
                    Packed::List(List(inside))
                } else {
                    Packed::Object(Object(inside))
                }
            }
            _ => return None,
        })
    }
}

/// A node.
#[derive(Clone, Copy, Debug)]
pub(super) enum Packed<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    Text(&'a str),
    List(List<'a>),
    Object(Object<'a>),
}

/// The nodes of a list. What is wrong in form ends it.
#[derive(Clone, Copy, Debug)]
pub(super) struct List<'a>(&'a [u8]);

impl<'a> Iterator for List<'a> {
    type Item = Packed<'a>;

    fn next(&mut self) -> Option<Packed<'a>> {
        let mut cursor = Cursor(self.0);
        let node = cursor.shallow()?;
        self.0 = cursor.0;
        Some(node)
    }
}

/// The members of an object. What is wrong in form ends it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Object<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Object<'a> {
    type Item = (&'a str, Packed<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let mut cursor = Cursor(self.0);
        let member = (cursor.text()?, cursor.shallow()?);
        self.0 = cursor.0;
        Some(member)
    }
}

impl<'a> Object<'a> {
    /// The node of a key.
    pub(super) fn find(self, wanted: &str) -> Option<Packed<'a>> {
        let mut cursor = Cursor(self.0);
        loop {
            let length = usize::try_from(cursor.length()?).ok()?;
            let key = cursor.bytes(length)?;
            if key == wanted.as_bytes() {
                return cursor.shallow();
            }
            cursor.skip()?;
        }
    }
}

impl Cursor<'_> {
    /// Goes behind the next node without looking at it.
    fn skip(&mut self) -> Option<()> {
        if self.byte()? >= NUMBER {
            let length = usize::try_from(self.length()?).ok()?;
            self.bytes(length)?;
        }
        Some(())
    }
}

impl Packed<'_> {
    /// The node as a tree.
    pub(super) fn to_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Number(digits) => number(digits).map_or(Value::Null, Value::Number),
            Self::Text(text) => Value::String(text.to_owned()),
            Self::List(list) => Value::Array(list.map(Self::to_value).collect()),
            Self::Object(object) => Value::Object(tree(object)),
        }
    }
}

/// The members of an object as a tree.
pub(super) fn tree(object: Object<'_>) -> Map<String, Value> {
    object.map(|(key, node)| (key.to_owned(), node.to_value())).collect()
}

fn number(digits: &str) -> Option<Number> {
    digits.parse().ok()
}

impl Serialize for Packed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(value),
            Self::Number(digits) => match digits.parse::<i64>() {
                // Minus zero is another number.
                Ok(whole) if whole != 0 => serializer.serialize_i64(whole),
                _ => match number(digits) {
                    Some(number) => number.serialize(serializer),
                    // As in the tree; nobody packs such a number.
                    None => serializer.serialize_unit(),
                },
            },
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(list) => {
                let mut seq = serializer.serialize_seq(None)?;
                for node in list {
                    seq.serialize_element(&node)?;
                }
                seq.end()
            }
            Self::Object(object) => {
                let mut map = serializer.serialize_map(None)?;
                for (key, node) in object {
                    map.serialize_entry(key, &node)?;
                }
                map.end()
            }
        }
    }
}
