//! Statements that a backend plans once and runs without copies.
//!
//! pgrx copies every value that it hands out into the transaction's memory, where a bulk load would
//! heap it up until the commit. Here a row's values are looked at where the executor left them, and
//! all of it goes when the connection to SPI closes, which is once per chunk.
//!
//! A datum is an integer or an address, and nothing in it says which: whoever reads it as another type
//! follows a number as a pointer. So a statement knows the types of its result, every result is compared
//! with them before a row of it is shown, and a row gives out values of these types only.

use std::borrow::Cow;
use std::cell::Cell;
use std::ffi::{CString, c_int, c_long, c_void};
use std::ptr;
use std::slice;

use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::spi::{SpiClient, SpiErrorCodes, SpiOkCodes};
use pgrx::tupdesc::PgTupleDesc;
use pgrx::{FromDatum, IntoDatum, PgBox, PgMemoryContexts, Spi, pg_guard, spi};

use crate::error::{Error, c_string};
use crate::relation;

/// A statement and its plan, once it has one.
pub(crate) struct Statement {
    text: Cow<'static, str>,
    types: Cow<'static, [Oid]>,
    columns: Columns,
    /// The only relation that it reads, where it runs with the rights of that relation's owner.
    view: Option<Box<View>>,
    plan: Cell<pg_sys::SPIPlanPtr>,
}

/// The types of a result.
struct Columns {
    /// As the result must have them.
    exact: Cow<'static, [Oid]>,
    /// As their values are read: those of domains by their base types.
    base: Cow<'static, [Oid]>,
}

/// A relation that a statement may read under its name, and nothing else.
#[derive(Clone)]
pub(crate) struct View {
    relation: Oid,
    owner: Oid,
    /// Types that the statement casts texts to.
    cast_to: Vec<Oid>,
    /// Of the statement's parameters.
    types: Vec<Oid>,
}

impl View {
    /// A relation, its owner, and the types that the statement casts texts to.
    pub(crate) fn new(relation: Oid, owner: Oid, cast_to: Vec<Oid>) -> Self {
        Self { relation, owner, cast_to, types: Vec::new() }
    }
}

/// A value for a parameter; null or the datum.
pub(crate) type Argument = Option<Datum>;

impl Statement {
    /// A statement of the library's own; its parameters and its result have these types.
    pub(crate) const fn fixed(
        text: &'static str,
        types: &'static [Oid],
        columns: &'static [Oid],
    ) -> Self {
        Self {
            text: Cow::Borrowed(text),
            types: Cow::Borrowed(types),
            columns: Columns { exact: Cow::Borrowed(columns), base: Cow::Borrowed(columns) },
            view: None,
            plan: Cell::new(ptr::null_mut()),
        }
    }

    /// A statement that reads its parameters only.
    pub(crate) fn of_parameters(text: String, types: Vec<Oid>, columns: Vec<Oid>) -> Self {
        Self {
            text: Cow::Owned(text),
            types: Cow::Owned(types),
            columns: Columns::new(columns),
            view: None,
            plan: Cell::new(ptr::null_mut()),
        }
    }

    /// A statement that reads one relation, by a name, with the rights of its owner. Should the name
    /// have become another relation's, or the relation another role's, it fails before it is planned:
    /// planning may run functions already. So it does where a cast would run somebody else's function.
    ///
    /// Its text qualifies every column.
    pub(crate) fn of_view(text: String, types: Vec<Oid>, columns: Vec<Oid>, view: View) -> Self {
        let view = Box::new(View { types: types.clone(), ..view });
        let mut statement = Self::of_parameters(text, types, columns);
        statement.view = Some(view);
        statement
    }

    /// The same without a plan.
    pub(crate) fn unplanned(&self) -> Self {
        Self {
            text: self.text.clone(),
            types: self.types.clone(),
            columns: Columns { exact: self.columns.exact.clone(), base: self.columns.base.clone() },
            view: self.view.clone(),
            plan: Cell::new(ptr::null_mut()),
        }
    }

    /// Runs it. What it returns is there until the client closes or another statement runs.
    pub(crate) fn run<'client>(
        &'client self,
        client: &'client mut SpiClient<'_>,
        arguments: &[Argument],
    ) -> Result<Rows<'client>, spi::Error> {
        self.run_in(client, arguments, false)
    }

    /// Runs it on what is committed by now, whatever the transaction's isolation.
    pub(crate) fn run_latest<'client>(
        &'client self,
        client: &'client mut SpiClient<'_>,
        arguments: &[Argument],
    ) -> Result<Rows<'client>, spi::Error> {
        // SAFETY: in a transaction; the snapshot is used at once, as foreign keys do under
        // REPEATABLE READ. On error the (sub)transaction's end pops it.
        unsafe {
            pg_sys::CommandCounterIncrement();
            pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot());
        }
        let rows = self.run_in(client, arguments, true)?;
        // SAFETY: pops what was pushed above.
        unsafe { pg_sys::PopActiveSnapshot() };
        Ok(rows)
    }

    /// Runs it in the active snapshot or in one of its own.
    fn run_in<'client>(
        &'client self,
        _client: &'client mut SpiClient<'_>,
        arguments: &[Argument],
        in_active_snapshot: bool,
    ) -> Result<Rows<'client>, spi::Error> {
        let plan = self.plan()?;
        let options = pg_sys::SPIExecuteOptions {
            params: self.parameters(arguments),
            read_only: in_active_snapshot,
            ..Default::default()
        };
        // SAFETY: the plan is kept, the list has a place for each parameter, and the table of rows
        // belongs to the connection that `_client` holds.
        unsafe {
            pg_sys::SPI_tuptable = ptr::null_mut();
            ok(pg_sys::SPI_execute_plan_extended(plan, &raw const options))?;
            Ok(Rows::of(pg_sys::SPI_tuptable, &self.columns))
        }
    }

    /// Opens a cursor for it, whose snapshot all rows are of; returns its name.
    pub(crate) fn open(
        &self,
        _client: &mut SpiClient<'_>,
        arguments: &[Argument],
    ) -> Result<CString, spi::Error> {
        let plan = self.plan()?;
        // SAFETY: the plan is kept, and the list has a place for each parameter. The name of a portal is
        // a C string, which is copied.
        unsafe {
            let params = self.parameters(arguments);
            let portal = pg_sys::SPI_cursor_open_with_paramlist(ptr::null(), plan, params, false);
            Ok(std::ffi::CStr::from_ptr((*portal).name).to_owned())
        }
    }

    /// The next rows of a cursor that this statement has opened; none where there is no such cursor.
    pub(crate) fn fetch<'client>(
        &'client self,
        _client: &'client mut SpiClient<'_>,
        cursor: &std::ffi::CStr,
        rows: c_long,
    ) -> Rows<'client> {
        // SAFETY: a look-up by a C string; the table of rows belongs to the connection that `_client`
        // holds.
        unsafe {
            let portal = pg_sys::SPI_cursor_find(cursor.as_ptr());
            pg_sys::SPI_tuptable = ptr::null_mut();
            if !portal.is_null() {
                pg_sys::SPI_cursor_fetch(portal, true, rows);
            }
            Rows::of(pg_sys::SPI_tuptable, &self.columns)
        }
    }

    /// Runs it in the snapshot of the caller's query and shows each row where the executor has it, until
    /// `each` returns false. What is allocated while a row is looked at goes with it.
    pub(crate) fn stream(
        &self,
        _client: &mut SpiClient<'_>,
        arguments: &[Argument],
        each: &mut dyn FnMut(Record<'_>) -> bool,
    ) -> Result<(), spi::Error> {
        let plan = self.plan()?;
        let mut reader = Reader {
            base: pg_sys::DestReceiver {
                receiveSlot: Some(receive),
                rStartup: Some(startup),
                rShutdown: Some(nothing),
                rDestroy: Some(nothing),
                mydest: pg_sys::CommandDest::DestNone,
            },
            columns: &self.columns,
            each,
            row: PgMemoryContexts::new("pg_capi row"),
        };
        let options = pg_sys::SPIExecuteOptions {
            params: self.parameters(arguments),
            read_only: true,
            dest: (&raw mut reader).cast(),
            ..Default::default()
        };
        // SAFETY: the plan is kept, the list has a place for each parameter, and the receiver lives
        // through the call.
        unsafe { ok(pg_sys::SPI_execute_plan_extended(plan, &raw const options)) }
    }

    /// The arguments as the executor takes them, in the current memory context.
    fn parameters(&self, arguments: &[Argument]) -> pg_sys::ParamListInfo {
        assert_eq!(arguments.len(), self.types.len(), "an argument for each parameter");
        // SAFETY: the list has as many places as are written, and a parameter for each, as was just
        // compared.
        unsafe {
            let params = pg_sys::makeParamList(self.count());
            let places = (*params).params.as_mut_ptr();
            for (at, (argument, kind)) in arguments.iter().zip(&*self.types).enumerate() {
                places.add(at).write(pg_sys::ParamExternData {
                    value: argument.unwrap_or(Datum::from(0)),
                    isnull: argument.is_none(),
                    pflags: pg_sys::PARAM_FLAG_CONST as u16,
                    ptype: *kind,
                });
            }
            params
        }
    }

    /// How many parameters it has: as many as the library writes into its text.
    fn count(&self) -> c_int {
        c_int::try_from(self.types.len()).unwrap_or(c_int::MAX)
    }

    /// The plan; made where there is none. It is never one for certain values: planning costs more
    /// than running.
    fn plan(&self) -> Result<pg_sys::SPIPlanPtr, spi::Error> {
        if self.plan.get().is_null() {
            let (text, count) = (c_string(&self.text), self.count());
            let generic = pg_sys::CURSOR_OPT_GENERIC_PLAN.cast_signed();
            // SAFETY: text and types live through the call, which copies them; the view lives as long as
            // this statement, and its plan until then.
            unsafe {
                let plan = match &self.view {
                    None => pg_sys::SPI_prepare_cursor(
                        text.as_ptr(),
                        count,
                        self.types.as_ptr().cast_mut(),
                        generic,
                    ),
                    Some(view) => pg_sys::SPI_prepare_params(
                        text.as_ptr(),
                        Some(mind_view),
                        (&raw const **view).cast_mut().cast(),
                        generic,
                    ),
                };
                if plan.is_null() {
                    ok(pg_sys::SPI_result)?;
                }
                pg_sys::SPI_keepplan(plan);
                self.plan.set(plan);
            }
        }
        Ok(self.plan.get())
    }
}

/// Has Postgres ask [`only_the_view`] whenever it analyses the text of a statement: at first, and again
/// when anything that it has read of the catalog has changed.
#[pg_guard]
unsafe extern "C-unwind" fn mind_view(state: *mut pg_sys::ParseState, view: *mut c_void) {
    // SAFETY: a parser's state, in which these places are for whoever sets it up.
    unsafe {
        (*state).p_pre_columnref_hook = Some(only_the_view);
        (*state).p_paramref_hook = Some(parameter);
        (*state).p_ref_hook_state = view;
    }
}

/// Called at each column that a statement of a view names, when what follows `from` has been looked up
/// and locked and nothing is planned.
#[pg_guard]
unsafe extern "C-unwind" fn only_the_view(
    state: *mut pg_sys::ParseState,
    _column: *mut pg_sys::ColumnRef,
) -> *mut pg_sys::Node {
    // SAFETY: `mind_view` has put the view of a living statement there; the table of a parser's state is
    // null or a list of range table entries.
    let (is_other, lends) = unsafe {
        let view = &*(*state).p_ref_hook_state.cast::<View>();
        let tables = (*state).p_rtable;
        let count = if tables.is_null() { 0 } else { (*tables).length };
        let is_other = |n: c_int| {
            let entry = &*pg_sys::list_nth(tables, n).cast::<pg_sys::RangeTblEntry>();
            entry.rtekind == pg_sys::RTEKind::RTE_RELATION && entry.relid != view.relation
        };
        let is_strangers = |of: &Oid| {
            relation::cast_owner(pg_sys::TEXTOID, pg_sys::getBaseType(*of))
                .is_some_and(|owner| owner != view.owner && !pg_sys::superuser_arg(owner))
        };
        (
            (0..count).any(is_other) || relation::owner(view.relation) != Some(view.owner),
            view.cast_to.iter().any(is_strangers),
        )
    };
    if is_other {
        Error::ViewChanged.raise();
    }
    if lends {
        Error::LendsRights.raise();
    }
    // The parser goes on by itself.
    ptr::null_mut()
}

/// A parameter of a statement of a view; none for a number that it has not.
#[pg_guard]
unsafe extern "C-unwind" fn parameter(
    state: *mut pg_sys::ParseState,
    named: *mut pg_sys::ParamRef,
) -> *mut pg_sys::Node {
    // SAFETY: as above; a node of the parser that is allocated as it allocates its own.
    unsafe {
        let view = &*(*state).p_ref_hook_state.cast::<View>();
        let number = (*named).number;
        let Some(kind) = usize::try_from(number - 1).ok().and_then(|at| view.types.get(at)) else {
            return ptr::null_mut();
        };
        let mut param = PgBox::<pg_sys::Param>::alloc_node(pg_sys::NodeTag::T_Param);
        param.paramkind = pg_sys::ParamKind::PARAM_EXTERN;
        param.paramid = number;
        param.paramtype = *kind;
        param.paramtypmod = -1;
        param.paramcollid = pg_sys::get_typcollation(*kind);
        param.location = (*named).location;
        param.into_pg().cast()
    }
}

impl Columns {
    fn new(exact: Vec<Oid>) -> Self {
        // SAFETY: the types of columns exist.
        let base = exact.iter().map(|of| unsafe { pg_sys::getBaseType(*of) }).collect();
        Self { exact: Cow::Owned(exact), base: Cow::Owned(base) }
    }

    /// Refuses a result that has not these columns.
    ///
    /// # Safety
    ///
    /// `shape` is a descriptor of rows.
    unsafe fn compare(&self, shape: pg_sys::TupleDesc) {
        // SAFETY: see above; nothing is released.
        let shape = unsafe { PgTupleDesc::from_pg_unchecked(shape) };
        let is_same = shape.len() == self.exact.len()
            && shape.iter().zip(&*self.exact).all(|(column, of)| column.atttypid == *of);
        if !is_same {
            Error::ViewChanged.raise();
        }
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        let plan = self.plan.get();
        if !plan.is_null() {
            // SAFETY: a kept plan that nobody else knows. A running one is counted by its users.
            unsafe { pg_sys::SPI_freeplan(plan) };
        }
    }
}

/// Shows rows to a closure.
#[repr(C)]
struct Reader<'a> {
    base: pg_sys::DestReceiver,
    columns: &'a Columns,
    each: &'a mut dyn FnMut(Record<'_>) -> bool,
    row: PgMemoryContexts,
}

#[pg_guard]
unsafe extern "C-unwind" fn receive(
    slot: *mut pg_sys::TupleTableSlot,
    to: *mut pg_sys::DestReceiver,
) -> bool {
    // SAFETY: the receiver is one of `Statement::stream`, and a slot has so many columns as the
    // descriptor that `startup` has compared.
    unsafe {
        let Reader { columns, each, row, .. } = &mut *to.cast::<Reader<'_>>();
        pg_sys::slot_getallattrs(slot);
        let types = &*columns.base;
        let values = slice::from_raw_parts((*slot).tts_values, types.len());
        let nulls = slice::from_raw_parts((*slot).tts_isnull, types.len());
        row.reset();
        row.switch_to(|_| each(Record { values, nulls, types }))
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn startup(
    to: *mut pg_sys::DestReceiver,
    _operation: i32,
    shape: pg_sys::TupleDesc,
) {
    // SAFETY: the receiver is one of `Statement::stream`; the executor shows the shape of its rows.
    unsafe { (*to.cast::<Reader<'_>>()).columns.compare(shape) };
}

#[pg_guard]
unsafe extern "C-unwind" fn nothing(_to: *mut pg_sys::DestReceiver) {}

fn ok(status: i32) -> Result<(), spi::Error> {
    match SpiOkCodes::try_from(status) {
        Ok(_) => Ok(()),
        Err(_) => Err(spi::Error::SpiError(
            SpiErrorCodes::try_from(status).unwrap_or(SpiErrorCodes::OpUnknown),
        )),
    }
}

/// The rows of a result.
pub(crate) struct Rows<'client> {
    rows: &'client [pg_sys::HeapTuple],
    shape: pg_sys::TupleDesc,
    types: &'client [Oid],
    values: Vec<Datum>,
    nulls: Vec<bool>,
}

impl<'client> Rows<'client> {
    /// The rows of a table of SPI's, which have these columns.
    ///
    /// # Safety
    ///
    /// The table is null or lives as long as `'client`.
    unsafe fn of(table: *mut pg_sys::SPITupleTable, columns: &'client Columns) -> Self {
        let types = &*columns.base;
        // SAFETY: see above; a table has a descriptor and so many rows of it.
        let (rows, shape): (&[pg_sys::HeapTuple], _) = unsafe {
            match table.is_null() {
                true => (&[], ptr::null_mut()),
                false => {
                    columns.compare((*table).tupdesc);
                    let rows = slice::from_raw_parts((*table).vals, (*table).numvals as usize);
                    (rows, (*table).tupdesc)
                }
            }
        };
        let (values, nulls) = (vec![Datum::from(0); types.len()], vec![true; types.len()]);
        Self { rows, shape, types, values, nulls }
    }

    /// Their number.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Takes the next row apart, until there is none.
    pub(crate) fn next(&mut self) -> Option<Record<'_>> {
        let (row, rest) = self.rows.split_first()?;
        self.rows = rest;
        // SAFETY: a row of this shape, and a place for each of its columns.
        unsafe {
            pg_sys::heap_deform_tuple(
                *row,
                self.shape,
                self.values.as_mut_ptr(),
                self.nulls.as_mut_ptr(),
            );
        }
        Some(Record { values: &self.values, nulls: &self.nulls, types: self.types })
    }
}

/// A row, whose types were compared; its columns count from 0.
#[derive(Clone, Copy)]
pub(crate) struct Record<'row> {
    values: &'row [Datum],
    nulls: &'row [bool],
    types: &'row [Oid],
}

impl<'row> Record<'row> {
    /// The datum of a column of this type; `None` for null.
    pub(crate) fn datum(&self, column: usize, of: Oid) -> Option<Datum> {
        assert_eq!(self.types.get(column), Some(&of), "a column is read as what it is");
        self.values.get(column).filter(|_| self.nulls.get(column) == Some(&false)).copied()
    }

    /// A column that is passed by value, or a copy that is not Postgres'.
    pub(crate) fn get<T: FromDatum + IntoDatum>(&self, column: usize) -> Option<T> {
        let datum = self.datum(column, T::type_oid());
        // SAFETY: the datum has the type that its reader names.
        unsafe { T::from_datum(datum?, false) }
    }

    /// The text of a column, where it stands.
    pub(crate) fn text(&self, column: usize) -> Option<&'row str> {
        let datum = self.datum(column, pg_sys::TEXTOID);
        // SAFETY: as above; the text lives as long as the row.
        unsafe { <&str>::from_datum(datum?, false) }
    }
}

/// What is committed by now of a table of the schema, whatever the transaction's isolation. What a backend
/// keeps must be read so: the message that something has changed may have come, and a snapshot from
/// before the change would show the old state, which would be kept as the new one.
pub(crate) fn committed<T>(
    text: &'static str,
    arguments: &[(Oid, Argument)],
    columns: &'static [Oid],
    read: impl FnOnce(Rows<'_>) -> T,
) -> Result<T, spi::Error> {
    let types = arguments.iter().map(|(of, _)| *of).collect();
    let statement = Statement::of_parameters(text.to_owned(), types, columns.to_vec());
    let arguments: Vec<Argument> = arguments.iter().map(|(_, argument)| *argument).collect();
    Spi::connect_mut(|client| Ok(read(statement.run_latest(client, &arguments)?)))
}

/// An argument of a Rust value; in the memory of the connection.
pub(crate) fn argument(value: impl IntoDatum) -> Argument {
    value.into_datum()
}
