//! The one reader of a row's fields: how SQL hands each column over, and which value that is.
//!
//! Capture reads the rows of views with it, and so do previews, samples, audiences and pages: what a
//! page says of an event must be what the server says, to the last blank. It needs the settings of
//! [`READING`], so that texts do not follow the session's taste.

use capi_core::capture::Row;
use capi_core::field::{self, Kind};
use pgrx::pg_sys::{self, Oid};
use serde_json::Value;

use super::{clock, jsonb};
use crate::relation;
use crate::statement::Record;

/// The settings that rows are read with.
pub(crate) const READING: [(&str, &str); 7] = [
    ("search_path", "pg_catalog, pg_temp"),
    ("timezone", "UTC"),
    ("datestyle", "ISO, YMD"),
    ("intervalstyle", "postgres"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("standard_conforming_strings", "on"),
];

/// How the fields of a row are read.
#[derive(Default)]
pub(crate) struct Fields {
    columns: Vec<(&'static str, Form)>,
    expressions: Vec<String>,
    types: Vec<Oid>,
}

/// How a column comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As its text.
    Text,
    /// As a text of JSON.
    Json,
    /// As `jsonb`.
    Jsonb,
    /// As `timestamptz`.
    Time,
}

impl Fields {
    /// Adds a column if it is a field; `column` is how SQL names it. Returns a field whose kind has not
    /// this type: its text is read all the same.
    pub(crate) fn add(&mut self, name: &str, of: Oid, column: &str) -> Option<&'static str> {
        let known = field::find(name)?;
        self.add_as(known.name, known.kind, of, column)
    }

    /// Adds a column as a field of this kind.
    pub(crate) fn add_as(
        &mut self,
        name: &'static str,
        kind: Kind,
        of: Oid,
        column: &str,
    ) -> Option<&'static str> {
        // SAFETY: a look-up; what is no domain is its own base.
        let base = unsafe { pg_sys::getBaseType(of) };
        let (form, expression) = match base {
            pg_sys::TIMESTAMPTZOID if kind == Kind::Timestamp => (Form::Time, column.to_owned()),
            // As text, since `to_jsonb` fails for what `json` may hold and `jsonb` may not, such as half
            // an emoji, and an array may have such elements.
            _ if relation::category(of) == b'A' => (Form::Json, json_of(of, column)),
            pg_sys::JSONBOID => (Form::Jsonb, column.to_owned()),
            pg_sys::JSONOID => (Form::Json, format!("{column}::text")),
            pg_sys::DATEOID => (Form::Text, format!("to_char({column}, 'YYYY-MM-DD')")),
            _ => (Form::Text, relation::text_of(of, column)),
        };
        self.columns.push((name, form));
        self.expressions.push(expression);
        self.types.push(match form {
            Form::Time | Form::Jsonb => of,
            Form::Text | Form::Json => pg_sys::TEXTOID,
        });
        (!fits(kind, of)).then_some(name)
    }

    /// What a statement selects for the fields, each behind a comma.
    pub(crate) fn selected(&self) -> String {
        self.expressions.iter().flat_map(|e| [", ", e]).collect()
    }

    /// The types of that.
    pub(crate) fn types(&self) -> impl Iterator<Item = Oid> {
        self.types.iter().copied()
    }

    /// Whether there is a field of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.columns.iter().any(|(field, _)| *field == name)
    }

    /// The fields of a record, in which they begin at a column.
    pub(crate) fn row(&self, record: Record<'_>, begin: usize) -> Row {
        let fields = (begin..).zip(&self.columns);
        let value = |(at, (name, form)): (usize, &(&'static str, Form))| {
            Some((*name, form.value(record, at)?))
        };
        Row(fields.filter_map(value).collect())
    }
}

/// Most elements of an array that are read: more than any field takes.
const MOST_ELEMENTS: usize = 50_000;

/// An array as a text of JSON. Its elements by their output function where Postgres would look for a cast
/// to `json`, which may be anybody's function. Of too many elements the first are read.
fn json_of(of: Oid, column: &str) -> String {
    let json = |column: &str| {
        if relation::is_plain_json(of) {
            return format!("array_to_json({column})::text");
        }
        let text = relation::text_of(relation::element(of), "e");
        format!("(select json_agg({text})::text from unnest({column}) e)")
    };
    format!(
        "case when cardinality({column}) <= {MOST_ELEMENTS} then {} else {} end",
        json(column),
        json(&format!("({column})[:{MOST_ELEMENTS}]"))
    )
}

impl Form {
    /// The value of a column; none for null.
    fn value(self, row: Record<'_>, column: usize) -> Option<Value> {
        Some(match self {
            Self::Text => Value::String(jsonb::start_of(row.text(column)?).to_owned()),
            // What is JSON to Postgres and not to us has the wrong shape for every field.
            Self::Json => jsonb::read_text(row.text(column)?).unwrap_or(Value::Bool(false)),
            Self::Jsonb => jsonb::read(row.datum(column, pg_sys::JSONBOID)?),
            Self::Time => {
                let time: pg_sys::TimestampTz =
                    row.datum(column, pg_sys::TIMESTAMPTZOID)?.value().cast_signed() as i64;
                match time {
                    // Not a time that anything has happened at.
                    i64::MIN | i64::MAX => Value::String("infinity".to_owned()),
                    time => Value::from(clock::from_postgres(time).0),
                }
            }
        })
    }
}

/// Whether a column of this type can hold a field of this kind. A time without zone cannot: it would be
/// another instant in every zone.
pub(crate) fn fits(kind: Kind, of: Oid) -> bool {
    // SAFETY: a look-up; what is no domain is its own base.
    let base = unsafe { pg_sys::getBaseType(of) };
    let category = relation::category(base);
    let is_json = [pg_sys::JSONBOID, pg_sys::JSONOID].contains(&base);
    let is_number = category == b'N' && base != pg_sys::MONEYOID;
    match kind {
        Kind::Timestamp => base == pg_sys::TIMESTAMPTZOID,
        Kind::Number | Kind::Integer => is_number,
        Kind::Boolean => base == pg_sys::BOOLOID,
        // Rows with types of somebody's own come as texts, which no field takes.
        Kind::Json => {
            let elements = relation::element(of);
            is_json
                || category == b'A' && (!relation::is_row(elements) || relation::is_plain_json(of))
        }
        Kind::Consent => base == pg_sys::BOOLOID || is_json || category == b'S',
        Kind::Date => base == pg_sys::DATEOID || category == b'S',
        Kind::Identifier => b"SAE".contains(&category) || base == pg_sys::UUIDOID || is_number,
        Kind::Text => b"SEI".contains(&category) || base == pg_sys::UUIDOID || is_number,
    }
}

/// Whether a column of a type can hold a field of a kind.
#[pgrx::pg_extern(stable, parallel_safe, strict, name = "_type_fits")]
fn type_fits(kind: &str, of: Oid) -> bool {
    let known = field::FIELDS.iter().map(|field| field.kind).find(|known| known.as_str() == kind);
    // A number may be that of no type.
    known.is_some_and(|kind| relation::type_name(of).is_some() && fits(kind, of))
}
