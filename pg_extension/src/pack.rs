//! An event of the outbox as one value for the sidecar: no JSON is written here and none parsed there.

use std::ffi::CStr;

use capi_core::event::packed::{Packer, TooLarge};
use pgrx::pg_sys::{self, Datum};
use pgrx::prelude::*;
use pgrx::{direct_function_call_as_datum, varlena};

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
    let argument = |at: usize| unsafe {
        let argument = &(*fcinfo).args.as_slice(9)[at];
        (!argument.isnull).then_some(argument.value)
    };
    let text = |at| argument(at).map(text);
    let (
        Some(id),
        Some(time),
        Some(name),
        Some(event_id),
        Some(source),
        Some(identity),
        Some(facts),
    ) = (argument(0), argument(1), text(2), text(3), text(4), argument(7), argument(8))
    else {
        return None;
    };
    let value = argument(5).map(numeric);
    let value = value.map(|text| text.to_str().expect("a numeric is ASCII"));
    let time = clock::from_postgres(time.value() as i64);
    let packed = || -> Result<Vec<u8>, TooLarge> {
        let mut packer = Packer::into_buffer(Vec::with_capacity(2_048));
        packer.head(id.value() as i64, time, name, event_id, source, value, text(6))?;
        jsonb::pack(identity, &mut packer)?;
        jsonb::pack(facts, &mut packer)?;
        Ok(packer.into_bytes())
    };
    // What cannot be packed costs the event and not its batch: nobody can read it.
    Some(packed().unwrap_or_default())
}

/// A text where it lies; a long one is fetched into the memory of the call.
fn text<'a>(value: Datum) -> &'a str {
    // SAFETY: the datum is a text, which is as long as it says and stays for the call.
    let bytes = unsafe {
        let value = pg_sys::pg_detoast_datum_packed(value.cast_mut_ptr());
        let (start, length) = (varlena::vardata_any(value), varlena::varsize_any_exhdr(value));
        std::slice::from_raw_parts(start.cast::<u8>(), length)
    };
    jsonb::utf8(bytes)
}

/// The digits of a numeric.
fn numeric<'a>(value: Datum) -> &'a CStr {
    // SAFETY: the output function of numeric takes one and returns a C string, never null.
    unsafe {
        let text = direct_function_call_as_datum(pg_sys::numeric_out, &[Some(value)]);
        CStr::from_ptr(text.expect("a numeric has digits").cast_mut_ptr())
    }
}
