//! Statements that a backend plans once and runs without copies.
//!
//! pgrx copies every value that it hands out into the transaction's memory, where a bulk load would
//! heap it up until the commit. Here a row's values are looked at where the executor left them, and
//! all of it goes when the connection to SPI closes, which is once per chunk.

use std::borrow::Cow;
use std::cell::Cell;
use std::ffi::{CString, c_char, c_long};
use std::ptr;
use std::slice;

use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::spi::{SpiClient, SpiErrorCodes, SpiOkCodes};
use pgrx::{FromDatum, IntoDatum, PgMemoryContexts, pg_guard, spi};

/// A statement and its plan, once it has one.
pub(crate) struct Statement {
    text: Cow<'static, str>,
    types: Cow<'static, [Oid]>,
    plan: Cell<pg_sys::SPIPlanPtr>,
}

/// A value for a parameter; null or the datum.
pub(crate) type Argument = Option<Datum>;

impl Statement {
    /// A statement of the library's own.
    pub(crate) const fn fixed(text: &'static str, types: &'static [Oid]) -> Self {
        Self {
            text: Cow::Borrowed(text),
            types: Cow::Borrowed(types),
            plan: Cell::new(ptr::null_mut()),
        }
    }

    /// A statement that is made for a source.
    pub(crate) fn new(text: String, types: Vec<Oid>) -> Self {
        Self { text: Cow::Owned(text), types: Cow::Owned(types), plan: Cell::new(ptr::null_mut()) }
    }

    /// Runs it. What it returns is there until the client closes or another statement runs.
    pub(crate) fn run<'client>(
        &self,
        client: &'client mut SpiClient<'_>,
        arguments: &[Argument],
    ) -> Result<Rows<'client>, spi::Error> {
        self.run_in(client, arguments, ptr::null_mut())
    }

    /// Runs it on what is committed by now, whatever the transaction's isolation.
    pub(crate) fn run_latest<'client>(
        &self,
        client: &'client mut SpiClient<'_>,
        arguments: &[Argument],
    ) -> Result<Rows<'client>, spi::Error> {
        // SAFETY: in a transaction; the snapshot is used at once, as foreign keys do under
        // REPEATABLE READ.
        let latest = unsafe {
            pg_sys::CommandCounterIncrement();
            pg_sys::GetLatestSnapshot()
        };
        self.run_in(client, arguments, latest)
    }

    /// Runs it in a snapshot; null is the one that Postgres would take.
    fn run_in<'client>(
        &self,
        _client: &'client mut SpiClient<'_>,
        arguments: &[Argument],
        snapshot: pg_sys::Snapshot,
    ) -> Result<Rows<'client>, spi::Error> {
        assert_eq!(arguments.len(), self.types.len(), "an argument for each parameter");
        let plan = self.plan()?;
        let mut values: Vec<Datum> = Vec::with_capacity(arguments.len());
        let mut nulls: Vec<c_char> = Vec::with_capacity(arguments.len());
        for argument in arguments {
            values.push(argument.unwrap_or(Datum::from(0)));
            nulls.push(if argument.is_some() { b' ' } else { b'n' }.cast_signed());
        }
        let all: c_long = 0;
        // SAFETY: the plan is kept, values and nulls are as many as its parameters, and the table of
        // rows belongs to the connection that `_client` holds.
        unsafe {
            pg_sys::SPI_tuptable = ptr::null_mut();
            let status = pg_sys::SPI_execute_snapshot(
                plan,
                values.as_mut_ptr(),
                nulls.as_ptr(),
                snapshot,
                ptr::null_mut(),
                false,
                true,
                all,
            );
            ok(status)?;
            let table = pg_sys::SPI_tuptable;
            let rows: &[pg_sys::HeapTuple] = match table.is_null() {
                true => &[],
                false => slice::from_raw_parts((*table).vals, (*table).numvals as usize),
            };
            let shape = if table.is_null() { ptr::null_mut() } else { (*table).tupdesc };
            let columns = if shape.is_null() { 0 } else { (*shape).natts as usize };
            Ok(Rows {
                rows,
                shape,
                values: vec![Datum::from(0); columns],
                nulls: vec![true; columns],
            })
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
        assert_eq!(arguments.len(), self.types.len(), "an argument for each parameter");
        let plan = self.plan()?;
        let mut reader = Reader {
            base: pg_sys::DestReceiver {
                receiveSlot: Some(receive),
                rStartup: Some(startup),
                rShutdown: Some(nothing),
                rDestroy: Some(nothing),
                mydest: pg_sys::CommandDest::DestNone,
            },
            each,
            row: PgMemoryContexts::new("pg_capi row"),
        };
        // SAFETY: the plan is kept, the list has a place for each parameter, and the receiver lives
        // through the call.
        unsafe {
            let count = i32::try_from(arguments.len()).expect("few parameters");
            let params = pg_sys::makeParamList(count);
            let places = (*params).params.as_mut_ptr();
            for (at, (argument, kind)) in arguments.iter().zip(&*self.types).enumerate() {
                places.add(at).write(pg_sys::ParamExternData {
                    value: argument.unwrap_or(Datum::from(0)),
                    isnull: argument.is_none(),
                    pflags: pg_sys::PARAM_FLAG_CONST as u16,
                    ptype: *kind,
                });
            }
            let options = pg_sys::SPIExecuteOptions {
                params,
                read_only: true,
                dest: (&raw mut reader).cast(),
                ..Default::default()
            };
            ok(pg_sys::SPI_execute_plan_extended(plan, &raw const options))
        }
    }

    /// The plan; made where there is none. It is never one for certain values: planning costs more
    /// than running.
    fn plan(&self) -> Result<pg_sys::SPIPlanPtr, spi::Error> {
        if self.plan.get().is_null() {
            let text = CString::new(&*self.text).expect("names hold no zero byte");
            let count = i32::try_from(self.types.len()).expect("few parameters");
            // SAFETY: text and types live through the call, which copies them. The plan is kept
            // until this statement is dropped.
            unsafe {
                let plan = pg_sys::SPI_prepare_cursor(
                    text.as_ptr(),
                    count,
                    self.types.as_ptr().cast_mut(),
                    pg_sys::CURSOR_OPT_GENERIC_PLAN.cast_signed(),
                );
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
    each: &'a mut dyn FnMut(Record<'_>) -> bool,
    row: PgMemoryContexts,
}

#[pg_guard]
unsafe extern "C-unwind" fn receive(
    slot: *mut pg_sys::TupleTableSlot,
    to: *mut pg_sys::DestReceiver,
) -> bool {
    // SAFETY: the receiver is one of `Statement::stream`, and a slot has so many columns.
    unsafe {
        let Reader { each, row, .. } = &mut *to.cast::<Reader<'_>>();
        pg_sys::slot_getallattrs(slot);
        let columns = (*(*slot).tts_tupleDescriptor).natts as usize;
        let values = slice::from_raw_parts((*slot).tts_values, columns);
        let nulls = slice::from_raw_parts((*slot).tts_isnull, columns);
        row.reset();
        row.switch_to(|_| each(Record { values, nulls }))
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn startup(
    _to: *mut pg_sys::DestReceiver,
    _operation: i32,
    _columns: pg_sys::TupleDesc,
) {
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
    values: Vec<Datum>,
    nulls: Vec<bool>,
}

impl Rows<'_> {
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
        Some(Record { values: &self.values, nulls: &self.nulls })
    }
}

/// A row; its columns count from 0.
#[derive(Clone, Copy)]
pub(crate) struct Record<'row> {
    values: &'row [Datum],
    nulls: &'row [bool],
}

impl<'row> Record<'row> {
    /// The datum of a column; `None` for null.
    pub(crate) fn datum(&self, column: usize) -> Option<Datum> {
        (!self.nulls[column]).then(|| self.values[column])
    }

    /// A column that is passed by value, or a copy that is not Postgres'.
    pub(crate) fn get<T: FromDatum>(&self, column: usize) -> Option<T> {
        // SAFETY: the statement's column has the type that its reader names.
        unsafe { T::from_datum(self.values[column], self.nulls[column]) }
    }

    /// The text of a column of type `text` or `varchar`, where it stands.
    pub(crate) fn text(&self, column: usize) -> Option<&'row str> {
        // SAFETY: as above; the text lives as long as the row.
        unsafe { <&str>::from_datum(self.values[column], self.nulls[column]) }
    }
}

/// An argument of a Rust value; in the memory of the connection.
pub(crate) fn argument(value: impl IntoDatum) -> Argument {
    value.into_datum()
}
