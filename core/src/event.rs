//! The conversion event, as the outbox stores it and both halves see it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::hash::Digest;
use crate::identity::{Form, Identifier};
use crate::money::{Amount, Currency};
use crate::time::Timestamp;
use packed::Packed;

pub mod packed;

/// One conversion: digests and payload facts, never a clear-text identifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The outbox id.
    pub id: i64,
    /// Standard or custom name, case-sensitive, e.g. `Purchase`.
    pub event_name: String,
    /// The id that the pixel sends too; platforms drop doubles by it.
    pub event_id: String,
    /// Business time, never the time of sending.
    pub event_time: Timestamp,
    /// Where the conversion happened, e.g. `website`.
    pub action_source: ActionSource,
    /// Amount in major units.
    pub value: Option<Amount>,
    /// Currency of `value`.
    pub currency: Option<Currency>,
    /// Digests by identifier and form.
    pub identity: Identity,
    /// What platforms take in clear.
    pub facts: Facts,
}

/// Where a conversion happened; the words are Meta's and the IAB's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum ActionSource {
    Email,
    Website,
    App,
    PhoneCall,
    Chat,
    PhysicalStore,
    SystemGenerated,
    BusinessMessaging,
    Other,
}

impl ActionSource {
    /// Every source, in the order of Meta's documentation.
    pub const ALL: [Self; 9] = [
        Self::Email,
        Self::Website,
        Self::App,
        Self::PhoneCall,
        Self::Chat,
        Self::PhysicalStore,
        Self::SystemGenerated,
        Self::BusinessMessaging,
        Self::Other,
    ];

    /// The word in SQL and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Website => "website",
            Self::App => "app",
            Self::PhoneCall => "phone_call",
            Self::Chat => "chat",
            Self::PhysicalStore => "physical_store",
            Self::SystemGenerated => "system_generated",
            Self::BusinessMessaging => "business_messaging",
            Self::Other => "other",
        }
    }

    /// Reads the word; exact, as a wrong case is a mistake worth hearing of.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == text)
    }
}

/// Digests by identifier and form: `email` holds the plain form, `email/gmail` another one.
///
/// A form is stored only where its digests differ from the plain ones; an empty list means that
/// its rule drops the value. See [`Identity::digests`].
///
/// Three pieces of memory, however many forms there are: a batch has a thousand of these.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, Vec<Digest>>", into = "BTreeMap<String, Vec<Digest>>")]
pub struct Identity {
    /// The names of the forms, one behind the other.
    names: String,
    /// Where name and digests of each form end.
    ends: Vec<(u32, u32)>,
    digests: Vec<Digest>,
}

impl Identity {
    /// The digests of `identifier` in the form of `platform`.
    pub fn digests(&self, identifier: &str, platform: &str) -> &[Digest] {
        let form = Identifier::parse(identifier).map(|known| (known, Form::of(known, platform)));
        let own = match form {
            None | Some((_, Form::Plain)) => None,
            Some((identifier, form)) => self.get(&form.key(identifier)),
        };
        own.or_else(|| self.get(identifier)).unwrap_or_default()
    }

    /// The digests under this very name, if it is there.
    pub fn get(&self, form: &str) -> Option<&[Digest]> {
        self.iter().find(|(name, _)| *name == form).map(|(_, digests)| digests)
    }

    /// All forms.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Digest])> {
        let mut at = (0, 0);
        self.ends.iter().map(move |&end| {
            let (name, digests) = (at.0 as usize..end.0 as usize, at.1 as usize..end.1 as usize);
            at = end;
            (&self.names[name], &self.digests[digests])
        })
    }

    /// Sets the digests of a form.
    pub fn insert(&mut self, form: &str, digests: &[Digest]) {
        self.retain(|name| name != form);
        self.push(form, digests.iter().cloned());
    }

    /// Keeps the forms whose names fit.
    pub fn retain(&mut self, fits: impl Fn(&str) -> bool) {
        if self.iter().all(|(form, _)| fits(form)) {
            return;
        }
        let mut kept = Self::default();
        for (form, digests) in self.iter().filter(|(form, _)| fits(form)) {
            kept.push(form, digests.iter().cloned());
        }
        *self = kept;
    }

    /// Whether no identifier is left.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// How many digests there are, of all forms.
    pub fn len(&self) -> usize {
        self.digests.len()
    }

    fn push(&mut self, form: &str, digests: impl Iterator<Item = Digest>) {
        self.names.push_str(form);
        self.digests.extend(digests);
        let end = |length: usize| u32::try_from(length).expect("an event is smaller than 4 GB");
        self.ends.push((end(self.names.len()), end(self.digests.len())));
    }
}

impl From<BTreeMap<String, Vec<Digest>>> for Identity {
    fn from(map: BTreeMap<String, Vec<Digest>>) -> Self {
        let mut identity = Self {
            names: String::with_capacity(map.keys().map(String::len).sum()),
            ends: Vec::with_capacity(map.len()),
            digests: Vec::with_capacity(map.values().map(Vec::len).sum()),
        };
        for (form, digests) in map {
            identity.push(&form, digests.into_iter());
        }
        identity
    }
}

impl From<Identity> for BTreeMap<String, Vec<Digest>> {
    fn from(identity: Identity) -> Self {
        identity.iter().map(|(form, digests)| (form.to_owned(), digests.to_vec())).collect()
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.ends.len() == other.ends.len()
            && self.iter().all(|(form, digests)| other.get(form) == Some(digests))
    }
}

impl Eq for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

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

/// Fields by name: a tree, or the bytes of [`packed`], of which a tree is made when somebody asks for
/// one.
#[derive(Default)]
pub struct Fields {
    packed: Option<Bytes>,
    tree: OnceLock<Map<String, Value>>,
}

impl Fields {
    fn packed(bytes: Bytes) -> Self {
        Self { packed: Some(bytes), tree: OnceLock::new() }
    }

    fn json(&self, field: &str) -> Option<Json<'_>> {
        match &self.packed {
            Some(bytes) => packed::Object(bytes).find(field).map(|node| Json(Either::Packed(node))),
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
            packed.map(|bytes| packed::tree(packed::Object(bytes))).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn action_sources_are_found_by_their_own_words_and_by_no_other() {
        for source in ActionSource::ALL {
            assert_eq!(ActionSource::parse(source.as_str()), Some(source));
            let json = serde_json::to_value(source).expect("a word");
            assert_eq!(json, source.as_str());
        }
        assert_eq!(ActionSource::parse("Website"), None);
    }

    #[test]
    fn the_form_of_the_platform_wins_and_may_be_empty() {
        let digest = Digest::of("x");
        let identity = Identity::from(BTreeMap::from([
            ("state".into(), vec![digest.clone()]),
            ("state/two_letters".into(), vec![]),
        ]));
        assert_eq!(identity.digests("state", "meta"), [digest]);
        assert!(identity.digests("state", "pinterest").is_empty());
        assert!(identity.digests("city", "meta").is_empty());
    }

    #[test]
    fn a_form_may_be_there_without_the_plain_one() {
        let digest = Digest::of("x");
        let identity =
            Identity::from(BTreeMap::from([("phone/plus".into(), vec![digest.clone()])]));
        for platform in ["tiktok", "google_ads", "x"] {
            assert_eq!(identity.digests("phone", platform), std::slice::from_ref(&digest));
        }
        assert!(identity.digests("phone", "meta").is_empty());
    }
}
