//! The digests of an event, by field and form.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::hash::Digest;
use crate::identity::{Form, Identifier};

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

    pub(super) fn push(&mut self, form: &str, digests: impl Iterator<Item = Digest>) {
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
