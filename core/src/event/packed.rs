//! An event as bytes: what the extension gives to the sidecar instead of columns and JSON.
//!
//! The form is the same on every machine and needs no parsing: whoever reads it looks fields up where
//! they lie. Numbers are little-endian; a text is its length in four bytes and UTF-8.
//!
//! ```text
//! event   version (1 byte, 1) · id (8) · event_time in µs (8) · event_name · event_id · action_source ·
//!         value · currency · identity · facts
//! value, currency   a text, whose length is 0xffff_ffff where there is none
//! identity, facts   a node that is an object
//! node    kind (1 byte), then by kind: null 0, false 1, true 2 nothing; number 3 and text 4 a text;
//!         list 5 and object 6 the length of what follows (4), then the nodes; in an object each
//!         behind its key, a text
//! piece   of a batch: 1 where there was no room for the next event, else 0 (1 byte) · events, each
//!         behind its id (8) and its length (4), which is 0 where it could not be packed
//! ```

use serde_json::Value;

use super::digests::Identity;
use super::facts::{Facts, Fields};
use super::node::{ABSENT, Cursor, FALSE, LIST, NULL, NUMBER, OBJECT, Packed, TEXT, TRUE};
use super::{ActionSource, Event};
use crate::hash::Digest;
use crate::money::{Amount, Currency};
use crate::time::Timestamp;
use bytes::{Buf as _, Bytes};

/// Another one goes with another minor version of the extension, as the sidecar refuses those: to it
/// these events would be unreadable, one by one and for good.
const VERSION: u8 = 1;

/// Writes events. Texts are taken as bytes, whether they are UTF-8 is looked at by the reader.
#[derive(Debug, Default)]
pub struct Packer(Vec<u8>);

/// What is longer than four bytes can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event is too large")]
pub struct TooLarge;

/// The place of a list or object that is being written.
#[derive(Debug)]
#[must_use = "its length is written by Packer::end"]
pub struct Open(usize);

impl Packer {
    /// Writes into this buffer, behind what it holds.
    pub fn into_buffer(buffer: Vec<u8>) -> Self {
        Self(buffer)
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The columns that are no JSON; identity and facts follow as nodes.
    #[expect(clippy::too_many_arguments, reason = "one per column")]
    pub fn head(
        &mut self,
        id: i64,
        event_time: Timestamp,
        event_name: impl AsRef<[u8]>,
        event_id: impl AsRef<[u8]>,
        action_source: impl AsRef<[u8]>,
        value: Option<&str>,
        currency: Option<&[u8]>,
    ) -> Result<(), TooLarge> {
        self.0.push(VERSION);
        self.0.extend_from_slice(&id.to_le_bytes());
        self.0.extend_from_slice(&event_time.0.to_le_bytes());
        self.key(event_name)?;
        self.key(event_id)?;
        self.key(action_source)?;
        for text in [value.map(str::as_bytes), currency] {
            match text {
                Some(text) => self.key(text)?,
                None => self.0.extend_from_slice(&ABSENT.to_le_bytes()),
            }
        }
        Ok(())
    }

    /// The key of the next node, or a text outside of nodes.
    pub fn key(&mut self, text: impl AsRef<[u8]>) -> Result<(), TooLarge> {
        let text = text.as_ref();
        let length = u32::try_from(text.len()).ok().filter(|length| *length != ABSENT);
        self.0.extend_from_slice(&length.ok_or(TooLarge)?.to_le_bytes());
        self.0.extend_from_slice(text);
        Ok(())
    }

    /// Null.
    pub fn null(&mut self) {
        self.0.push(NULL);
    }

    /// True or false.
    pub fn bool(&mut self, value: bool) {
        self.0.push(if value { TRUE } else { FALSE });
    }

    /// A JSON number by its digits.
    pub fn number(&mut self, digits: &str) -> Result<(), TooLarge> {
        self.0.push(NUMBER);
        self.key(digits)
    }

    /// A text.
    pub fn text(&mut self, text: impl AsRef<[u8]>) -> Result<(), TooLarge> {
        self.0.push(TEXT);
        self.key(text)
    }

    /// Begins a list.
    pub fn list(&mut self) -> Open {
        self.open(LIST)
    }

    /// Begins an object.
    pub fn object(&mut self) -> Open {
        self.open(OBJECT)
    }

    fn open(&mut self, kind: u8) -> Open {
        self.0.push(kind);
        self.0.extend_from_slice(&[0; 4]);
        Open(self.0.len())
    }

    /// Ends a list or an object.
    pub fn end(&mut self, Open(at): Open) -> Result<(), TooLarge> {
        let length = u32::try_from(self.0.len() - at).map_err(|_| TooLarge)?;
        self.0[at - 4..at].copy_from_slice(&length.to_le_bytes());
        Ok(())
    }

    /// A tree.
    pub fn value(&mut self, value: &Value) -> Result<(), TooLarge> {
        match value {
            Value::Null => self.null(),
            Value::Bool(value) => self.bool(*value),
            Value::Number(number) => self.number(&number.to_string())?,
            Value::String(text) => self.text(text)?,
            Value::Array(values) => {
                let open = self.list();
                values.iter().try_for_each(|value| self.value(value))?;
                self.end(open)?;
            }
            Value::Object(map) => {
                let open = self.object();
                for (key, value) in map {
                    self.key(key)?;
                    self.value(value)?;
                }
                self.end(open)?;
            }
        }
        Ok(())
    }

    /// A whole event.
    pub fn event(&mut self, event: &Event) -> Result<(), TooLarge> {
        let (value, currency) = (event.value.as_ref(), event.currency.as_ref());
        self.head(
            event.id,
            event.event_time,
            &event.event_name,
            &event.event_id,
            event.action_source.as_str(),
            value.map(Amount::as_str),
            currency.map(|currency| currency.as_str().as_bytes()),
        )?;
        let open = self.object();
        for (form, digests) in event.identity.iter() {
            self.key(form)?;
            let open = self.list();
            digests.iter().try_for_each(|digest| self.text(digest.as_str()))?;
            self.end(open)?;
        }
        self.end(open)?;
        let open = self.object();
        for (field, value) in event.facts.0.iter() {
            self.key(field)?;
            self.value(value)?;
        }
        self.end(open)
    }
}

/// Writes the events of a batch in pieces.
#[derive(Debug)]
pub struct BatchPacker {
    pieces: Vec<Vec<u8>>,
    /// How long a piece becomes before the next one begins.
    piece: usize,
    /// How many bytes of events are in all pieces, and may be.
    size: usize,
    room: usize,
}

impl BatchPacker {
    /// Writes pieces of about `piece` bytes, with at most `room` bytes of events in them all.
    pub fn new(piece: usize, room: usize) -> Self {
        Self { pieces: Vec::new(), piece, size: 0, room }
    }

    /// Adds the event that `write` writes; false when there is no room for it and the batch is cut
    /// short. The first one always has room: it must go some time. What cannot be packed costs the
    /// event and not its batch.
    pub fn event(
        &mut self,
        id: i64,
        write: impl FnOnce(&mut Packer) -> Result<(), TooLarge>,
    ) -> bool {
        let mut piece = match self.pieces.pop() {
            Some(piece) if piece.len() <= self.piece => piece,
            full => {
                self.pieces.extend(full);
                let mut piece = Vec::with_capacity(self.piece + self.piece / 16);
                piece.push(0);
                piece
            }
        };
        let at = piece.len();
        piece.extend_from_slice(&id.to_le_bytes());
        piece.extend_from_slice(&[0; 4]);
        let begins = piece.len();
        let mut packer = Packer::into_buffer(piece);
        let written = write(&mut packer);
        let mut piece = packer.into_bytes();
        match u32::try_from(piece.len() - begins) {
            Ok(length) if written.is_ok() => {
                piece[begins - 4..begins].copy_from_slice(&length.to_le_bytes());
            }
            _ => piece.truncate(begins),
        }
        let length = piece.len() - at;
        let has_room = self.size == 0 || length <= self.room.saturating_sub(self.size);
        if has_room {
            self.size += length;
        } else {
            piece.truncate(at);
            piece[0] = 1;
        }
        self.pieces.push(piece);
        has_room
    }

    /// What was written.
    pub fn into_pieces(self) -> Vec<Vec<u8>> {
        self.pieces
    }
}

/// An event of a batch by its id, or the column of it that cannot be read.
pub type Unpacked = (i64, Result<Event, &'static str>);

/// Reads a piece of a batch: its events, each as by [`unpack`], and whether the batch is cut short. None
/// where the bytes are no such piece. The events keep these bytes and copy little of them.
pub fn unpack_piece(mut bytes: Bytes) -> Option<(Vec<Unpacked>, bool)> {
    let cut = match bytes.try_get_u8().ok()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let mut events = Vec::new();
    while bytes.has_remaining() {
        let id = bytes.try_get_i64_le().ok()?;
        let length = usize::try_from(bytes.try_get_u32_le().ok()?).ok()?;
        if length > bytes.remaining() {
            return None;
        }
        events.push((id, unpack(&bytes.split_to(length))));
    }
    Some((events, cut))
}

/// Reads an event; the column that cannot be read, or `packed` where the bytes are no event at all.
pub fn unpack(bytes: &Bytes) -> Result<Event, &'static str> {
    read(bytes).unwrap_or(Err("packed"))
}

fn read(bytes: &Bytes) -> Option<Result<Event, &'static str>> {
    let mut cursor = Cursor(bytes);
    if cursor.byte()? != VERSION {
        return None;
    }
    let (id, event_time) = (cursor.integer()?, Timestamp(cursor.integer()?));
    let (event_name, event_id) = (cursor.text()?, cursor.text()?);
    let action_source = cursor.text()?;
    let (value, currency) = (cursor.optional()?, cursor.optional()?);
    let (identity, facts) = (cursor.node(0)?, cursor.node(0)?);
    if !cursor.0.is_empty() {
        return None;
    }
    let Some(action_source) = ActionSource::parse(action_source) else {
        return Some(Err("action_source"));
    };
    let Ok(value) = value.map(Amount::parse).transpose() else { return Some(Err("value")) };
    let Ok(currency) = currency.map(Currency::parse).transpose() else {
        return Some(Err("currency"));
    };
    let Some(identity) = digests(identity) else { return Some(Err("identity")) };
    let Packed::Object(facts) = facts else { return Some(Err("facts")) };
    Some(Ok(Event {
        id,
        event_name: event_name.to_owned(),
        event_id: event_id.to_owned(),
        event_time,
        action_source,
        value,
        currency,
        identity,
        facts: Facts(Fields::packed(bytes.slice_ref(facts.0))),
    }))
}

fn digests(node: Packed<'_>) -> Option<Identity> {
    let Packed::Object(forms) = node else { return None };
    let mut identity = Identity::default();
    for (form, digests) in forms {
        let Packed::List(digests) = digests else { return None };
        let text = |digest| match digest {
            Packed::Text(digest) => Some(digest),
            _ => None,
        };
        let mut wrong = false;
        let digests = digests.map_while(|digest| {
            let read = text(digest).and_then(|digest| Digest::try_from(digest).ok());
            wrong |= read.is_none();
            read
        });
        identity.push(form, digests);
        if wrong {
            return None;
        }
    }
    Some(identity)
}

#[cfg(test)]
mod tests {
    use super::super::node::DEEPEST;
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn event() -> Event {
        let digest = Digest::of("x");
        let facts = json!({"order_id": "42", "num_items": 3, "opt_out": false, "none": null,
            "contents": [{"id": "MUG-01", "item_price": 9.90, "quantity": 2}, [], {}],
            "exact": 12345678901234567890.10, "zero": 0, "minus_zero": -0, "ü": "\u{1f600} \" \\"});
        Event {
            id: 7,
            event_name: "Purchase".into(),
            event_id: "order-42".into(),
            event_time: Timestamp(1_790_000_000_000_000),
            action_source: ActionSource::Website,
            value: Amount::parse("25.80").ok(),
            currency: Currency::parse("EUR").ok(),
            identity: BTreeMap::from([
                ("email".into(), vec![digest.clone(), Digest::of("y")]),
                ("phone/plus".into(), vec![digest]),
                ("state/two_letters".into(), vec![]),
            ])
            .into(),
            facts: Facts(facts.as_object().expect("an object").clone().into()),
        }
    }

    fn packed(event: &Event) -> Bytes {
        let mut packer = Packer::default();
        packer.event(event).expect("a small event");
        packer.into_bytes().into()
    }

    #[test]
    fn a_piece_is_read_as_it_was_written() {
        let mut batch = BatchPacker::new(1 << 20, usize::MAX);
        assert!(batch.event(42, |packer| packer.event(&event())));
        assert!(batch.event(43, |packer| packer.event(&event()).and(Err(TooLarge))));
        assert!(batch.event(44, |packer| packer.event(&event())));
        let bytes = Bytes::from(batch.into_pieces().remove(0));
        let expected = vec![(42, Ok(event())), (43, Err("packed")), (44, Ok(event()))];
        assert_eq!(unpack_piece(bytes.clone()), Some((expected, false)));
        for length in 0..bytes.len() {
            // Cut within an event it is no piece.
            let read = unpack_piece(bytes.slice(..length));
            let events = read.map(|(events, cut)| (events.len(), cut));
            assert!(events.is_none_or(|(count, cut)| count < 3 && !cut), "{length}");
        }
        assert_eq!(unpack_piece(Bytes::from_static(b"\x02")), None);
    }

    #[test]
    fn a_batch_is_cut_between_events() {
        let size = 12 + packed(&event()).len();
        let write = |mut batch: BatchPacker| {
            let count = (0..4).take_while(|id| batch.event(*id, |p| p.event(&event()))).count();
            let pieces = batch.into_pieces().into_iter().map(|piece| {
                let (events, cut) = unpack_piece(piece.into()).expect("a piece");
                assert!(events.iter().all(|(_, read)| read.as_ref() == Ok(&event())));
                (events.into_iter().map(|(id, _)| id).collect::<Vec<_>>(), cut)
            });
            (count, pieces.collect::<Vec<_>>())
        };
        let all = vec![0, 1, 2, 3];
        assert_eq!(write(BatchPacker::new(10 * size, 4 * size)), (4, vec![(all, false)]));
        let two = vec![(vec![0, 1], false), (vec![2, 3], false)];
        assert_eq!(write(BatchPacker::new(size + 2, 4 * size)), (4, two));
        // The first one has room whatever its size.
        assert_eq!(write(BatchPacker::new(10 * size, 0)), (1, vec![(vec![0], true)]));
        assert_eq!(write(BatchPacker::new(10 * size, 3 * size)), (3, vec![(vec![0, 1, 2], true)]));
        let cut = vec![(vec![0], false), (vec![1], false), (vec![], true)];
        assert_eq!(write(BatchPacker::new(size, 2 * size)), (2, cut));
    }

    #[test]
    fn an_event_is_read_as_it_was_written() {
        let read = unpack(&packed(&event())).expect("an event");
        assert_eq!(read, event());
        let mut bare = Event { value: None, currency: None, ..event() };
        bare.identity = Identity::default();
        bare.facts = Facts::default();
        assert_eq!(unpack(&packed(&bare)), Ok(bare));
    }

    #[test]
    fn fields_are_found_where_they_lie() {
        let read = unpack(&packed(&event())).expect("an event");
        for event in [&event(), &read] {
            let json = |field| event.facts.json(field);
            assert_eq!(event.facts.text("order_id"), Some("42"));
            assert_eq!(event.facts.text("num_items"), None);
            assert_eq!(json("num_items").and_then(|n| n.as_u64()), Some(3));
            assert_eq!(
                json("exact").and_then(|n| n.digits()),
                json("exact").and_then(|n| n.digits())
            );
            assert!(json("order").is_none());
            let contents: Vec<_> = json("contents").expect("a list").elements().collect();
            assert_eq!(contents[0].get("item_price").and_then(|n| n.digits()), Some("9.9"));
            assert!(contents[0].is_object() && contents[1].get("id").is_none());
            assert_eq!(contents[0].members().count(), 3);
            assert_eq!(event.facts.get("opt_out"), Some(&json!(false)));
            for (field, tree) in event.facts.0.iter() {
                let written = serde_json::to_string(&json(field)).expect("JSON");
                assert_eq!(written, tree.to_string(), "{field}");
            }
        }
    }

    #[test]
    fn a_column_that_cannot_be_read_is_named() {
        let of = |source: &str, value, currency: Option<&str>| {
            let mut packer = Packer::default();
            let time = Timestamp(0);
            let currency = currency.map(str::as_bytes);
            packer.head(1, time, "Lead", "lead-1", source, value, currency).expect("small");
            for _ in 0..2 {
                let open = packer.object();
                packer.end(open).expect("small");
            }
            unpack(&packer.into_bytes().into()).err()
        };
        assert_eq!(of("website", Some("1.50"), Some("EUR")), None);
        assert_eq!(of("moon", None, None), Some("action_source"));
        assert_eq!(of("website", Some("NaN"), None), Some("value"));
        assert_eq!(of("website", None, Some("XXX")), Some("currency"));
        let mut mail = Packer::default();
        mail.head(1, Timestamp(0), "Lead", "lead-1", "website", None, None).expect("small");
        mail.value(&json!({"email": ["jane@example.com"]})).expect("small");
        mail.value(&json!({})).expect("small");
        assert_eq!(unpack(&mail.into_bytes().into()), Err("identity"));
        assert_eq!(unpack(&Bytes::new()), Err("packed"), "what the extension could not pack");
    }

    #[test]
    fn what_is_nested_too_deeply_is_no_event() {
        let mut deep = json!(1);
        for _ in 0..DEEPEST + 1 {
            deep = json!([deep]);
        }
        let mut event = event();
        event.facts.0.insert("custom".into(), deep);
        assert_eq!(unpack(&packed(&event)), Err("packed"));
    }

    proptest! {
        #[test]
        fn bytes_of_any_kind_are_an_event_or_none(
            at in 0..400usize, with in prop::collection::vec(any::<u8>(), 0..6), cut in 0..400usize,
        ) {
            let mut bytes = packed(&event()).to_vec();
            let at = at.min(bytes.len());
            bytes.splice(at..(at + with.len()).min(bytes.len()), with);
            bytes.truncate(bytes.len().saturating_sub(cut));
            if let Ok(event) = unpack(&bytes.into()) {
                // Whatever lies there can be looked at.
                let _ = (event.facts.0.len(), event.identity.iter().count());
                let _ = serde_json::to_string(&event);
            }
        }
    }
}
