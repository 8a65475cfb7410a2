//! What a backend knows of a tracked source: its view, whose rights read it, how to read it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use capi_core::capture::{Options, Row};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::prelude::*;
use pgrx::{FromDatum, IntoDatum, spi};
use serde_json::Value;

use super::fields::Fields;
use super::guard::{as_reader, as_role, no_temporary_objects, with_settings};
use super::key::spelling_or_text;
use super::pending::Keys;
use super::{account, jsonb};
use crate::era::era;
use crate::error::{Error, Trouble};
use crate::relation::{self, qualified_name, type_name};
use crate::statement::{Argument, Record, Rows, Statement, View, argument, committed};
use crate::tables;

/// What a row or a caller says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// Read from the view at some time, perhaps before what has been committed since.
    Read,
    /// Read again behind the lock, or said by the caller: nothing newer can be overlooked.
    Last,
}

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
    /// Roles that may emit here, where not everybody may who may call `capi.emit`.
    callers: Option<Vec<pg_sys::Oid>>,
    /// Whether an error of capture aborts the order.
    pub(super) abort: bool,
    pub(super) options: Options,
    /// Owner of the schema `capi`.
    pub(super) owner: pg_sys::Oid,
    /// The salt of forgotten persons' digests, if anybody was ever forgotten.
    pub(super) salt: Option<Vec<u8>>,
    view_owner: pg_sys::Oid,
    /// Whether a function of the view can find temporary objects.
    unpinned: bool,
    names: Names,
    shape: KeyShape,
    fields: Fields,
    /// Reads the rows of any number of keys.
    many: Statement,
    /// Reads the rows of one key, which is what most transactions change; for keys of one column.
    one: Option<Statement>,
    /// Reads what makes the events of a stretch of rows.
    stretch: Statement,
    /// The same without what the view computes of an event.
    stretch_keys: Statement,
    /// Reads what makes the events of given keys in a stretch.
    identities: Statement,
    /// Reads some key.
    some: Statement,
    /// The table itself; none of an emitter, or when it is gone.
    table: Option<Table>,
}

/// The tracked table, read as its owner.
struct Table {
    owner: pg_sys::Oid,
    /// Reads its highest keys.
    first: Statement,
    /// Reads the keys below a given one.
    below: Statement,
}

/// How the key reads.
enum KeyShape {
    /// One integer column.
    Integer,
    /// So many other columns.
    Texts(usize),
}

/// A column of the key.
struct KeyColumn {
    /// Quoted.
    name: String,
    of: pg_sys::Oid,
}

/// What stands in the statements of a source and may get another name.
#[derive(PartialEq, Eq)]
struct Names {
    view: pg_sys::Oid,
    view_name: Option<String>,
    view_owner: Option<pg_sys::Oid>,
    /// Types of the key that are not Postgres' own, with their operators of equality.
    types: Vec<(pg_sys::Oid, Option<String>, Option<String>)>,
}

impl Names {
    /// The names now.
    fn of(view: pg_sys::Oid, types: impl Iterator<Item = pg_sys::Oid>) -> Self {
        let named = |of| (of, type_name(of), relation::equality(of));
        Self {
            view,
            view_name: qualified_name(view),
            view_owner: relation::owner(view),
            types: types.map(named).collect(),
        }
    }

    /// Whether they are what they were. A schema that is renamed tells nobody.
    fn are_current(&self) -> bool {
        *self == Self::of(self.view, self.types.iter().map(|(of, ..)| *of))
    }
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
    if let Some(relation) = tables::oid("source") {
        // SAFETY: the relation exists; the message is sent at commit.
        unsafe { pg_sys::CacheInvalidateRelcacheByRelid(relation) };
    }
}

/// Drops what is stale. Called before anything is read, never in between.
pub(super) fn refresh() {
    // What was committed before this is known from here on.
    // SAFETY: in a transaction; as before any look-up of the catalog.
    unsafe { pg_sys::AcceptInvalidationMessages() };
    if STALE.replace(false) {
        SOURCES.with_borrow_mut(HashMap::clear);
        EMITTERS.with_borrow_mut(HashMap::clear);
        account::forget();
        WATCHED.with_borrow_mut(Vec::clear);
    }
    // Before anything of it is read: a message that comes while it is read must not be missed.
    if WATCHED.with_borrow(Vec::is_empty)
        && let Some(sources) = tables::oid("source")
    {
        WATCHED.with_borrow_mut(|watched| watched.push(sources));
    }
}

/// Drops everything before the next drain.
pub(super) fn forget() {
    STALE.set(true);
}

/// The source of this id; `None` when there is no such.
pub(super) fn get(id: i32) -> Option<Rc<Source>> {
    if let Some(known) = SOURCES.with_borrow(|sources| sources.get(&id).cloned()) {
        if known.names.are_current() {
            return Some(known);
        }
        SOURCES.with_borrow_mut(|sources| sources.remove(&id));
    }
    let owner = tables::owner()?;
    let loaded = as_role(owner, || load(id, owner))
        .unwrap_or_else(|e| pgrx::error!("source cannot be read: {e}"));
    let (source, view) = loaded?;
    let source = Rc::new(source);
    WATCHED.with_borrow_mut(|watched| watched.push(view));
    SOURCES.with_borrow_mut(|sources| sources.insert(id, Rc::clone(&source)));
    Some(source)
}

/// Whether a source is to be loaded anew, since what was loaded has failed and is not what is there
/// now: a name has changed while it was used, or a type.
pub(super) fn has_changed(id: i32, trouble: Option<Trouble>) -> bool {
    let is_current = |source: &Rc<Source>| source.names.are_current();
    let is_as_loaded = SOURCES.with_borrow(|sources| sources.get(&id).is_none_or(is_current));
    if is_as_loaded && trouble.is_none_or(|trouble| trouble.reason != "view_changed") {
        return false;
    }
    SOURCES.with_borrow_mut(|sources| sources.remove(&id)).is_some()
}

/// The emitter of this name, or without a name the only one.
pub(super) fn emitter(name: Option<&str>) -> Option<Rc<Source>> {
    let name = name.map(str::to_owned);
    if let Some(id) = EMITTERS.with_borrow(|known| known.get(&name).copied()) {
        return get(id);
    }
    let query = "select s.source from capi.source s
        where s.relation is null and case when $1 is null then s.tracked else s.name = $1 end";
    let arguments = [(pg_sys::TEXTOID, name.as_deref().and_then(argument))];
    let found = as_role(tables::owner()?, || {
        committed(query, &arguments, &[pg_sys::INT4OID], all)
            .unwrap_or_else(|e| pgrx::error!("emitters cannot be read: {e}"))
    });
    let [id] = found[..] else { return None };
    let source = get(id)?;
    EMITTERS.with_borrow_mut(|known| known.insert(name, id));
    Some(source)
}

/// The callers of an emitter. A role that got the name of another one is none.
fn callers(id: i32) -> Result<Vec<pg_sys::Oid>, spi::Error> {
    let query = "select c.role_id::oid from capi.emitter_caller c
        join pg_catalog.pg_roles r on r.oid = c.role_id and r.rolname = c.role
        where c.source = $1";
    let arguments = [(pg_sys::INT4OID, argument(id))];
    committed(query, &arguments, &[pg_sys::OIDOID], all)
}

/// The values of the only column.
fn all<T: FromDatum + IntoDatum>(mut rows: Rows<'_>) -> Vec<T> {
    let mut found = Vec::with_capacity(rows.len());
    while let Some(row) = rows.next() {
        found.extend(row.get::<T>(0));
    }
    found
}

/// What is written down of a source.
struct Written {
    name: String,
    version: i32,
    tracked: bool,
    options: Value,
    key_columns: Vec<String>,
    view: Option<pg_sys::Oid>,
    generation: i32,
    salt: Option<Vec<u8>>,
    table: Option<pg_sys::Oid>,
    lends_rights: bool,
    unpinned: bool,
}

impl Written {
    /// A row of [`WRITTEN`].
    fn of(row: Record<'_>) -> Option<Self> {
        Some(Self {
            name: row.get(0)?,
            version: row.get(1)?,
            tracked: row.get(2)?,
            options: row.get::<jsonb::Json>(3)?.0,
            key_columns: row.get(4)?,
            view: row.get(5),
            generation: row.get(6)?,
            salt: row.get(7),
            table: row.get(8),
            lends_rights: row.get(9)?,
            unpinned: row.get(10)?,
        })
    }
}

const WRITTEN: &str = "
    select s.name, s.version, s.tracked, s.options, s.key_columns, s.conversions::oid, i.generation,
        case when exists (select from capi.forgotten) then i.salt end, s.relation::oid, s.lends_rights,
        s.unpinned
    from capi.source s
    cross join capi.installation i
    where s.source = $1";

const WRITTEN_TYPES: &[pg_sys::Oid] = &[
    pg_sys::TEXTOID,
    pg_sys::INT4OID,
    pg_sys::BOOLOID,
    pg_sys::JSONBOID,
    pg_sys::TEXTARRAYOID,
    pg_sys::OIDOID,
    pg_sys::INT4OID,
    pg_sys::BYTEAOID,
    pg_sys::OIDOID,
    pg_sys::BOOLOID,
    pg_sys::BOOLOID,
];

fn load(id: i32, owner: pg_sys::Oid) -> Result<Option<(Source, pg_sys::Oid)>, spi::Error> {
    let arguments = [(pg_sys::INT4OID, argument(id))];
    let written =
        committed(WRITTEN, &arguments, WRITTEN_TYPES, |mut rows| rows.next().map(Written::of))?;
    let Some(written) = written else { return Ok(None) };
    let missing = || spi::Error::InvalidPosition;
    let written = written.ok_or_else(missing)?;
    if written.lends_rights {
        Error::LendsRights.raise();
    }
    let Written { options, key_columns, view, .. } = written;
    let is_emitter = view.is_none();
    // Of an emitter nothing is read; what has rights of its own here stands for the view.
    let view = view.or_else(|| tables::oid("source")).ok_or_else(missing)?;
    let Some(view_name) = qualified_name(view) else { Error::ViewGone.raise() };
    // Locked, as reading it locks it: what is looked up from here on stays.
    let all_columns = relation::columns(view);
    let Some(view_owner) = relation::owner(view) else { Error::ViewGone.raise() };
    let mut keys = Vec::new();
    let mut fields = Fields::default();
    let mut time = None;
    // What makes an event, as texts.
    let mut event = ["event_name", "event_id"].map(|name| (name, "null::text".to_owned()));
    for (name, of) in &all_columns {
        let quoted = spi::quote_identifier(name);
        if key_columns.contains(name) {
            // As the triggers judge it: a domain over an integer is noted as text.
            keys.push((name, KeyColumn { name: format!("v.{quoted}"), of: *of }));
        }
        if name == "event_time" {
            time = Some(*of);
        }
        if let Some((_, text)) = event.iter_mut().find(|(field, _)| field == name) {
            *text = relation::text_of(*of, &format!("v.{quoted}"));
        }
        if let Some(field) = fields.add(name, *of, &format!("v.{quoted}"))
            && !is_emitter
        {
            // As track judges it: what has become of the view since may be read, and mean another thing.
            Error::TypeChanged(field).raise();
        }
    }
    // In the order of the primary key, which is the order in which the triggers note.
    keys.sort_by_key(|(name, _)| key_columns.iter().position(|k| k == *name));
    let keys: Vec<KeyColumn> = keys.into_iter().map(|(_, key)| key).collect();
    if keys.len() != key_columns.len() {
        Error::KeyTypeChanged.raise();
    }
    let integers = [pg_sys::INT2OID, pg_sys::INT4OID, pg_sys::INT8OID];
    let shape = match keys.as_slice() {
        [key] if integers.contains(&key.of) => KeyShape::Integer,
        _ => KeyShape::Texts(keys.len()),
    };
    let is_own = |of: &pg_sys::Oid| of.to_u32() < pg_sys::FirstNormalObjectId;
    let foreign = keys.iter().map(|key| key.of).filter(|of| !is_own(of));
    let names = Names::of(view, foreign);
    let event = event.map(|(_, text)| text).join(", ");
    let texts = Texts {
        keys: &keys,
        shape: &shape,
        event: &event,
        name: &view_name,
        relation: view,
        owner: view_owner,
    };
    let many = texts.many(&fields);
    let one = texts.one(&fields);
    let time = time.unwrap_or(pg_sys::TIMESTAMPTZOID);
    let stretch = texts.stretch(time, Depth::Event);
    let stretch_keys = texts.stretch(time, Depth::Key);
    let identities = texts.identities();
    let some = texts.some();
    let table = written.table.and_then(|table| {
        let (name, owner) = (qualified_name(table)?, relation::owner(table)?);
        let texts = Texts {
            keys: &keys,
            shape: &shape,
            event: "null::text, null::text",
            name: &name,
            relation: table,
            owner,
        };
        Some(Table { owner, first: texts.keys_below(false), below: texts.keys_below(true) })
    });
    let tracked = written.tracked;
    let source = Source {
        id,
        name: written.name,
        version: written.version,
        tracked: tracked && !is_emitter,
        emits: tracked && is_emitter,
        callers: options.get("callers").map(|_| callers(id)).transpose()?,
        abort: options.get("on_error").and_then(Value::as_str) == Some("abort"),
        options: Options::from_json(&options),
        view_owner,
        unpinned: written.unpinned,
        era: era(written.generation),
        salt: written.salt,
        owner,
        names,
        shape,
        fields,
        many,
        one,
        stretch,
        stretch_keys,
        identities,
        some,
        table,
    };
    Ok(Some((source, view)))
}

/// The statements that read a view, or a table, by its key.
struct Texts<'a> {
    keys: &'a [KeyColumn],
    shape: &'a KeyShape,
    /// Texts of the event's name and id.
    event: &'a str,
    /// Quoted and qualified.
    name: &'a str,
    relation: pg_sys::Oid,
    owner: pg_sys::Oid,
}

impl KeyColumn {
    /// Its text, see [`spelling_or_text`].
    fn spelled(&self) -> String {
        // SAFETY: a look-up; the type is a column's. What a column's own collation has to do with the
        // spelling was judged by track.
        let collation = unsafe { pg_sys::get_typcollation(self.of) };
        spelling_or_text(self.of, collation).replace("%1$s", &self.name)
    }

    /// The name of its type, for a cast from text.
    fn type_name(&self) -> String {
        type_name(self.of).unwrap_or_else(|| Error::KeyTypeChanged.raise())
    }

    /// The operator by which keys are equal.
    fn equals(&self) -> String {
        relation::equality(self.of).unwrap_or_else(|| Error::KeyTypeChanged.raise())
    }
}

impl Texts<'_> {
    fn statement(
        &self,
        text: String,
        types: Vec<pg_sys::Oid>,
        columns: impl Iterator<Item = pg_sys::Oid>,
    ) -> Statement {
        let keys = self.keys.iter().map(|key| key.of).filter(|of| !relation::is_built_in(*of));
        let view = View::new(self.relation, self.owner, keys.collect());
        Statement::of_view(text, types, columns.collect(), view)
    }

    /// The key as the outbox spells it.
    fn key(&self) -> String {
        let texts: Vec<String> = self.keys.iter().map(KeyColumn::spelled).collect();
        match (self.shape, texts.as_slice()) {
            (_, [one]) => one.clone(),
            (_, many) => format!("jsonb_build_array({})::text", many.join(", ")),
        }
    }

    /// The key, or null where any part of it is: the view may show rows that belong to no row of the
    /// source, as an outer join does.
    fn key_or_null(&self) -> String {
        format!("case when {} then {} end", self.has_key(), self.key())
    }

    /// Whether a row has a key.
    fn has_key(&self) -> String {
        let parts: Vec<String> =
            self.keys.iter().map(|key| format!("{} is not null", key.name)).collect();
        if parts.is_empty() { "false".to_owned() } else { parts.join(" and ") }
    }

    /// The statement that reads the rows of given keys: first the key as text, then the fields.
    fn many(&self, fields: &Fields) -> Statement {
        let columns = std::iter::once(pg_sys::TEXTOID).chain(fields.types());
        self.statement(self.of_keys(&fields.selected()), self.key_arrays(), columns)
    }

    /// The types of parameters that hold keys.
    fn key_arrays(&self) -> Vec<pg_sys::Oid> {
        match self.shape {
            KeyShape::Integer => vec![pg_sys::INT8ARRAYOID],
            KeyShape::Texts(columns) => vec![pg_sys::TEXTARRAYOID; *columns],
        }
    }

    /// Selects the key and more of the rows of given keys.
    fn of_keys(&self, rest: &str) -> String {
        let (view, key) = (self.name, self.key());
        match (self.shape, self.keys) {
            (KeyShape::Integer, [KeyColumn { name, .. }]) => {
                format!("select {key}{rest} from {view} v where {name} = any ($1)")
            }
            (_, [column]) => format!(
                "select {key}{rest} from {view} v where {} {} any ($1::{}[])",
                column.name,
                column.equals(),
                column.type_name(),
            ),
            (_, []) => format!("select null::text{rest} from {view} v where false"),
            (_, keys) => {
                let arrays: Vec<String> = (1..)
                    .zip(keys)
                    .map(|(n, key)| format!("${n}::{}[]", key.type_name()))
                    .collect();
                let joined: Vec<String> = (1..)
                    .zip(keys)
                    .map(|(n, key)| format!("{} {} k.c{n}", key.name, key.equals()))
                    .collect();
                let names: Vec<String> = (1..=keys.len()).map(|n| format!("c{n}")).collect();
                // As a condition, so that more of them can follow.
                format!(
                    "select {key}{rest} from unnest({}) k ({}) cross join {view} v where {}",
                    arrays.join(", "),
                    names.join(", "),
                    joined.join(" and "),
                )
            }
        }
    }

    /// The statement that reads what makes the events of given keys, as far as they lie in a stretch.
    fn identities(&self) -> Statement {
        let mut types = self.key_arrays();
        let (since, until) = (types.len() + 1, types.len() + 2);
        types.extend([pg_sys::TIMESTAMPTZOID; 2]);
        let text = format!(
            "{} and v.event_time >= ${since} and v.event_time < ${until}",
            self.of_keys(&format!(", {}", self.event))
        );
        self.statement(text, types, [pg_sys::TEXTOID; 3].into_iter())
    }

    /// The statement that reads keys of a table from the highest down, so many: the first of all, or
    /// those below a given one.
    fn keys_below(&self, bounded: bool) -> Statement {
        let is_own = |key: &KeyColumn| key.of.to_u32() < pg_sys::FirstNormalObjectId;
        // By the operators of its types where these can be named, else by its text.
        let (order, names) = if self.keys.iter().all(is_own) {
            let names: Vec<&str> = self.keys.iter().map(|key| key.name.as_str()).collect();
            (names.join(" desc, "), names.join(", "))
        } else {
            let text = format!("({}) collate \"C\"", self.key());
            (text.clone(), text)
        };
        let values: Vec<String> = if self.keys.iter().all(is_own) {
            (1..).zip(self.keys).map(|(n, key)| format!("${n}::{}", key.type_name())).collect()
        } else {
            vec!["$1".to_owned()]
        };
        let mut types = if bounded { vec![pg_sys::TEXTOID; values.len()] } else { Vec::new() };
        let bound = match bounded {
            true => format!("where ({names}) < ({})", values.join(", ")),
            false => String::new(),
        };
        types.push(pg_sys::INT8OID);
        let text = format!(
            "select {} from {} v {bound} order by {order} desc limit ${}",
            self.key(),
            self.name,
            types.len()
        );
        self.statement(text, types, std::iter::once(pg_sys::TEXTOID))
    }

    /// The same for one key. Planned for an array, the statement expects several keys and may read
    /// whole tables to join them.
    fn one(&self, fields: &Fields) -> Option<Statement> {
        let [column] = self.keys else { return None };
        let (is, value, of) = match self.shape {
            KeyShape::Integer => ("=".to_owned(), "$1".to_owned(), pg_sys::INT8OID),
            KeyShape::Texts(_) => {
                (column.equals(), format!("$1::{}", column.type_name()), pg_sys::TEXTOID)
            }
        };
        let (key, rest) = (self.key(), fields.selected());
        let text =
            format!("select {key}{rest} from {} v where {} {is} {value}", self.name, column.name);
        let columns = std::iter::once(pg_sys::TEXTOID).chain(fields.types());
        Some(self.statement(text, vec![of], columns))
    }

    /// The statement that reads what makes the events of a stretch of rows, in the order of time and
    /// key. The time has this type: `timestamptz` or a domain over it.
    fn stretch(&self, time: pg_sys::Oid, depth: Depth) -> Statement {
        let (view, key) = (self.name, self.key_or_null());
        let event = match depth {
            Depth::Event => self.event,
            Depth::Key => "null::text, null::text",
        };
        let text = format!(
            "select v.event_time, {key}, {event} from {view} v
            where v.event_time >= $1 and v.event_time < $2
                and ($3 is null
                    or v.event_time >= $3 and (v.event_time, ({key}) collate \"C\") > ($3, $4 collate \"C\"))
            order by v.event_time, ({key}) collate \"C\" limit $5"
        );
        let types = vec![
            pg_sys::TIMESTAMPTZOID,
            pg_sys::TIMESTAMPTZOID,
            pg_sys::TIMESTAMPTZOID,
            pg_sys::TEXTOID,
            pg_sys::INT8OID,
        ];
        let columns = [time, pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::TEXTOID];
        self.statement(text, types, columns.into_iter())
    }

    /// The statement that reads some key, as triggers note it.
    fn some(&self) -> Statement {
        let texts: Vec<String> = self.keys.iter().map(KeyColumn::spelled).collect();
        let text = format!(
            "select array[{}]::text[] from {} v where {} limit 1",
            texts.join(", "),
            self.name,
            self.has_key()
        );
        self.statement(text, vec![], std::iter::once(pg_sys::TEXTARRAYOID))
    }
}

/// A stretch of a view, by event time.
pub(super) struct Stretch {
    /// Not before this.
    pub(super) since: TimestampWithTimeZone,
    /// Before this.
    pub(super) until: TimestampWithTimeZone,
    /// Where to go on; none at the beginning.
    pub(super) after: Option<Place>,
    /// At most this many rows.
    pub(super) rows: usize,
}

/// How far a stretch has been read.
#[derive(Clone)]
pub(super) enum Place {
    /// By time, up to this row. One without a key is the last of its instant.
    Row(TimestampWithTimeZone, Option<String>),
    /// Key by key, from the highest down to this one.
    Key(Option<String>),
}

/// What makes the event of a view's row.
#[derive(Clone)]
pub(super) struct Identity {
    /// The view may show rows that belong to no row of the source, as an outer join does.
    pub(super) key: Option<String>,
    /// Name and id of the event, where both are there and can be read.
    pub(super) event: Option<(String, String)>,
}

/// A row of a stretch that was read by time.
pub(super) struct Dated {
    pub(super) time: TimestampWithTimeZone,
    pub(super) row: Identity,
}

/// How much of a stretch's rows is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Time, key, name and id.
    Event,
    /// Time and key: a view computes nothing else then.
    Key,
}

thread_local! {
    /// Whether rows are looked up by their keys even where a whole table is read faster.
    static BY_INDEX: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`, whose reads of keys touch no other row of the table where an index serves: one that
/// makes the view raise would fail them all.
pub(super) fn by_index<T>(work: impl FnOnce() -> T) -> T {
    struct Reset(bool);
    impl Drop for Reset {
        fn drop(&mut self) {
            BY_INDEX.set(self.0);
        }
    }
    let _reset = Reset(BY_INDEX.replace(true));
    work()
}

/// Whether that holds now.
pub(super) fn is_by_index() -> bool {
    BY_INDEX.get()
}

/// Settings under which only an index is used where there is one.
const INDEX_ONLY: &[(&str, &str)] = &[("enable_seqscan", "off")];

impl Source {
    /// Runs `work`, which reads the view, as its owner.
    fn as_reader<T>(&self, work: impl FnOnce() -> T) -> T {
        if self.unpinned {
            no_temporary_objects();
        }
        as_reader(self.view_owner, work)
    }

    /// Whether the current user may emit here.
    pub(super) fn may_emit(&self) -> bool {
        self.callers.as_ref().is_none_or(|callers| {
            callers.iter().any(|role| {
                // SAFETY: look-ups in the system cache; nobody is a member of a role that is gone.
                unsafe { pg_sys::has_privs_of_role(pg_sys::GetUserId(), *role) }
            })
        })
    }

    /// Reads what makes the events of a stretch of rows, in the order of time and key.
    pub(super) fn stretch(&self, of: &Stretch, depth: Depth) -> Result<Vec<Dated>, spi::Error> {
        let (after_time, after_key) = match &of.after {
            Some(Place::Row(time, key)) => (Some(*time), key.as_deref()),
            Some(Place::Key(_)) | None => (None, None),
        };
        let arguments = [
            argument(of.since),
            argument(of.until),
            after_time.and_then(argument),
            after_key.and_then(argument),
            argument(count(of.rows)),
        ];
        let statement = match depth {
            Depth::Event => &self.stretch,
            Depth::Key => &self.stretch_keys,
        };
        self.as_reader(|| {
            Spi::connect_mut(|client| {
                let mut rows = statement.run(client, &arguments)?;
                let mut found = Vec::with_capacity(rows.len());
                while let Some(row) = rows.next() {
                    let Some(time) = row.get(0) else { continue };
                    let text = |column| row.text(column).map(str::to_owned);
                    let row = Identity { key: text(1), event: text(2).zip(text(3)) };
                    found.push(Dated { time, row });
                }
                Ok(found)
            })
        })
    }

    /// Reads what makes the events of these keys, as far as they lie in the stretch.
    pub(super) fn identities(
        &self,
        keys: &Keys,
        of: &Stretch,
    ) -> Result<Vec<Identity>, spi::Error> {
        self.as_reader(|| {
            with_settings(INDEX_ONLY, || {
                Spi::connect_mut(|client| {
                    let mut arguments = self.arguments(keys);
                    arguments.extend([argument(of.since), argument(of.until)]);
                    let mut rows = self.identities.run(client, &arguments)?;
                    let mut found = Vec::with_capacity(rows.len());
                    while let Some(row) = rows.next() {
                        let text = |column| row.text(column).map(str::to_owned);
                        found.push(Identity { key: text(0), event: text(1).zip(text(2)) });
                    }
                    Ok(found)
                })
            })
        })
    }

    /// Keys of the table itself, from the highest down, below this one.
    pub(super) fn keys_below(
        &self,
        after: Option<&str>,
        rows: usize,
    ) -> Result<Vec<String>, spi::Error> {
        let Some(table) = &self.table else { Error::TableGone.raise() };
        let after: Vec<String> = match after.map(|key| self.keys_of(&[key.to_owned()])) {
            None => Vec::new(),
            Some(Some(Keys::Integers(keys))) => keys.iter().map(ToString::to_string).collect(),
            Some(Some(Keys::Texts(keys))) => keys.into_iter().flatten().collect(),
            Some(None) => Error::NotAKey.raise(),
        };
        let statement = if after.is_empty() { &table.first } else { &table.below };
        as_reader(table.owner, || {
            Spi::connect_mut(|client| {
                let mut arguments: Vec<Argument> =
                    after.iter().map(|key| argument(key.as_str())).collect();
                arguments.push(argument(count(rows)));
                let mut rows = statement.run(client, &arguments)?;
                let mut found = Vec::with_capacity(rows.len());
                while let Some(row) = rows.next() {
                    found.extend(row.text(0).map(str::to_owned));
                }
                Ok(found)
            })
        })
    }

    /// Keys as the parameters of a statement that reads several.
    fn arguments(&self, keys: &Keys) -> Vec<Argument> {
        match (keys, &self.shape) {
            (Keys::Integers(keys), KeyShape::Integer) => vec![argument(keys.as_slice())],
            (Keys::Texts(keys), KeyShape::Texts(columns)) => (0..*columns)
                .map(|n| {
                    let column = keys.iter().filter_map(|key| key.get(n));
                    argument(column.map(String::as_str).collect::<Vec<_>>())
                })
                .collect(),
            // The key's type has changed since the triggers were made.
            _ => Error::KeyTypeChanged.raise(),
        }
    }

    /// Keys from their texts as the outbox stores them; `None` where one is no key of this source.
    pub(super) fn keys_of(&self, texts: &[String]) -> Option<Keys> {
        match &self.shape {
            KeyShape::Integer => {
                texts.iter().map(|key| key.parse().ok()).collect::<Option<_>>().map(Keys::Integers)
            }
            KeyShape::Texts(1) => {
                Some(Keys::Texts(texts.iter().map(|key| vec![key.clone()]).collect()))
            }
            KeyShape::Texts(columns) => texts
                .iter()
                .map(|key| serde_json::from_str::<Vec<String>>(key).ok())
                .map(|key| key.filter(|key| key.len() == *columns))
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
        let by_index = BY_INDEX.get();
        let settings = if by_index { INDEX_ONLY } else { &[] };
        // A plan of its own: the other was made without that setting.
        let own = by_index.then(|| self.many.unplanned());
        let one = self.one.as_ref().filter(|_| !by_index);
        let many = own.as_ref().unwrap_or(&self.many);
        self.as_reader(|| {
            with_settings(settings, || {
                Spi::connect_mut(|client| {
                    let alone = match (keys, &self.shape) {
                        (Keys::Integers(keys), KeyShape::Integer) => match keys.as_slice() {
                            [key] => Some(argument(*key)),
                            _ => None,
                        },
                        (Keys::Texts(keys), KeyShape::Texts(_)) => match keys.as_slice() {
                            [key] => Some(key.first().and_then(|key| argument(key.as_str()))),
                            _ => None,
                        },
                        _ => None,
                    };
                    let mut rows = match (alone, one) {
                        (Some(key), Some(one)) => run(one, client, &[key])?,
                        _ => run(many, client, &self.arguments(keys))?,
                    };
                    let mut out = Vec::with_capacity(rows.len());
                    while let Some(row) = rows.next() {
                        let key = row.text(0).unwrap_or_default().to_owned();
                        out.push((key, self.fields.row(row, 1)));
                    }
                    Ok(out)
                })
            })
        })
    }

    /// No key at all, of the right kind.
    pub(super) fn no_keys(&self) -> Keys {
        match self.shape {
            KeyShape::Integer => Keys::Integers(Vec::new()),
            KeyShape::Texts(_) => Keys::Texts(Vec::new()),
        }
    }

    /// Some key that the view shows, for a trial; `None` when the view is empty.
    pub(super) fn some_key(&self) -> Result<Option<Keys>, spi::Error> {
        let found = self.as_reader(|| {
            Spi::connect_mut(|client| {
                let mut rows = self.some.run(client, &[])?;
                Ok::<_, spi::Error>(rows.next().and_then(|row| row.get::<Vec<String>>(0)))
            })
        })?;
        Ok(found.and_then(|key| match self.shape {
            KeyShape::Integer => Some(Keys::Integers(vec![key.first()?.parse().ok()?])),
            KeyShape::Texts(_) => Some(Keys::Texts(vec![key])),
        }))
    }
}

fn count(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
