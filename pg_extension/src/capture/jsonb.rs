//! `jsonb` in its binary form, written and read without a detour over text.
//!
//! The format is that of tables on disk, unchanged since 9.4 (`utils/jsonb.h`): a header with the
//! count, one entry of 32 bits per element, then the elements; of an object first all keys, by
//! length and bytes, then all values. Every 32nd entry holds an offset, the others lengths.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::mem;

use capi_core::event::Identity;
use capi_core::event::packed::{Packer, TooLarge};
use pgrx::callconv::{Arg, ArgAbi};
use pgrx::nullable::Nullable;
use pgrx::pg_sys::{self, Datum};
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};
use pgrx::{FromDatum, IntoDatum, PgSqlErrorCode, direct_function_call_as_datum, ereport, varlena};
use serde_json::{Map, Number, Value};

use crate::error::{Error, c_string};

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

/// Bytes of a `numeric` without digits: the length of the varlena, and its own header.
const SMALLEST_NUMERIC: usize = pg_sys::VARHDRSZ + 2;

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
        // `begin` has made a place for each.
        let place = out.get_mut(self.at + 4 * self.index..);
        if let Some(place) = place.and_then(<[u8]>::first_chunk_mut::<4>) {
            *place = (entry | kind).to_ne_bytes();
        }
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
    let text = c_string(text);
    // SAFETY: numeric_in reads a C string, a type and a modifier, which are these; the text outlives
    // the call.
    let value = unsafe {
        direct_function_call_as_datum(
            pg_sys::numeric_in,
            &[Some(Datum::from(text.as_ptr())), Some(Datum::from(0)), (-1).into_datum()],
        )
    };
    value.unwrap_or_else(|| pgrx::error!("a number has become null"))
}

/// All bytes of a varlena with a long header.
fn varlena_bytes<'a>(value: Datum) -> &'a [u8] {
    let start = value.cast_mut_ptr::<pg_sys::varlena>();
    // SAFETY: a varlena is as long as it says.
    unsafe { std::slice::from_raw_parts(start.cast::<u8>(), varlena::varsize_any(start)) }
}

/// Most parts of a column's value that are read. Every field refuses what has more, as too large or
/// as too many, so that nobody misses the rest.
const MOST_PARTS: usize = 100_000;

/// Most bytes of texts and names of a column's value that are read; as above.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// Largest argument of a function, in bytes: ten thousand events of a few kilobytes each.
const LARGEST_ARGUMENT: usize = 32 * 1024 * 1024;

/// So many parts are read between two looks at interrupts.
const PARTS_PER_LOOK: usize = 1_024;

/// The value that a column of type `jsonb` holds: as much of it as a field can be. What is nested
/// deeper than any field reads as null; that it was nested too deeply is still to be seen.
pub(super) fn read(value: Datum) -> Value {
    let mut room = Room { parts: MOST_PARTS, bytes: MOST_BYTES };
    container(payload(value), 0, &mut room)
}

/// The value that a column of type `json` holds, or the start of one as large where it has more than a field
/// can be; none where it cannot be read.
pub(super) fn read_text(text: &str) -> Option<Value> {
    if has_room(text) {
        return serde_json::from_str(text).ok();
    }
    let plenty = Value::Array(vec![Value::Null; MOST_PARTS]);
    let is_object = text.trim_ascii_start().starts_with('{');
    Some(if is_object { Value::Object(Map::from_iter([(String::new(), plenty)])) } else { plenty })
}

/// Whether a text of JSON has no more parts and bytes than are read. Every part but the first has one of
/// these characters before it; those within texts count too.
fn has_room(text: &str) -> bool {
    let is_part = |byte: &u8| matches!(byte, b',' | b'[' | b'{');
    text.len() <= MOST_BYTES && text.bytes().filter(|byte| is_part(byte)).count() < MOST_PARTS
}

/// As much of a text as is read.
pub(super) fn start_of(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MOST_BYTES)).unwrap_or_default()
}

/// The `jsonb` at a datum, without its header.
fn payload<'a>(value: Datum) -> &'a [u8] {
    // SAFETY: the datum is a jsonb; the long header that this gives it is what the format expects.
    let value = unsafe { pg_sys::pg_detoast_datum(value.cast_mut_ptr()) };
    varlena_bytes(Datum::from(value)).get(pg_sys::VARHDRSZ..).unwrap_or_default()
}

/// An argument of type `jsonb`, read without a detour over text: `serde_json` refuses what is deeply
/// nested, and pgrx's own type makes a panic of that.
pub(crate) struct Json(pub(crate) Value);

impl FromDatum for Json {
    unsafe fn from_polymorphic_datum(value: Datum, is_null: bool, _: pg_sys::Oid) -> Option<Self> {
        if is_null {
            return None;
        }
        let bytes = payload(value);
        if bytes.len() > LARGEST_ARGUMENT {
            Error::JsonTooLarge.raise();
        }
        let mut room = Room { parts: usize::MAX, bytes: usize::MAX };
        Some(Self(container(bytes, 0, &mut room)))
    }
}

// Of a value that SPI hands out pgrx asks for both directions.
impl IntoDatum for Json {
    fn into_datum(self) -> Option<Datum> {
        pgrx::JsonB(self.0).into_datum()
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::JSONBOID
    }
}

// SAFETY: names the type that `from_polymorphic_datum` reads.
unsafe impl SqlTranslatable for Json {
    const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!(Json);
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("jsonb"));
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> =
        Ok(ReturnsRef::One(SqlMappingRef::literal("jsonb")));
}

// SAFETY: reads the argument as `FromDatum` does; the SQL declaration says that it is a jsonb.
unsafe impl<'fcx> ArgAbi<'fcx> for Json {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // Of a function that is not strict an argument may be null.
        // SAFETY: as above.
        unsafe { arg.unbox_arg_using_from_datum() }.unwrap_or(Self(Value::Null))
    }

    unsafe fn unbox_nullable_arg(arg: Arg<'_, 'fcx>) -> Nullable<Self> {
        // SAFETY: as above.
        unsafe { arg.unbox_arg_using_from_datum().into() }
    }
}

/// An argument of type `json`. What cannot be read is null, as is what is nested too deeply.
pub(crate) struct JsonText(pub(crate) Value);

impl FromDatum for JsonText {
    unsafe fn from_polymorphic_datum(value: Datum, is_null: bool, _: pg_sys::Oid) -> Option<Self> {
        if is_null {
            return None;
        }
        let bytes = payload(value);
        if bytes.len() > LARGEST_ARGUMENT {
            Error::JsonTooLarge.raise();
        }
        Some(Self(serde_json::from_slice(bytes).unwrap_or(Value::Null)))
    }
}

// SAFETY: names the type that `from_polymorphic_datum` reads.
unsafe impl SqlTranslatable for JsonText {
    const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!(JsonText);
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("json"));
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> =
        Ok(ReturnsRef::One(SqlMappingRef::literal("json")));
}

// SAFETY: reads the argument as `FromDatum` does; the SQL declaration says that it is a json.
unsafe impl<'fcx> ArgAbi<'fcx> for JsonText {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // Of a function that is not strict an argument may be null.
        // SAFETY: as above.
        unsafe { arg.unbox_arg_using_from_datum() }.unwrap_or(Self(Value::Null))
    }

    unsafe fn unbox_nullable_arg(arg: Arg<'_, 'fcx>) -> Nullable<Self> {
        // SAFETY: as above.
        unsafe { arg.unbox_arg_using_from_datum().into() }
    }
}

/// How much may still be read.
struct Room {
    parts: usize,
    bytes: usize,
}

impl Room {
    /// Whether another part may be read.
    fn take(&mut self) -> bool {
        if self.parts.is_multiple_of(PARTS_PER_LOOK) {
            pgrx::check_for_interrupts!();
        }
        self.parts = self.parts.saturating_sub(1);
        self.parts > 0 && self.bytes > 0
    }

    fn text(&mut self, place: &[u8]) -> String {
        self.bytes = self.bytes.saturating_sub(place.len());
        utf8(place).to_owned()
    }
}

fn container(bytes: &[u8], depth: usize, room: &mut Room) -> Value {
    let mut elements = Elements::of(bytes);
    let (kind, count) = (elements.kind, elements.count);
    if depth > DEEPEST {
        return Value::Null;
    }
    if kind & OBJECT == 0 {
        let mut values = Vec::new();
        for _ in 0..count {
            if !room.take() {
                break;
            }
            values.push(elements.value(depth, room));
        }
        return match kind & SCALAR {
            0 => Value::Array(values),
            _ => values.pop().unwrap_or_default(),
        };
    }
    let mut keys = Elements { ..elements };
    for _ in 0..count {
        elements.next();
    }
    let mut map = Map::new();
    for _ in 0..count {
        if !room.take() {
            break;
        }
        let key = room.text(keys.next().1);
        map.insert(key, elements.value(depth, room));
    }
    Value::Object(map)
}

/// Writes what a `jsonb` datum holds without making a tree of it.
pub(crate) fn pack(value: Datum, to: &mut Packer) -> Result<(), TooLarge> {
    pack_container(payload(value), 0, to)
}

fn pack_container(bytes: &[u8], depth: usize, to: &mut Packer) -> Result<(), TooLarge> {
    if depth > DEEPEST {
        return Err(TooLarge);
    }
    let mut elements = Elements::of(bytes);
    let (kind, count) = (elements.kind, elements.count);
    if kind & OBJECT == 0 {
        let open = (kind & SCALAR == 0).then(|| to.list());
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
    kind: u32,
    count: usize,
    index: usize,
    offset: usize,
    data: usize,
}

impl<'a> Elements<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let header = word(bytes, 0);
        let count = (header & COUNT) as usize;
        let entries = if header & OBJECT == 0 { count } else { 2 * count };
        let kind = header & (SCALAR | OBJECT | ARRAY);
        Self { bytes, kind, count, index: 0, offset: 0, data: 4 + 4 * entries }
    }

    /// Kind and bytes of the next one; no bytes where the value is damaged.
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
        (kind, self.bytes.get(start..self.data + self.offset).unwrap_or_default())
    }

    fn value(&mut self, depth: usize, room: &mut Room) -> Value {
        let (kind, place) = self.next();
        match kind {
            STRING => Value::String(room.text(place)),
            NUMERIC => number(place),
            FALSE => Value::Bool(false),
            TRUE => Value::Bool(true),
            CONTAINER => container(place, depth + 1, room),
            _ => Value::Null,
        }
    }
}

/// A header or an entry; of a damaged value, nothing.
fn word(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>);
    four.map_or(0, |four| u32::from_ne_bytes(*four))
}

/// Bytes that are text, as Postgres has checked where the database's encoding is UTF-8.
fn utf8(bytes: &[u8]) -> &str {
    match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => pgrx::error!("a text is not UTF-8"),
    }
}

fn digits(bytes: &[u8]) -> &str {
    // Of a damaged value, nothing: what a numeric says of its length must lie within its place.
    if bytes.len() < SMALLEST_NUMERIC {
        return "0";
    }
    let start = bytes.as_ptr().cast::<pg_sys::varlena>();
    // SAFETY: there are more bytes than any header has, as was just compared.
    if unsafe { varlena::varsize_any(start) } > bytes.len() {
        return "0";
    }
    // SAFETY: a numeric of the length that it says, as was just compared; its output function returns
    // a C string in memory of the call.
    let text = unsafe {
        direct_function_call_as_datum(pg_sys::numeric_out, &[Some(Datum::from(start))])
            .map(|text| CStr::from_ptr(text.cast_mut_ptr()))
    };
    text.and_then(|text| text.to_str().ok()).unwrap_or("0")
}

/// A number; JSON has none that is not finite, but a `numeric` inside could be.
fn number(bytes: &[u8]) -> Value {
    digits(bytes).parse::<Number>().map_or(Value::Null, Value::Number)
}

#[cfg(any(test, feature = "pg_test"))]
#[pgrx::pg_schema]
mod tests {
    use super::{DEEPEST, Jsonb, pack, read, varlena_bytes};
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
        let value = read(parsed(&nested(1_000)));
        let (mut levels, mut inner) = (0, &value);
        while let Some(next) = inner.as_array().and_then(|list| list.first()) {
            (levels, inner) = (levels + 1, next);
        }
        assert!(levels <= DEEPEST + 1, "{levels} levels");
    }
}
