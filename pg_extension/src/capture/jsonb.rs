//! `jsonb` in its binary form, written and read without a detour over text.
//!
//! The format is that of tables on disk, unchanged since 9.4 (`utils/jsonb.h`): a header with the
//! count, one entry of 32 bits per element, then the elements; of an object first all keys, by
//! length and bytes, then all values. Every 32nd entry holds an offset, the others lengths.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::mem;

use capi_core::event::Identity;
use capi_core::event::packed::{Packer, TooLarge};
use pgrx::pg_sys::{self, Datum};
use pgrx::{IntoDatum, PgSqlErrorCode, direct_function_call_as_datum, ereport, varlena};
use serde_json::{Map, Number, Value};

const COUNT: u32 = 0x0fff_ffff;
const SCALAR: u32 = 0x1000_0000;
const OBJECT: u32 = 0x2000_0000;
const ARRAY: u32 = 0x4000_0000;

const LENGTH: u32 = 0x0fff_ffff;
const KIND: u32 = 0x7000_0000;
const STRING: u32 = 0x0000_0000;
const NUMERIC: u32 = 0x1000_0000;
const FALSE: u32 = 0x2000_0000;
const TRUE: u32 = 0x3000_0000;
const NULL: u32 = 0x4000_0000;
const CONTAINER: u32 = 0x5000_0000;
const HAS_OFFSET: u32 = 0x8000_0000;

/// Every so many entries one has an offset.
const STRIDE: usize = 32;

/// Deeper than serde reads, which is deeper than any field.
const DEEPEST: usize = 127;

/// A `jsonb` value, in Postgres' memory.
#[derive(Clone, Copy)]
pub(super) struct Jsonb(Datum);

impl IntoDatum for Jsonb {
    fn into_datum(self) -> Option<Datum> {
        Some(self.0)
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::JSONBOID
    }
}

impl Jsonb {
    /// An object.
    pub(super) fn object(map: &Map<String, Value>) -> Self {
        Self::built(|out| members(out, map.iter(), write))
    }

    /// Texts by name.
    pub(super) fn texts(map: &BTreeMap<String, String>) -> Self {
        Self::built(|out| members(out, map.iter(), |out, text| string(out, text)))
    }

    /// Lists of digests by field and form.
    pub(super) fn identity(identity: &Identity) -> Self {
        Self::built(|out| {
            members(out, identity.iter(), |out, digests| {
                list(out, digests, |out, digest| string(out, digest.as_str()))
            })
        })
    }

    fn built(build: impl FnOnce(&mut Vec<u8>) -> u32) -> Self {
        // The place of the varlena's length; what follows is aligned to its beginning.
        let mut out = vec![0; pg_sys::VARHDRSZ];
        out.reserve(1_024);
        build(&mut out);
        Self(copied(&mut out))
    }
}

/// A varlena of these bytes, whose first four are its length's.
fn copied(bytes: &mut [u8]) -> Datum {
    // SAFETY: as many bytes as are copied are allocated, and the length is in their first four.
    unsafe {
        let place = pg_sys::palloc(bytes.len()).cast::<u8>();
        place.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        varlena::set_varsize_4b(
            place.cast(),
            i32::try_from(bytes.len()).unwrap_or_else(|_| too_large()),
        );
        Datum::from(place)
    }
}

/// Writes a value and returns the kind of its entry.
fn write(out: &mut Vec<u8>, value: &Value) -> u32 {
    match value {
        Value::Null => NULL,
        Value::Bool(true) => TRUE,
        Value::Bool(false) => FALSE,
        Value::Number(number) => {
            pad(out);
            out.extend_from_slice(varlena_bytes(numeric(number.as_str())));
            NUMERIC
        }
        Value::String(text) => string(out, text),
        Value::Array(values) => list(out, values, write),
        Value::Object(map) => members(out, map.iter(), write),
    }
}

fn string(out: &mut Vec<u8>, text: &str) -> u32 {
    out.extend_from_slice(storable(text).as_bytes());
    STRING
}

/// `jsonb` cannot hold U+0000.
fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "").into() } else { text.into() }
}

fn list<T>(out: &mut Vec<u8>, values: &[T], write: impl Fn(&mut Vec<u8>, &T) -> u32) -> u32 {
    let mut entries = Entries::begin(out, values.len(), ARRAY, values.len());
    for value in values {
        entries.add(out, |out| write(out, value));
    }
    CONTAINER
}

fn members<'a, T: ?Sized + 'a>(
    out: &mut Vec<u8>,
    map: impl Iterator<Item = (&'a (impl AsRef<str> + ?Sized + 'a), &'a T)>,
    write: impl Fn(&mut Vec<u8>, &T) -> u32,
) -> u32 {
    let mut pairs: Vec<(Cow<'a, str>, &T)> =
        map.map(|(key, value)| (storable(key.as_ref()), value)).collect();
    pairs.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    // Without its zeros a key may be another one: the last counts, as in text.
    pairs.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            mem::swap(next, kept);
        }
        same
    });
    let mut entries = Entries::begin(out, pairs.len(), OBJECT, 2 * pairs.len());
    for (key, _) in &pairs {
        entries.add(out, |out| {
            out.extend_from_slice(key.as_bytes());
            STRING
        });
    }
    for (_, value) in pairs {
        entries.add(out, |out| write(out, value));
    }
    CONTAINER
}

/// The entries of a container that is being written.
struct Entries {
    at: usize,
    index: usize,
    total: usize,
}

impl Entries {
    fn begin(out: &mut Vec<u8>, count: usize, kind: u32, entries: usize) -> Self {
        pad(out);
        out.extend_from_slice(&(bounded(count) | kind).to_ne_bytes());
        let at = out.len();
        out.resize(at + 4 * entries, 0);
        Self { at, index: 0, total: 0 }
    }

    fn add(&mut self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> u32) {
        let before = out.len();
        let kind = write(out);
        let length = out.len() - before;
        self.total += length;
        let entry = match self.index % STRIDE {
            0 => bounded(self.total) | HAS_OFFSET,
            _ => bounded(length),
        };
        let at = self.at + 4 * self.index;
        out[at..at + 4].copy_from_slice(&(entry | kind).to_ne_bytes());
        self.index += 1;
    }
}

fn bounded(length: usize) -> u32 {
    u32::try_from(length).ok().filter(|length| *length <= LENGTH).unwrap_or_else(|| too_large())
}

fn too_large() -> ! {
    ereport!(
        ERROR,
        PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        "the event is too large for a jsonb value"
    );
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

/// The `numeric` of a decimal number.
pub(super) fn numeric(text: &str) -> Datum {
    let text = CString::new(text).expect("a number holds no zero byte");
    // SAFETY: the arguments of a type's input function: text, type, no modifier. Never null.
    unsafe {
        direct_function_call_as_datum(
            pg_sys::numeric_in,
            &[Some(Datum::from(text.as_ptr())), Some(Datum::from(0)), (-1).into_datum()],
        )
        .expect("a numeric is not null")
    }
}

/// All bytes of a varlena with a long header.
fn varlena_bytes<'a>(value: Datum) -> &'a [u8] {
    let start = value.cast_mut_ptr::<pg_sys::varlena>();
    // SAFETY: a varlena is as long as it says.
    unsafe { std::slice::from_raw_parts(start.cast::<u8>(), varlena::varsize_any(start)) }
}

/// The value that a `jsonb` datum holds; what is nested too deeply is not looked at.
pub(super) fn read(value: Datum) -> Value {
    // SAFETY: the datum is a jsonb; the long header that this gives it is what the format expects.
    let value = unsafe { pg_sys::pg_detoast_datum(value.cast_mut_ptr()) };
    let bytes = varlena_bytes(Datum::from(value));
    container(&bytes[pg_sys::VARHDRSZ..], 0).unwrap_or(Value::Bool(false))
}

fn container(bytes: &[u8], depth: usize) -> Option<Value> {
    if depth > DEEPEST {
        return None;
    }
    let header = word(bytes, 0);
    let count = (header & COUNT) as usize;
    let mut elements = Elements {
        bytes,
        index: 0,
        offset: 0,
        data: 4 + 4 * if header & OBJECT == 0 { count } else { 2 * count },
    };
    if header & OBJECT == 0 {
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            values.push(elements.value(depth)?);
        }
        return if header & SCALAR == 0 { Some(Value::Array(values)) } else { values.pop() };
    }
    let mut keys = Vec::with_capacity(count);
    for _ in 0..count {
        let (_, place) = elements.next();
        keys.push(text(place));
    }
    let mut map = Map::new();
    for key in keys {
        map.insert(key, elements.value(depth)?);
    }
    Some(Value::Object(map))
}

/// Writes what a `jsonb` datum holds without making a tree of it.
pub(crate) fn pack(value: Datum, to: &mut Packer) -> Result<(), TooLarge> {
    // SAFETY: as above.
    let value = unsafe { pg_sys::pg_detoast_datum(value.cast_mut_ptr()) };
    let bytes = varlena_bytes(Datum::from(value));
    pack_container(&bytes[pg_sys::VARHDRSZ..], 0, to)
}

fn pack_container(bytes: &[u8], depth: usize, to: &mut Packer) -> Result<(), TooLarge> {
    if depth > DEEPEST {
        return Err(TooLarge);
    }
    let header = word(bytes, 0);
    let count = (header & COUNT) as usize;
    let entries = if header & OBJECT == 0 { count } else { 2 * count };
    let mut elements = Elements { bytes, index: 0, offset: 0, data: 4 + 4 * entries };
    if header & OBJECT == 0 {
        let open = (header & SCALAR == 0).then(|| to.list());
        for _ in 0..count {
            pack_element(elements.next(), depth, to)?;
        }
        return open.map_or(Ok(()), |open| to.end(open));
    }
    let open = to.object();
    let mut keys = Elements { ..elements };
    for _ in 0..count {
        elements.next();
    }
    for _ in 0..count {
        to.key(keys.next().1)?;
        pack_element(elements.next(), depth, to)?;
    }
    to.end(open)
}

fn pack_element(
    (kind, place): (u32, &[u8]),
    depth: usize,
    to: &mut Packer,
) -> Result<(), TooLarge> {
    match kind {
        STRING => to.text(place)?,
        NUMERIC => to.number(digits(place))?,
        FALSE => to.bool(false),
        TRUE => to.bool(true),
        CONTAINER => pack_container(place, depth + 1, to)?,
        _ => to.null(),
    }
    Ok(())
}

/// The elements of a container that is being read.
struct Elements<'a> {
    bytes: &'a [u8],
    index: usize,
    offset: usize,
    data: usize,
}

impl<'a> Elements<'a> {
    /// Kind and bytes of the next one.
    fn next(&mut self) -> (u32, &'a [u8]) {
        let entry = word(self.bytes, 4 + 4 * self.index);
        let field = (entry & LENGTH) as usize;
        let start = self.offset;
        self.offset = if entry & HAS_OFFSET == 0 { start + field } else { field };
        self.index += 1;
        let kind = entry & KIND;
        let start = match kind {
            NUMERIC | CONTAINER => (self.data + start).next_multiple_of(4),
            _ => self.data + start,
        };
        (kind, &self.bytes[start..self.data + self.offset])
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        let (kind, place) = self.next();
        Some(match kind {
            STRING => Value::String(text(place)),
            NUMERIC => Value::Number(number(place)),
            FALSE => Value::Bool(false),
            TRUE => Value::Bool(true),
            CONTAINER => container(place, depth + 1)?,
            _ => Value::Null,
        })
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn text(bytes: &[u8]) -> String {
    utf8(bytes).to_owned()
}

/// Bytes that are text, as Postgres has checked where the database's encoding is UTF-8.
fn utf8(bytes: &[u8]) -> &str {
    match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => pgrx::error!("a text is not UTF-8"),
    }
}

fn digits(bytes: &[u8]) -> &str {
    // SAFETY: the bytes are a numeric; its output function returns a C string.
    let text = unsafe {
        direct_function_call_as_datum(pg_sys::numeric_out, &[Some(Datum::from(bytes.as_ptr()))])
            .map(|text| CStr::from_ptr(text.cast_mut_ptr()))
    };
    text.and_then(|text| text.to_str().ok()).expect("JSON holds finite numbers")
}

fn number(bytes: &[u8]) -> Number {
    digits(bytes).parse().expect("JSON holds finite numbers")
}

#[cfg(any(test, feature = "pg_test"))]
#[pgrx::pg_schema]
mod tests {
    use super::{Jsonb, pack, read, varlena_bytes};
    use capi_core::event::packed::{self, Packer};
    use capi_core::time::Timestamp;
    use pgrx::pg_sys::{self, Datum};
    use pgrx::prelude::*;
    use serde_json::{Map, Value, json};
    use std::ffi::CString;

    /// What Postgres makes of a text.
    fn parsed(text: &str) -> Datum {
        let text = CString::new(text).expect("no zero byte");
        // SAFETY: the input function of jsonb takes a C string and is never null.
        unsafe {
            pgrx::direct_function_call_as_datum(
                pg_sys::jsonb_in,
                &[Some(Datum::from(text.as_ptr()))],
            )
            .expect("a value")
        }
    }

    /// Objects whose texts say exactly what they hold.
    fn objects() -> Vec<Value> {
        let many: Map<String, Value> =
            (0..100).map(|n| (format!("{}key {n}", "x".repeat(n % 7)), json!(n * 37))).collect();
        let list: Vec<Value> = (0..70).map(|n| json!("y".repeat(n % 9))).collect();
        let mixed: Vec<Value> = (0..70)
            .map(|n| match n % 4 {
                0 => json!({"n": n, "list": [n, [], {}]}),
                1 => Value::Null,
                2 => json!(n % 3 == 0),
                _ => json!("ü".repeat(n)),
            })
            .collect();
        vec![
            json!({}),
            json!({"": "", "b": null, "aa": true, "a": false}),
            json!({"contents": [{"id": "MUG-01", "quantity": 2, "item_price": 9}], "n": -7}),
            json!({"quotes": "\" \\ / \u{8}\n", "smile": "\u{1f600}", "é": [[], [[]], {}]}),
            json!({"deep": {"er": {"and": {"deeper": [1, "2", {"three": [4]}]}}}}),
            Value::Object(many),
            json!({"list": list, "mixed": mixed}),
            serde_json::from_str(r#"{"exact": 12345678901234567890.10, "small": 0.000001}"#)
                .expect("JSON"),
        ]
    }

    #[pg_test]
    fn an_object_is_written_as_postgres_writes_its_text_and_read_back() {
        for value in objects() {
            let Value::Object(map) = &value else { panic!("an object") };
            let theirs = parsed(&value.to_string());
            let ours = Jsonb::object(map);
            assert!(varlena_bytes(ours.0) == varlena_bytes(theirs), "{value}");
            assert_eq!(read(theirs), value);
        }
    }

    #[pg_test]
    fn an_object_is_packed_as_the_tree_that_it_is() {
        for value in objects() {
            let mut packer = Packer::default();
            let head = packer.head(1, Timestamp(0), "Lead", "lead-1", "website", None, None);
            head.expect("small");
            for part in ["{}".to_owned(), value.to_string()] {
                pack(parsed(&part), &mut packer).expect("small");
            }
            let event = packed::unpack(&packer.into_bytes().into()).expect("an event");
            assert_eq!(Value::Object(event.facts.0.into()), value);
        }
        let deep = format!("{{\"a\": {}1{}}}", "[".repeat(1_000), "]".repeat(1_000));
        assert!(pack(parsed(&deep), &mut Packer::default()).is_err());
    }

    #[pg_test]
    fn what_no_jsonb_can_hold_is_left_out() {
        let mut map = Map::new();
        map.insert("a\0b".to_owned(), json!("c\0d"));
        let theirs = parsed(r#"{"ab": "cd"}"#);
        assert!(varlena_bytes(Jsonb::object(&map).0) == varlena_bytes(theirs));
        map.insert("a\0\0b".to_owned(), json!(0));
        map.insert("ab".to_owned(), json!("the last one"));
        let theirs = parsed(r#"{"ab": "the last one"}"#);
        assert!(varlena_bytes(Jsonb::object(&map).0) == varlena_bytes(theirs));
    }

    #[pg_test]
    fn plain_values_are_read_and_too_deep_ones_are_not() {
        for text in ["1.50", "\"text\"", "null", "true", "[]"] {
            let value: Value = serde_json::from_str(text).expect("JSON");
            assert_eq!(read(parsed(text)), value);
        }
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(read(parsed(&nested(100))).is_array());
        assert_eq!(read(parsed(&nested(1_000))), Value::Bool(false));
    }
}
