//! A row that the caller has read himself: its fields and its event, as capture reads and takes them.

use capi_core::capture::{Row, event_text};
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::prelude::*;
use pgrx::{AnyElement, Json, JsonB, spi};
use serde_json::{Map, Value, json};

use super::fields::{Fields, READING};
use super::guard::{Ending, Failure, subtransaction, with_settings};
use super::jsonb;
use super::key;
use crate::statement::{Argument, Rows, Statement};

/// A column of a row.
struct Column {
    name: String,
    of: Oid,
    collation: Oid,
    value: Argument,
}

/// The fields of a row, by name, as capture reads them; null for what is no row. A field that cannot be
/// read is left out: a page goes on without it.
#[pg_extern(stable, strict, name = "_read")]
fn read(row: AnyElement) -> Json {
    Json(match columns(&row) {
        Some(columns) => Value::Object(object(fields(&columns))),
        None => document(&row),
    })
}

/// What finds the event of a row: `event_name` and `event_id` where capture would take them, and in
/// `key` the texts of the columns that a key may have.
#[pg_extern(stable, strict, name = "_event_of")]
fn event_of(row: AnyElement) -> JsonB {
    let (fields, keys) = match columns(&row) {
        Some(columns) => {
            let event = |column: &&Column| column.name.starts_with("event_");
            (fields(columns.iter().filter(event)), spelled(&columns))
        }
        None => match document(&row) {
            Value::Object(map) => (Row::from_object(map), Map::new()),
            _ => (Row::default(), Map::new()),
        },
    };
    let text = |field| event_text(&fields, field).map_or(Value::Null, Value::String);
    JsonB(json!({"event_name": text("event_name"), "event_id": text("event_id"), "key": keys}))
}

/// What is given instead of a row: an object of fields, or nothing that can be read.
fn document(given: &AnyElement) -> Value {
    // SAFETY: each datum is read as the type that it has.
    let value = unsafe {
        match given.oid() {
            pg_sys::JSONBOID => given.into::<jsonb::Json>().map(|jsonb::Json(value)| value),
            pg_sys::JSONOID => given.into::<jsonb::JsonText>().map(|jsonb::JsonText(value)| value),
            _ => None,
        }
    };
    value.unwrap_or(Value::Null)
}

/// The columns of a composite value; none where it is another one.
fn columns(row: &AnyElement) -> Option<Vec<Column>> {
    // SAFETY: a value of a composite type, or a domain over one, is a tuple with its type in its header;
    // what was taken from the tuple lives as long as the call.
    unsafe {
        let base = pg_sys::getBaseType(row.oid());
        if !pg_sys::type_is_rowtype(base) {
            return None;
        }
        let tuple = pg_sys::pg_detoast_datum(row.datum().cast_mut_ptr());
        let header = tuple.cast::<pg_sys::HeapTupleHeaderData>();
        let of = (*header).t_choice.t_datum;
        let shape = pg_sys::lookup_rowtype_tupdesc_copy(of.datum_typeid, of.datum_typmod);
        let shape = pgrx::tupdesc::PgTupleDesc::from_pg_unchecked(shape);
        let mut whole = pg_sys::HeapTupleData {
            t_len: u32::try_from(pgrx::varlena::varsize_any(tuple)).ok()?,
            t_data: header,
            ..Default::default()
        };
        let mut values = vec![Datum::from(0); shape.len()];
        let mut nulls = vec![true; shape.len()];
        pg_sys::heap_deform_tuple(
            &raw mut whole,
            shape.as_ptr(),
            values.as_mut_ptr(),
            nulls.as_mut_ptr(),
        );
        let columns = shape.iter().zip(values.into_iter().zip(nulls));
        Some(
            columns
                .filter(|(column, _)| !column.attisdropped)
                .map(|(column, (value, is_null))| Column {
                    name: column.name().to_owned(),
                    of: column.atttypid,
                    collation: column.attcollation,
                    value: (!is_null).then_some(value),
                })
                .collect(),
        )
    }
}

fn object(row: Row) -> Map<String, Value> {
    row.0.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The fields that are among the columns.
fn fields<'a>(columns: impl IntoIterator<Item = &'a Column>) -> Row {
    let columns: Vec<&Column> = columns.into_iter().collect();
    match attempt(&columns) {
        Ok(row) => row,
        Err(failure) if failure.must_not_be_swallowed() => failure.rethrow(),
        // One of them cannot be read.
        Err(_) => {
            let each = columns.iter().filter_map(|column| attempt(&[column]).ok());
            Row(each.flat_map(|row| row.0).collect())
        }
    }
}

fn attempt(columns: &[&Column]) -> Result<Row, Failure> {
    subtransaction(Ending::Keep, || {
        with_settings(&READING, || {
            let mut fields = Fields::default();
            for (n, column) in (1..).zip(columns) {
                fields.add(&column.name, column.of, &format!("${n}"));
            }
            let mut types = vec![pg_sys::TEXTOID];
            types.extend(fields.types());
            let text = format!("select null::text{}", fields.selected());
            ask(columns, text, types, |mut rows| {
                rows.next().map(|row| fields.row(row, 1)).unwrap_or_default()
            })
        })
    })
}

/// The columns as texts of keys, by name; those that have one.
fn spelled(columns: &[Column]) -> Map<String, Value> {
    let mut texts = Map::new();
    for column in columns {
        let Some(template) = key::spelling(column.of, column.collation) else { continue };
        let text = format!("select ({})::text", template.replace("%1$s", "$1"));
        let spelled = subtransaction(Ending::Keep, || {
            with_settings(&READING, || {
                ask(&[column], text, vec![pg_sys::TEXTOID], |mut rows| {
                    rows.next().and_then(|row| row.text(0).map(str::to_owned))
                })
            })
        });
        match spelled {
            Ok(spelled) => {
                texts.insert(column.name.clone(), spelled.map_or(Value::Null, Value::String));
            }
            Err(failure) if failure.must_not_be_swallowed() => failure.rethrow(),
            Err(_) => {}
        }
    }
    texts
}

/// Runs a statement whose parameters are the columns.
fn ask<T>(
    columns: &[&Column],
    text: String,
    types: Vec<Oid>,
    read: impl FnOnce(Rows<'_>) -> T,
) -> T {
    let given = columns.iter().map(|column| column.of).collect();
    let arguments: Vec<Argument> = columns.iter().map(|column| column.value).collect();
    let statement = Statement::of_parameters(text, given, types);
    Spi::connect_mut(|client| Ok::<_, spi::Error>(read(statement.run(client, &arguments)?)))
        .unwrap_or_else(|e| pgrx::error!("a row cannot be read: {e}"))
}
