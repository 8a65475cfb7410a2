//! Names, owners and types from the catalog, looked up by number: a number stays when a name changes.

use std::ffi::{CStr, c_char};

use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::{PgRelation, spi};

/// The owner of a relation; none if it is gone.
pub(crate) fn owner(relation: Oid) -> Option<Oid> {
    // SAFETY: a look-up in the system cache; the tuple is released before return.
    unsafe {
        let id = pg_sys::SysCacheIdentifier::RELOID as i32;
        let tuple = pg_sys::SearchSysCache1(id, Datum::from(relation));
        if tuple.is_null() {
            return None;
        }
        let class = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_class>();
        let owner = (*class).relowner;
        pg_sys::ReleaseSysCache(tuple);
        Some(owner)
    }
}

/// The quoted name of a relation with its schema; none if it is gone.
pub(crate) fn qualified_name(relation: Oid) -> Option<String> {
    // SAFETY: look-ups in the system cache; what is missing is null.
    unsafe {
        let name = pg_sys::get_rel_name(relation);
        if name.is_null() {
            return None;
        }
        quoted(pg_sys::get_rel_namespace(relation), name)
    }
}

/// The quoted name of a type with its schema; none if it is gone.
pub(crate) fn type_name(of: Oid) -> Option<String> {
    // SAFETY: a look-up in the system cache; the tuple is released after its name was copied.
    unsafe {
        let id = pg_sys::SysCacheIdentifier::TYPEOID as i32;
        let tuple = pg_sys::SearchSysCache1(id, Datum::from(of));
        if tuple.is_null() {
            return None;
        }
        let row = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_type>();
        let name = quoted((*row).typnamespace, (*row).typname.data.as_ptr());
        pg_sys::ReleaseSysCache(tuple);
        name
    }
}

/// The operator by which values of a type are equal, as `operator(schema.=)`: the schema of an
/// extension is in nobody's pinned path.
pub(crate) fn equality(of: Oid) -> Option<String> {
    // SAFETY: look-ups in the caches; the operator's tuple is released after its name was copied.
    unsafe {
        let entry = pg_sys::lookup_type_cache(of, pg_sys::TYPECACHE_EQ_OPR as i32);
        let id = pg_sys::SysCacheIdentifier::OPEROID as i32;
        let tuple = pg_sys::SearchSysCache1(id, Datum::from((*entry).eq_opr));
        if tuple.is_null() {
            return None;
        }
        let row = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_operator>();
        let schema = text(pg_sys::get_namespace_name((*row).oprnamespace));
        let name = text((*row).oprname.data.as_ptr());
        pg_sys::ReleaseSysCache(tuple);
        Some(format!("operator({}.{})", spi::quote_identifier(schema?), name?))
    }
}

/// The category of a type, `A` for arrays; a domain has its base type's. Zero if it is gone.
pub(crate) fn category(of: Oid) -> u8 {
    // SAFETY: a look-up in the system cache; the tuple is released before return.
    unsafe {
        let id = pg_sys::SysCacheIdentifier::TYPEOID as i32;
        let tuple = pg_sys::SearchSysCache1(id, Datum::from(of));
        if tuple.is_null() {
            return 0;
        }
        let row = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_type>();
        let category = (*row).typcategory.cast_unsigned();
        pg_sys::ReleaseSysCache(tuple);
        category
    }
}

/// Whether a type is Postgres' own, or a domain over one. Of another one a cast may be anybody's function:
/// who owns a type may make casts of it.
pub(crate) fn is_built_in(of: Oid) -> bool {
    // SAFETY: a look-up; what is no domain is its own base.
    let base = unsafe { pg_sys::getBaseType(of) };
    base.to_u32() < pg_sys::FirstNormalObjectId
}

/// The text of a column as SQL, by the output function of its type: a cast would run whatever function
/// the type's owner has made for it.
pub(crate) fn text_of(of: Oid, column: &str) -> String {
    if is_built_in(of) { format!("{column}::text") } else { TEXT.replace("%1$s", column) }
}

/// The same as a template of `format`.
pub(crate) const TEXT: &str = "case when %1$s is distinct from null then concat(%1$s) end";

/// Whether JSON of values of a type is made by Postgres alone: where it is not, casts to `json` are looked
/// up, at any depth of rows and arrays.
pub(crate) fn is_plain_json(of: Oid) -> bool {
    // SAFETY: look-ups in the system cache; what is no array has no elements, and what is no row no columns.
    unsafe {
        let base = pg_sys::getBaseType(of);
        let (element, row) = (pg_sys::get_element_type(base), pg_sys::get_typ_typrelid(base));
        if element != pg_sys::InvalidOid {
            return is_plain_json(element);
        }
        if row == pg_sys::InvalidOid {
            return is_built_in(base);
        }
        columns(row).into_iter().all(|(_, of)| is_plain_json(of))
    }
}

/// The elements' type of an array; of a domain over one, too.
pub(crate) fn element(of: Oid) -> Oid {
    // SAFETY: look-ups in the system cache.
    unsafe { pg_sys::get_element_type(pg_sys::getBaseType(of)) }
}

/// Whether a type is made of columns.
pub(crate) fn is_row(of: Oid) -> bool {
    // SAFETY: look-ups in the system cache.
    unsafe { pg_sys::get_typ_typrelid(pg_sys::getBaseType(of)) != pg_sys::InvalidOid }
}

/// Number of the column `pg_cast.castfunc`, an oid; zero where a cast calls none.
const CASTFUNC: pg_sys::AttrNumber = 4;

/// The owner of the function that a cast calls; none where there is no such cast, or none that calls one.
pub(crate) fn cast_owner(from: Oid, to: Oid) -> Option<Oid> {
    // SAFETY: look-ups in the system cache; each tuple is released after its values were copied.
    unsafe {
        let id = pg_sys::SysCacheIdentifier::CASTSOURCETARGET as i32;
        let tuple = pg_sys::SearchSysCache2(id, Datum::from(from), Datum::from(to));
        if tuple.is_null() {
            return None;
        }
        let mut is_null = false;
        let function = pg_sys::SysCacheGetAttr(id, tuple, CASTFUNC, &raw mut is_null);
        pg_sys::ReleaseSysCache(tuple);
        let id = pg_sys::SysCacheIdentifier::PROCOID as i32;
        let tuple = pg_sys::SearchSysCache1(id, function);
        if tuple.is_null() {
            return None;
        }
        let owner = (*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_proc>()).proowner;
        pg_sys::ReleaseSysCache(tuple);
        Some(owner)
    }
}

/// Name and type of each column of a relation, which stays locked as reading it locks it.
///
/// The relation must be there: whoever calls has just found it.
pub(crate) fn columns(relation: Oid) -> Vec<(String, Oid)> {
    // Reading the catalog with a query would cost a new backend more than everything else at loading.
    // SAFETY: an error is raised where the relation is gone.
    let relation =
        unsafe { PgRelation::with_lock(relation, pg_sys::AccessShareLock as pg_sys::LOCKMODE) };
    let columns = relation.tuple_desc();
    let there = columns.iter().filter(|column| !column.attisdropped);
    there.map(|column| (column.name().to_owned(), column.atttypid)).collect()
}

/// A name with its schema, both quoted where they need it.
///
/// # Safety
///
/// `name` is a C string.
unsafe fn quoted(schema: Oid, name: *const c_char) -> Option<String> {
    // SAFETY: a look-up in the system cache, and strings that Postgres has made.
    unsafe {
        let schema = text(pg_sys::get_namespace_name(schema))?;
        Some(spi::quote_qualified_identifier(schema, text(name)?))
    }
}

/// # Safety
///
/// Null or a C string that lives as long as the text is used.
unsafe fn text<'a>(name: *const c_char) -> Option<&'a str> {
    // SAFETY: see above.
    (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) })?.to_str().ok()
}
