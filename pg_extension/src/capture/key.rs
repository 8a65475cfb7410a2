//! The one spelling of a key. What the trigger notes, what the view shows and what a person types must
//! be one text, or a withdrawal is for another row than the event.

use std::ffi::CString;

use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::prelude::*;

use super::fields::READING;
use super::guard::{Ending, subtransaction, with_settings};
use super::pending::Keys;
use crate::error::{Error, all_given};
use crate::relation::{self, type_name};
use crate::statement::Statement;

/// How a type is spelled, as a template of `format`: equal values have one text, which is a text of
/// the type, whatever the session's settings. Types that are spelled as they are cast to text are those
/// of which equal values have equal bytes, see [`spelling`].
const SPELLINGS: &[(Oid, &str)] = &[
    // 1 is 1.00.
    (pg_sys::NUMERICOID, "trim_scale(%1$s)::text"),
    // All digits, and no negative zero.
    (pg_sys::FLOAT4OID, FLOAT),
    (pg_sys::FLOAT8OID, FLOAT),
    // Like `bytea_output = hex`.
    (pg_sys::BYTEAOID, "E'\\\\x' || encode(%1$s, 'hex')"),
    // JSON writes days and times in one way, all but a T and the offset of a zone.
    (pg_sys::DATEOID, "(to_json(%1$s) #>> '{}')"),
    (pg_sys::TIMESTAMPOID, "replace(to_json(%1$s) #>> '{}', 'T', ' ')"),
    (
        pg_sys::TIMESTAMPTZOID,
        "case when isfinite(%1$s) \
         then replace(to_json(%1$s at time zone 'UTC') #>> '{}', 'T', ' ') || '+00' \
         else %1$s::text end",
    ),
];

const FLOAT: &str = "case when %1$s = 'NaN' or abs(%1$s) = 'Infinity' then %1$s::text \
    else trim_scale(to_char(%1$s::float8, '9.9999999999999999EEEE')::numeric)::text end";

/// Without regard to case, as the type compares.
const CITEXT: &str = "lower(%1$s::text collate \"default\")";

/// Follows `lc_monetary`.
const NEVER: &[Oid] = &[pg_sys::MONEYOID];

/// Number of the support function that says whether equal values have equal bytes (`access/nbtree.h`).
const EQUAL_IMAGE: i16 = 4;

/// The template of a key type, with a column of this collation; none where keys of it have no one
/// spelling.
pub(super) fn spelling(of: Oid, collation: Oid) -> Option<&'static str> {
    // SAFETY: a look-up; what is no domain is its own base.
    let base = unsafe { pg_sys::getBaseType(of) };
    if let Some((_, template)) = SPELLINGS.iter().find(|(known, _)| *known == base) {
        return Some(template);
    }
    match () {
        () if NEVER.contains(&base) => None,
        () if is_citext(base) => Some(CITEXT),
        () if !has_equal_image(base, collation) => None,
        () => Some(text(base)),
    }
}

/// The same, or just the text.
pub(super) fn spelling_or_text(of: Oid, collation: Oid) -> &'static str {
    spelling(of, collation).unwrap_or_else(|| text(of))
}

fn text(of: Oid) -> &'static str {
    if relation::is_built_in(of) { "%1$s::text" } else { relation::TEXT }
}

fn is_citext(of: Oid) -> bool {
    // SAFETY: look-ups in the catalog; a missing extension has no name.
    unsafe {
        let extension = pg_sys::getExtensionOfObject(pg_sys::TypeRelationId, of);
        let name = pg_sys::get_extension_name(extension);
        !name.is_null()
            && std::ffi::CStr::from_ptr(name) == c"citext"
            && relation::category(of) == b'S'
    }
}

fn has_equal_image(of: Oid, collation: Oid) -> bool {
    // SAFETY: look-ups in the catalog, and a support function that is called as btree calls it.
    unsafe {
        let class = pg_sys::GetDefaultOpClass(of, pg_sys::BTREE_AM_OID);
        if class == pg_sys::InvalidOid {
            return false;
        }
        let (family, input) =
            (pg_sys::get_opclass_family(class), pg_sys::get_opclass_input_type(class));
        let support = pg_sys::get_opfamily_proc(family, input, input, EQUAL_IMAGE);
        support != pg_sys::InvalidOid
            && pg_sys::OidFunctionCall1Coll(support, collation, Datum::from(input)).value() as u8
                != 0
    }
}

/// How keys of a type with a collation are spelled, as a template of `format`; null where they have no
/// one spelling.
#[pg_extern(stable, parallel_safe, strict, name = "_spelling")]
fn key_spelling(of: Oid, collation: Oid) -> Option<&'static str> {
    // Of no type that there is.
    type_name(of)?;
    spelling(of, collation)
}

/// A key of columns of these types as it is spelled in the outbox: a text, or a JSON array of texts.
#[pg_extern(stable, strict, name = "_spell")]
fn spell(types: Vec<Option<Oid>>, key: &str) -> String {
    let types = all_given(types, "types");
    let texts = match types.as_slice() {
        [_] => Some(vec![key.to_owned()]),
        _ => serde_json::from_str(key).ok(),
    };
    let are_types = types.iter().all(|of| type_name(*of).is_some());
    let texts = texts.filter(|texts: &Vec<String>| are_types && texts.len() == types.len());
    let Some(texts) = texts else { Error::NotAKey.raise() };
    // What the input functions say would quote the key.
    let spelled = subtransaction(Ending::Keep, || {
        with_settings(&READING, || {
            types.iter().zip(&texts).map(|(of, text)| spelled(*of, text)).collect::<Vec<_>>()
        })
    });
    match spelled {
        Ok(spelled) => Keys::Texts(vec![spelled]).texts().concat(),
        Err(failure) if failure.must_not_be_swallowed() => failure.rethrow(),
        Err(_) => Error::NotAKey.raise(),
    }
}

/// A text of a type as keys of the type are spelled.
fn spelled(of: Oid, text: &str) -> String {
    // A domain's checks are somebody's functions, and a row that is there has passed them.
    // SAFETY: a look-up; what is no domain is its own base.
    let of = unsafe { pg_sys::getBaseType(of) };
    let Ok(text) = CString::new(text) else { Error::NotAKey.raise() };
    // SAFETY: the type's own input function, called as Postgres calls it for a literal.
    let value = unsafe {
        let (mut input, mut parameter) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
        pg_sys::getTypeInputInfo(of, &raw mut input, &raw mut parameter);
        pg_sys::OidInputFunctionCall(input, text.as_ptr().cast_mut(), parameter, -1)
    };
    // SAFETY: a look-up of an existing type.
    let collation = unsafe { pg_sys::get_typcollation(of) };
    let template = spelling_or_text(of, collation);
    let query = format!("select {}", template.replace("%1$s", "$1"));
    let statement = Statement::of_parameters(query, vec![of], vec![pg_sys::TEXTOID]);
    Spi::connect_mut(|client| {
        let mut rows = statement.run(client, &[Some(value)])?;
        let text = rows.next().and_then(|row| row.text(0).map(str::to_owned));
        Ok::<_, pgrx::spi::Error>(text.unwrap_or_default())
    })
    .unwrap_or_else(|e| pgrx::error!("a key cannot be spelled: {e}"))
}
