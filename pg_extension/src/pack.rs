//! An event of the outbox as one value for the sidecar: no JSON is written here and none parsed there.

use std::ffi::CStr;

use capi_core::event::packed::{BatchPacker, Packer, TooLarge};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys::{self, Datum};
use pgrx::prelude::*;
use pgrx::{direct_function_call_as_datum, varlena};

use crate::batch::{Reading, each_event, reading};
use crate::capture::{clock, jsonb};
use crate::error::all_given;

/// The columns of an event in the form of `capi_core::event::packed`.
// With its arguments as they lie in the row: a thousand events are read at once.
#[pg_extern(sql = r#"
create function capi._pack(
    id bigint,
    event_time timestamptz,
    event_name text,
    event_id text,
    action_source text,
    value numeric,
    currency text,
    identity jsonb,
    facts jsonb
) returns bytea
language c
immutable
parallel safe
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
"#)]
fn _pack(fcinfo: pg_sys::FunctionCallInfo) -> Option<Vec<u8>> {
    // SAFETY: the function is declared with nine arguments, of the types that they are read as.
    let arguments = unsafe { (*fcinfo).args.as_slice(TYPES.len()) };
    let column = |at: usize| {
        let argument = arguments.get(at).filter(|argument| !argument.isnull)?;
        Some(argument.value)
    };
    let mut packer = Packer::into_buffer(Vec::with_capacity(2_048));
    let written = write(column, &mut packer)?;
    // What cannot be packed costs the event and not its batch: nobody can read it.
    Some(written.map(|()| packer.into_bytes()).unwrap_or_default())
}

/// The types of the columns of an event that are packed, in the order of `capi._pack`.
const TYPES: [pg_sys::Oid; 9] = [
    pg_sys::INT8OID,
    pg_sys::TIMESTAMPTZOID,
    pg_sys::TEXTOID,
    pg_sys::TEXTOID,
    pg_sys::TEXTOID,
    pg_sys::NUMERICOID,
    pg_sys::TEXTOID,
    pg_sys::JSONBOID,
    pg_sys::JSONBOID,
];

/// Writes an event by its columns; none where one of them is null that never is.
fn write(column: impl Fn(usize) -> Option<Datum>, to: &mut Packer) -> Option<Result<(), TooLarge>> {
    let id = column(0)?.value() as i64;
    let time = clock::from_postgres(column(1)?.value() as i64);
    let [name, event_id, source] = [text(column(2)?), text(column(3)?), text(column(4)?)];
    let value = column(5).map(numeric);
    let (identity, facts) = (column(7)?, column(8)?);
    let mut written = || -> Result<(), TooLarge> {
        to.head(id, time, name, event_id, source, value, column(6).map(text))?;
        jsonb::pack(identity, to)?;
        jsonb::pack(facts, to)
    };
    Some(written())
}

thread_local! {
    static EVENTS: Reading = const {
        reading!(
            "o.id, o.event_time, o.event_name, o.event_id, o.action_source, o.value, o.currency, \
             o.identity, o.facts",
            &TYPES
        )
    };
}

/// About so many bytes in a piece: Postgres copies a value several times before it is sent, each time
/// into memory that the system has to clear for it, unless it is small.
const PIECE: usize = 64 * 1024;

/// These events, captured between these times, in pieces of a batch with at most so many bytes of
/// events. One that is not in the outbox is left out.
#[pg_extern(stable, name = "_pack_batch")]
fn pack_batch(
    events: Vec<Option<i64>>,
    captured_from: TimestampWithTimeZone,
    captured_to: TimestampWithTimeZone,
    room: i32,
) -> SetOfIterator<'static, Vec<u8>> {
    let events = all_given(events, "events");
    let mut batch = BatchPacker::new(PIECE, usize::try_from(room).unwrap_or_default());
    let read = each_event(&EVENTS, &events, (captured_from, captured_to), |id, row| {
        // None of the columns is null that must not be.
        batch.event(id, |packer| {
            write(|at| row.datum(at, *TYPES.get(at)?), packer).unwrap_or(Err(TooLarge))
        })
    });
    read.unwrap_or_else(|error| pgrx::error!("events could not be read: {error}"));
    SetOfIterator::new(batch.into_pieces())
}

/// A text where it lies; a long one is fetched into the memory of the call.
fn text<'a>(value: Datum) -> &'a [u8] {
    // SAFETY: the datum is a text, which is as long as it says and stays for the call.
    unsafe {
        let value = pg_sys::pg_detoast_datum_packed(value.cast_mut_ptr());
        let (start, length) = (varlena::vardata_any(value), varlena::varsize_any_exhdr(value));
        std::slice::from_raw_parts(start.cast::<u8>(), length)
    }
}

/// The digits of a numeric.
fn numeric<'a>(value: Datum) -> &'a str {
    // SAFETY: the datum is a numeric, as its column was declared or compared; the output function
    // returns a C string in memory of the call.
    let text = unsafe {
        direct_function_call_as_datum(pg_sys::numeric_out, &[Some(value)])
            .map(|text| CStr::from_ptr(text.cast_mut_ptr()))
    };
    text.and_then(|text| text.to_str().ok())
        .unwrap_or_else(|| pgrx::error!("a numeric has no digits"))
}
