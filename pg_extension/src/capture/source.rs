//! What a backend knows of a tracked source: its view, whose rights read it, how to read it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::{CStr, c_char};
use std::rc::Rc;

use capi_core::capture::{Options, Row};
use capi_core::field::{self, Kind};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::prelude::*;
use pgrx::spi::SpiClient;
use pgrx::{JsonB, PgRelation, spi};
use serde_json::Value;

use super::consent::Word;
use super::guard::{as_reader, as_role};
use super::pending::Keys;
use super::{clock, jsonb};
use crate::era::era;
use crate::error::Error;
use crate::statement::{Record, Statement, argument};

/// A tracked source, as loaded from `capi.source`.
pub(super) struct Source {
    pub(super) id: i32,
    /// Name of the first tracking; part of the event key.
    pub(super) name: String,
    pub(super) version: i32,
    pub(super) era: i64,
    /// Whether rows of a table are captured.
    pub(super) tracked: bool,
    /// Whether events without a row are taken.
    pub(super) emits: bool,
    /// Roles that may emit here; anybody who may call `capi.emit` where there are none.
    callers: Vec<String>,
    /// Whether an error of capture aborts the order.
    pub(super) abort: bool,
    pub(super) options: Options,
    /// Owner of the schema `capi`.
    pub(super) owner: pg_sys::Oid,
    /// The salt of forgotten persons' digests, if anybody was ever forgotten.
    pub(super) salt: Option<Vec<u8>>,
    view_owner: pg_sys::Oid,
    shape: KeyShape,
    columns: Vec<Column>,
    /// Quoted and qualified.
    view: String,
    /// Reads the rows of any number of keys.
    many: Statement,
    /// Reads the rows of one key, which is what most transactions change; for keys of one column.
    one: Option<Statement>,
}

/// How the key reads.
enum KeyShape {
    /// One integer column: its name.
    Integer(String),
    /// Other columns: name and qualified type.
    Texts(Vec<(String, String)>),
}

struct Column {
    field: &'static str,
    form: Form,
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
    /// As the text of microseconds since 1970.
    Micros,
}

thread_local! {
    /// Emitters by the name that a caller gave.
    static EMITTERS: RefCell<HashMap<Option<String>, i32>> = RefCell::new(HashMap::new());
    static SOURCES: RefCell<HashMap<i32, Rc<Source>>> = RefCell::new(HashMap::new());
    /// Relations whose change makes the cache stale: `capi.source` and the views.
    static WATCHED: RefCell<Vec<pg_sys::Oid>> = const { RefCell::new(Vec::new()) };
    static STALE: Cell<bool> = const { Cell::new(false) };
}

pub(super) fn register() {
    // SAFETY: called once per backend from _PG_init.
    unsafe {
        pg_sys::CacheRegisterRelcacheCallback(Some(at_invalidation), pg_sys::Datum::from(0));
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn at_invalidation(_arg: pg_sys::Datum, relation: pg_sys::Oid) {
    // Only a flag: plans must not be freed while one of them may be running.
    let concerned = WATCHED.with(|watched| match watched.try_borrow() {
        Ok(watched) => relation == pg_sys::InvalidOid || watched.contains(&relation),
        Err(_) => true,
    });
    if concerned {
        STALE.set(true);
    }
}

/// Makes every backend load its sources anew once this transaction has committed.
pub(super) fn invalidate_everywhere() {
    if let Some(relation) = relation_oid("source") {
        // SAFETY: the relation exists; the message is sent at commit.
        unsafe { pg_sys::CacheInvalidateRelcacheByRelid(relation) };
    }
}

/// Drops what is stale. Called before anything is read, never in between.
pub(super) fn refresh() {
    if STALE.replace(false) {
        SOURCES.with_borrow_mut(HashMap::clear);
        EMITTERS.with_borrow_mut(HashMap::clear);
        WATCHED.with_borrow_mut(Vec::clear);
    }
}

/// Drops everything before the next drain.
pub(super) fn forget() {
    STALE.set(true);
}

/// The source of this id; `None` when there is no such.
pub(super) fn get(id: i32) -> Option<Rc<Source>> {
    if let Some(known) = SOURCES.with_borrow(|sources| sources.get(&id).cloned()) {
        return Some(known);
    }
    let (owner, sources) = (owner()?, relation_oid("source")?);
    let loaded = as_role(owner, || Spi::connect(|client| load(client, id, owner)))
        .unwrap_or_else(|e| pgrx::error!("source cannot be read: {e}"));
    let (source, view) = loaded?;
    let source = Rc::new(source);
    WATCHED.with_borrow_mut(|watched| watched.extend([sources, view]));
    SOURCES.with_borrow_mut(|sources| sources.insert(id, Rc::clone(&source)));
    Some(source)
}

/// The emitter of this name, or without a name the only one.
pub(super) fn emitter(name: Option<&str>) -> Option<Rc<Source>> {
    let name = name.map(str::to_owned);
    if let Some(id) = EMITTERS.with_borrow(|known| known.get(&name).copied()) {
        return get(id);
    }
    let query = "select array_agg(s.source) from capi.source s
        where s.relation is null and case when $1 is null then s.tracked else s.name = $1 end";
    let found = as_role(owner()?, || {
        Spi::get_one_with_args::<Vec<i32>>(query, &[name.clone().into()])
            .unwrap_or_else(|e| pgrx::error!("emitters cannot be read: {e}"))
    });
    let [id] = found?[..] else { return None };
    let source = get(id)?;
    EMITTERS.with_borrow_mut(|known| known.insert(name, id));
    Some(source)
}

/// The owner of the schema's tables.
pub(super) fn owner() -> Option<pg_sys::Oid> {
    let relation = relation_oid("outbox")?;
    // SAFETY: a look-up in the system cache; the tuple is released before return.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(
            pg_sys::SysCacheIdentifier::RELOID as i32,
            pg_sys::Datum::from(relation),
        );
        if tuple.is_null() {
            return None;
        }
        let class = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_class>();
        let owner = (*class).relowner;
        pg_sys::ReleaseSysCache(tuple);
        Some(owner)
    }
}

/// Whether a table of the schema has ever had a row since it was last emptied: what is visible
/// stands on a page of the file.
pub(super) fn has_pages(name: &str) -> bool {
    relation_oid(name).is_none_or(|relation| {
        // SAFETY: the table exists; the lock is the one that reading it takes.
        unsafe {
            let relation =
                PgRelation::with_lock(relation, pg_sys::AccessShareLock as pg_sys::LOCKMODE);
            let main = pg_sys::ForkNumber::MAIN_FORKNUM;
            pg_sys::RelationGetNumberOfBlocksInFork(relation.as_ptr(), main) > 0
        }
    })
}

fn relation_oid(name: &str) -> Option<pg_sys::Oid> {
    let name = std::ffi::CString::new(name).expect("no zero byte");
    // SAFETY: look-ups by valid names; missing ones are reported as InvalidOid.
    let oid = unsafe {
        let schema = pg_sys::get_namespace_oid(c"capi".as_ptr(), true);
        pg_sys::get_relname_relid(name.as_ptr(), schema)
    };
    (oid != pg_sys::InvalidOid).then_some(oid)
}

fn load(
    client: &SpiClient<'_>,
    id: i32,
    owner: pg_sys::Oid,
) -> Result<Option<(Source, pg_sys::Oid)>, spi::Error> {
    let found = client.select(
        "select s.name, s.version, s.tracked, s.options, s.key_columns, s.conversions::oid, i.generation,
            case when exists (select from capi.forgotten) then i.salt end
        from capi.source s
        cross join capi.installation i
        where s.source = $1",
        Some(1),
        &[id.into()],
    )?;
    if found.is_empty() {
        return Ok(None);
    }
    let row = found.first();
    let missing = || spi::Error::InvalidPosition;
    let options = row.get::<JsonB>(4)?.ok_or_else(missing)?.0;
    let key_columns = row.get::<Vec<String>>(5)?.ok_or_else(missing)?;
    let view = row.get::<pg_sys::Oid>(6)?;
    let is_emitter = view.is_none();
    // Of an emitter nothing is read; what has rights of its own here stands for the view.
    let view = view.or_else(|| relation_oid("source")).ok_or_else(missing)?;
    let Some(view_name) = qualified_name(view) else { Error::ViewGone.raise() };
    // Reading the catalog with a query would cost a new backend more than everything else here.
    // SAFETY: the view exists, see above; the lock is the one that reading it takes.
    let relation =
        unsafe { PgRelation::with_lock(view, pg_sys::AccessShareLock as pg_sys::LOCKMODE) };
    // SAFETY: an open relation has its row of pg_class.
    let view_owner = unsafe { (*relation.rd_rel).relowner };

    let mut keys = Vec::new();
    let mut columns = Vec::new();
    let mut expressions = Vec::new();
    for attribute in relation.tuple_desc().iter().filter(|a| !a.attisdropped) {
        let name = attribute.name().to_owned();
        let exact = attribute.atttypid;
        // SAFETY: the type of a column exists.
        let (base, category) = unsafe { (pg_sys::getBaseType(exact), category(exact)) };
        if key_columns.contains(&name) {
            // As the triggers judge it: a domain over an integer is noted as text.
            keys.push((name.clone(), exact));
        }
        let Some(known) = field::find(&name) else { continue };
        let column = format!("v.{}", spi::quote_identifier(&name));
        let (form, expression) = match () {
            () if known.kind == Kind::Timestamp && base == pg_sys::TIMESTAMPTZOID => {
                (Form::Time, column)
            }
            () if known.kind == Kind::Timestamp => {
                (Form::Micros, format!("(extract(epoch from {column}) * 1000000)::bigint::text"))
            }
            () if category == b'A' => (Form::Jsonb, format!("to_jsonb({column})")),
            () if base == pg_sys::JSONBOID => (Form::Jsonb, column),
            () if base == pg_sys::JSONOID => (Form::Json, format!("{column}::text")),
            () if base == pg_sys::DATEOID => {
                (Form::Text, format!("to_char({column}, 'YYYY-MM-DD')"))
            }
            () => (Form::Text, format!("{column}::text")),
        };
        columns.push(Column { field: known.name, form });
        expressions.push(expression);
    }
    // In the order of the primary key, which is the order in which the triggers note.
    keys.sort_by_key(|(name, _)| key_columns.iter().position(|k| k == name));
    let integers = [pg_sys::INT2OID, pg_sys::INT4OID, pg_sys::INT8OID];
    let shape = match keys.as_slice() {
        [(name, exact)] if integers.contains(exact) => KeyShape::Integer(name.clone()),
        _ => KeyShape::Texts(keys.into_iter().map(|(name, of)| (name, type_name(of))).collect()),
    };
    let types = match &shape {
        KeyShape::Integer(_) => vec![pg_sys::INT8ARRAYOID],
        KeyShape::Texts(keys) => vec![pg_sys::TEXTARRAYOID; keys.len()],
    };
    let many = Statement::new(select(&shape, &expressions, &view_name), types);
    let key_type = match &shape {
        KeyShape::Integer(_) => pg_sys::INT8OID,
        KeyShape::Texts(_) => pg_sys::TEXTOID,
    };
    let one = select_one(&shape, &expressions, &view_name)
        .map(|text| Statement::new(text, vec![key_type]));
    let tracked = row.get::<bool>(3)?.ok_or_else(missing)?;
    let source = Source {
        id,
        name: row.get::<String>(1)?.ok_or_else(missing)?,
        version: row.get::<i32>(2)?.ok_or_else(missing)?,
        tracked: tracked && !is_emitter,
        emits: tracked && is_emitter,
        callers: options.get("callers").and_then(Value::as_array).map_or_else(Vec::new, |names| {
            names.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }),
        abort: options.get("on_error").and_then(Value::as_str) == Some("abort"),
        options: Options::from_json(&options),
        view_owner,
        era: era(row.get::<i32>(7)?.ok_or_else(missing)?),
        salt: row.get::<Vec<u8>>(8)?,
        owner,
        shape,
        columns,
        view: view_name,
        many,
        one,
    };
    Ok(Some((source, view)))
}

/// The quoted name of a relation with its schema; none if it is gone.
fn qualified_name(relation: pg_sys::Oid) -> Option<String> {
    // SAFETY: look-ups in the system cache; what is missing is null.
    unsafe {
        let name = pg_sys::get_rel_name(relation);
        if name.is_null() {
            return None;
        }
        quoted(pg_sys::get_rel_namespace(relation), name)
    }
}

/// The quoted name of a type with its schema.
fn type_name(of: pg_sys::Oid) -> String {
    // SAFETY: the type of a column exists; the tuple is released after its name was copied.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(
            pg_sys::SysCacheIdentifier::TYPEOID as i32,
            pg_sys::Datum::from(of),
        );
        assert!(!tuple.is_null(), "a column has a type");
        let row = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_type>();
        let name = quoted((*row).typnamespace, (*row).typname.data.as_ptr());
        pg_sys::ReleaseSysCache(tuple);
        name.expect("a type has a schema")
    }
}

/// A name with its schema, both quoted where they need it.
///
/// # Safety
///
/// `name` is a C string.
unsafe fn quoted(schema: pg_sys::Oid, name: *const c_char) -> Option<String> {
    // SAFETY: a look-up in the system cache, and strings that Postgres has made.
    unsafe {
        let schema = pg_sys::get_namespace_name(schema);
        if schema.is_null() {
            return None;
        }
        let schema = CStr::from_ptr(schema).to_str().ok()?;
        Some(spi::quote_qualified_identifier(schema, CStr::from_ptr(name).to_str().ok()?))
    }
}

/// The category of a type, `A` for arrays; a domain has its base type's.
///
/// # Safety
///
/// The type exists.
unsafe fn category(of: pg_sys::Oid) -> u8 {
    let (mut category, mut is_preferred) = (0, false);
    // SAFETY: a look-up of an existing type that writes to both places.
    unsafe { pg_sys::get_type_category_preferred(of, &raw mut category, &raw mut is_preferred) };
    category.cast_unsigned()
}

/// The statement that reads the rows of given keys: first the key as text, then the columns.
fn select(shape: &KeyShape, expressions: &[String], view: &str) -> String {
    let rest: String = expressions.iter().flat_map(|e| [", ", e]).collect();
    match shape {
        KeyShape::Integer(name) => {
            let key = spi::quote_identifier(name);
            format!("select v.{key}::text{rest} from {view} v where v.{key} = any ($1)")
        }
        KeyShape::Texts(keys) if keys.len() == 1 => {
            let (key, of) = (spi::quote_identifier(&keys[0].0), &keys[0].1);
            format!("select v.{key}::text{rest} from {view} v where v.{key} = any ($1::{of}[])")
        }
        KeyShape::Texts(keys) => {
            let quoted: Vec<String> = keys.iter().map(|(n, _)| spi::quote_identifier(n)).collect();
            let texts: Vec<String> = quoted.iter().map(|k| format!("v.{k}::text")).collect();
            let arrays: Vec<String> =
                (1..).zip(keys).map(|(n, (_, of))| format!("${n}::text[]::{of}[]")).collect();
            let joined: Vec<String> =
                (1..).zip(&quoted).map(|(n, k)| format!("v.{k} = k.c{n}")).collect();
            let names: Vec<String> = (1..=keys.len()).map(|n| format!("c{n}")).collect();
            format!(
                "select jsonb_build_array({})::text{rest} from unnest({}) k ({}) join {view} v on {}",
                texts.join(", "),
                arrays.join(", "),
                names.join(", "),
                joined.join(" and "),
            )
        }
    }
}

/// The same for one key. Planned for an array, the statement expects several keys and may read
/// whole tables to join them.
fn select_one(shape: &KeyShape, expressions: &[String], view: &str) -> Option<String> {
    let rest: String = expressions.iter().flat_map(|e| [", ", e]).collect();
    let (name, value) = match shape {
        KeyShape::Integer(name) => (name, "$1".to_owned()),
        KeyShape::Texts(keys) => match keys.as_slice() {
            [(name, of)] => (name, format!("$1::{of}")),
            _ => return None,
        },
    };
    let key = spi::quote_identifier(name);
    Some(format!("select v.{key}::text{rest} from {view} v where v.{key} = {value}"))
}

/// A stretch of a view, by event time.
pub(super) struct Stretch<'a> {
    /// Not before this.
    pub(super) since: TimestampWithTimeZone,
    /// Before this.
    pub(super) until: TimestampWithTimeZone,
    /// Behind this row: its time and key.
    pub(super) after: Option<(TimestampWithTimeZone, &'a str)>,
    /// At most this many rows.
    pub(super) rows: usize,
}

/// What makes the event of a view's row.
pub(super) struct Identity {
    pub(super) time: TimestampWithTimeZone,
    pub(super) key: String,
    /// Name and id of the event, where both are there.
    pub(super) event: Option<(String, String)>,
}

impl Source {
    /// Whether the current user may emit here.
    pub(super) fn may_emit(&self) -> bool {
        self.callers.is_empty()
            || self.callers.iter().any(|name| {
                let Ok(name) = std::ffi::CString::new(name.as_str()) else { return false };
                // SAFETY: look-ups by a valid name; a role that is gone is InvalidOid.
                unsafe {
                    let role = pg_sys::get_role_oid(name.as_ptr(), true);
                    role != pg_sys::InvalidOid
                        && pg_sys::has_privs_of_role(pg_sys::GetUserId(), role)
                }
            })
    }

    /// Reads what makes the events of a stretch of rows, in the order of time and key.
    pub(super) fn stretch(&self, of: &Stretch<'_>) -> Result<Vec<Identity>, spi::Error> {
        let key = match &self.shape {
            KeyShape::Integer(name) => format!("v.{}::text", spi::quote_identifier(name)),
            KeyShape::Texts(keys) => {
                let columns: Vec<String> = keys
                    .iter()
                    .map(|(name, _)| format!("v.{}::text", spi::quote_identifier(name)))
                    .collect();
                match columns.as_slice() {
                    [one] => one.clone(),
                    many => format!("jsonb_build_array({})::text", many.join(", ")),
                }
            }
        };
        let query = format!(
            "select v.event_time, {key}, v.event_name::text, v.event_id::text from {} v
            where v.event_time >= $1 and v.event_time < $2
                and ($3::timestamptz is null
                    or v.event_time >= $3 and (v.event_time, ({key}) collate \"C\") > ($3, $4 collate \"C\"))
            order by v.event_time, ({key}) collate \"C\" limit {}",
            self.view, of.rows
        );
        let (after_time, after_key) = of.after.unzip();
        let arguments = [of.since.into(), of.until.into(), after_time.into(), after_key.into()];
        as_reader(self.view_owner, || {
            Spi::connect(|client| {
                let mut found = Vec::new();
                for row in client.select(query.as_str(), None, &arguments)? {
                    let Some(time) = row.get::<TimestampWithTimeZone>(1)? else { continue };
                    let key = row.get::<String>(2)?.unwrap_or_default();
                    let event = row.get::<String>(3)?.zip(row.get::<String>(4)?);
                    found.push(Identity { time, key, event });
                }
                Ok(found)
            })
        })
    }

    /// Keys from their texts as the outbox stores them; `None` where one is no key of this source.
    pub(super) fn keys_of(&self, texts: &[String]) -> Option<Keys> {
        match &self.shape {
            KeyShape::Integer(_) => {
                texts.iter().map(|key| key.parse().ok()).collect::<Option<_>>().map(Keys::Integers)
            }
            KeyShape::Texts(columns) if columns.len() == 1 => {
                Some(Keys::Texts(texts.iter().map(|key| vec![key.clone()]).collect()))
            }
            KeyShape::Texts(columns) => texts
                .iter()
                .map(|key| serde_json::from_str::<Vec<String>>(key).ok())
                .map(|key| key.filter(|key| key.len() == columns.len()))
                .collect::<Option<_>>()
                .map(Keys::Texts),
        }
    }

    /// Reads the view's rows of some keys, as the view's owner and in a security-restricted
    /// operation: nothing that the view calls gets a right on `capi`.
    ///
    /// The last word is read from what is committed by now, under `REPEATABLE READ` too.
    pub(super) fn read(&self, keys: &Keys, word: Word) -> Result<Vec<(String, Row)>, spi::Error> {
        let run = match word {
            Word::Read => Statement::run,
            Word::Last => Statement::run_latest,
        };
        as_reader(self.view_owner, || {
            Spi::connect_mut(|client| {
                let mut rows = match (keys, &self.shape, &self.one) {
                    (Keys::Integers(keys), KeyShape::Integer(_), Some(one)) if keys.len() == 1 => {
                        run(one, client, &[argument(keys[0])])?
                    }
                    (Keys::Integers(keys), KeyShape::Integer(_), _) => {
                        run(&self.many, client, &[argument(keys.as_slice())])?
                    }
                    (Keys::Texts(keys), KeyShape::Texts(_), Some(one)) if keys.len() == 1 => {
                        run(one, client, &[keys[0].first().and_then(|key| argument(key.as_str()))])?
                    }
                    (Keys::Texts(keys), KeyShape::Texts(columns), _) => {
                        let columns: Vec<_> = (0..columns.len())
                            .map(|n| {
                                let column = keys.iter().filter_map(|key| key.get(n));
                                argument(column.map(String::as_str).collect::<Vec<_>>())
                            })
                            .collect();
                        run(&self.many, client, &columns)?
                    }
                    // The key's type has changed since the triggers were made.
                    _ => Error::KeyTypeChanged.raise(),
                };
                let mut out = Vec::with_capacity(rows.len());
                while let Some(row) = rows.next() {
                    let key = row.text(0).unwrap_or_default().to_owned();
                    let mut fields = Row::default();
                    for (n, column) in (1..).zip(&self.columns) {
                        if let Some(value) = column.form.value(row, n) {
                            fields.0.insert(column.field, value);
                        }
                    }
                    out.push((key, fields));
                }
                Ok(out)
            })
        })
    }

    /// No key at all, of the right kind.
    pub(super) fn no_keys(&self) -> Keys {
        match self.shape {
            KeyShape::Integer(_) => Keys::Integers(Vec::new()),
            KeyShape::Texts(_) => Keys::Texts(Vec::new()),
        }
    }

    /// Some key that the view shows, for a trial; `None` when the view is empty.
    pub(super) fn some_key(&self) -> Result<Option<Keys>, spi::Error> {
        let (list, texts) = match &self.shape {
            KeyShape::Integer(name) => {
                (format!("v.{}::bigint", spi::quote_identifier(name)), false)
            }
            KeyShape::Texts(keys) => {
                let columns: Vec<String> = keys
                    .iter()
                    .map(|(n, _)| format!("v.{}::text", spi::quote_identifier(n)))
                    .collect();
                (format!("array[{}]", columns.join(", ")), true)
            }
        };
        let query = format!("select {list} from {} v limit 1", self.view);
        as_reader(self.view_owner, || {
            Spi::connect(|client| {
                let found = client.select(query.as_str(), Some(1), &[])?;
                if found.is_empty() {
                    return Ok(None);
                }
                let row = found.first();
                Ok(if texts {
                    row.get::<Vec<String>>(1)?.map(|key| Keys::Texts(vec![key]))
                } else {
                    row.get::<i64>(1)?.map(|key| Keys::Integers(vec![key]))
                })
            })
        })
    }
}

impl Form {
    /// The value of a column; none for null.
    fn value(self, row: Record<'_>, column: usize) -> Option<Value> {
        Some(match self {
            Self::Text => Value::String(row.text(column)?.to_owned()),
            // What is JSON to Postgres and not to us has the wrong shape for every field.
            Self::Json => serde_json::from_str(row.text(column)?).unwrap_or(Value::Bool(false)),
            Self::Jsonb => jsonb::read(row.datum(column)?),
            Self::Time => match row.get::<pg_sys::TimestampTz>(column)? {
                // Not a time that anything has happened at.
                i64::MIN | i64::MAX => Value::String("infinity".to_owned()),
                time => Value::from(clock::from_postgres(time).0),
            },
            Self::Micros => row.text(column)?.parse::<i64>().map_or(Value::Null, Value::from),
        })
    }
}
