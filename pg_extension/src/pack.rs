//! An event of the outbox as one value for the sidecar: no JSON is written here and none parsed there.

use std::ffi::CStr;

use capi_core::event::packed::{BatchPacker, Packer, TooLarge};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys::{self, Datum};
use pgrx::prelude::*;
use pgrx::{direct_function_call_as_datum, varlena};

use crate::batch::{Reading, each_event, reading};
use crate::capture::{clock, jsonb};

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
    let arguments = unsafe { (*fcinfo).args.as_slice(COLUMNS) };
    let column = |at: usize| {
        let argument = &arguments[at];
        (!argument.isnull).then_some(argument.value)
    };
    let mut packer = Packer::into_buffer(Vec::with_capacity(2_048));
    let written = write(column, &mut packer)?;
    // What cannot be packed costs the event and not its batch: nobody can read it.
    Some(written.map(|()| packer.into_bytes()).unwrap_or_default())
}

/// The columns of an event that are packed, in the order of `capi._pack`.
const COLUMNS: usize = 9;

/// Writes an event by its columns; none where one of them is null that never is.
fn write(column: impl Fn(usize) -> Option<Datum>, to: &mut Packer) -> Option<Result<(), TooLarge>> {
    let id = column(0)?.value() as i64;
    let time = clock::from_postgres(column(1)?.value() as i64);
    let [name, event_id, source] = [text(column(2)?), text(column(3)?), text(column(4)?)];
    let value = column(5).map(numeric);
    let value = value.map(|text| text.to_str().expect("a numeric is ASCII"));
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
             o.identity, o.facts"
        )
    };
}

/// About so many bytes in a piece: Postgres copies a value several times before it is sent, each time
/// into memory that the system has to clear for it, unless it is small.
const PIECE: usize = 64 * 1024;

/// These events, captured between these times, in pieces of a batch with at most so many bytes of
/// events. One that is not in the outbox is left out.
#[pg_extern(stable, name = "_pack_batch")]
#[expect(clippy::needless_pass_by_value, reason = "SQL arguments come by value")]
fn pack_batch(
    events: Vec<i64>,
    captured_from: TimestampWithTimeZone,
    captured_to: TimestampWithTimeZone,
    room: i32,
) -> SetOfIterator<'static, Vec<u8>> {
    let mut batch = BatchPacker::new(PIECE, usize::try_from(room).unwrap_or_default());
    let read = each_event(&EVENTS, &events, (captured_from, captured_to), |id, row| {
        // None of the columns is null that must not be.
        batch.event(id, |packer| write(|at| row.datum(at), packer).unwrap_or(Err(TooLarge)))
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
fn numeric<'a>(value: Datum) -> &'a CStr {
    // SAFETY: the output function of numeric takes one and returns a C string, never null.
    unsafe {
        let text = direct_function_call_as_datum(pg_sys::numeric_out, &[Some(value)]);
        CStr::from_ptr(text.expect("a numeric has digits").cast_mut_ptr())
    }
}
