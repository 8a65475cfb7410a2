//! Whose rights, which settings, and what of a failure: the frame that capture runs in.

use std::ffi::CStr;
use std::panic::AssertUnwindSafe;

use pgrx::pg_sys::panic::CaughtError;
use pgrx::prelude::*;

use crate::error::{Error, c_string};
use crate::{gucs, tables};

/// Runs `work` with another role's rights. On error the surrounding subtransaction restores ours.
pub(super) fn as_role<T>(role: pg_sys::Oid, work: impl FnOnce() -> T) -> T {
    with_rights(role, pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32, work)
}

/// Runs `work`, which executes code of `role`, in a security-restricted operation of that role. A
/// setting that the code changes is put back before anything else runs: a search path left behind
/// would lead our own statements to its functions.
pub(crate) fn as_reader<T>(role: pg_sys::Oid, work: impl FnOnce() -> T) -> T {
    // Looked at each time: a role, or the owner of a view, may have become another.
    // SAFETY: look-ups by number in the system cache; a role that is gone has no rights.
    let is_mighty = unsafe {
        pg_sys::superuser_arg(role)
            || pg_sys::has_bypassrls_privilege(role)
            || pg_sys::has_createrole_privilege(role)
    };
    if is_mighty && !gucs::superuser_views() {
        Error::MightyReader.raise();
    }
    as_restricted(role, work)
}

/// The same for a relation of which nothing is written down.
pub(crate) fn no_temporary_objects_below(relation: pg_sys::Oid) {
    const UNPINNED: &str = "select exists (select from capi._unpinned_functions($1::regclass))";
    let is_unpinned = tables::owner().is_some_and(|owner| {
        as_role(owner, || {
            Spi::get_one_with_args::<bool>(UNPINNED, &[relation.into()]) == Ok(Some(true))
        })
    });
    if is_unpinned {
        no_temporary_objects();
    }
}

/// Refuses to go on in a session that has, or had, temporary objects: an unqualified name in a function of
/// the view would find them, and their owner's code would run with the rights of the view's owner.
pub(crate) fn no_temporary_objects() {
    let (mut tables, mut toast) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
    // SAFETY: reads statics of the backend, which has one thread.
    unsafe { pg_sys::GetTempNamespaceState(&raw mut tables, &raw mut toast) };
    if tables != pg_sys::InvalidOid {
        Error::TemporaryObjects.raise();
    }
}

/// Runs `work` in a security-restricted operation of a role, and puts back the settings.
pub(crate) fn as_restricted<T>(role: pg_sys::Oid, work: impl FnOnce() -> T) -> T {
    let flags = pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION;
    with_settings(&[], || with_rights(role, flags as i32, work))
}

fn with_rights<T>(role: pg_sys::Oid, flags: i32, work: impl FnOnce() -> T) -> T {
    let mut saved = pg_sys::InvalidOid;
    let mut context = 0;
    // SAFETY: statics of the backend, which has one thread. What they were is put back below, or by the
    // end of the (sub)transaction that an error aborts.
    unsafe {
        pg_sys::GetUserIdAndSecContext(&mut saved, &mut context);
        pg_sys::SetUserIdAndSecContext(role, context | flags);
    }
    let result = work();
    // SAFETY: as above.
    unsafe { pg_sys::SetUserIdAndSecContext(saved, context) };
    result
}

/// Runs `work` with settings of its own. On error the surrounding subtransaction restores them.
pub(crate) fn with_settings<T>(settings: &[(&str, &str)], work: impl FnOnce() -> T) -> T {
    // SAFETY: a nest level that AtEOXact_GUC below, or the end of the subtransaction, closes.
    let level = unsafe { pg_sys::NewGUCNestLevel() };
    for (name, value) in settings {
        let name = c_string(name);
        // SAFETY: the name lives through the call; the answer is looked at before anything changes.
        let now = unsafe { pg_sys::GetConfigOption(name.as_ptr(), true, false) };
        // SAFETY: null or a C string of Postgres.
        let now = (!now.is_null()).then(|| unsafe { CStr::from_ptr(now) });
        // Most sessions have most of them already, and looking is cheaper than setting.
        if now.is_some_and(|now| is_same(now.to_bytes(), value.as_bytes())) {
            continue;
        }
        let value = c_string(value);
        // SAFETY: both strings live through the call, which copies them.
        unsafe {
            pg_sys::set_config_option(
                name.as_ptr(),
                value.as_ptr(),
                pg_sys::GucContext::PGC_USERSET,
                pg_sys::GucSource::PGC_S_SESSION,
                pg_sys::GucAction::GUC_ACTION_SAVE,
                true,
                0,
                false,
            );
        }
    }
    let result = work();
    // SAFETY: closes the level that was opened above.
    unsafe { pg_sys::AtEOXact_GUC(false, level) };
    result
}

/// Whether a setting has this value. Debian's name of the time zone means the same.
fn is_same(now: &[u8], wanted: &[u8]) -> bool {
    now == wanted || (wanted == b"UTC" && now == b"Etc/UTC")
}

/// Where Postgres raises what it was asked to stop for.
const INTERRUPTS: &[&str] = &["postgres.c"];

/// Where Postgres says that a backend has no memory.
const MEMORY: &[&str] = &["aset.c", "alignedalloc.c", "bump.c", "generation.c", "mcxt.c", "slab.c"];

/// Where Postgres says that a right is missing.
const RIGHTS: &[&str] = &["aclchk.c", "rls.c"];

/// Where functions raise errors, and foreign tables those of their servers.
const RAISED: &[&str] =
    &["pl_exec.c", "connection.c", "dblink.c", "plpy_elog.c", "plperl.c", "pltcl.c"];

/// Where the library raises its own errors, whose messages hold no values.
const OURS: &[&str] = &["error.rs"];

/// Where Postgres says that transactions cannot be put in an order.
const SERIALIZATION: &[&str] = &[
    "predicate.c",
    "heapam.c",
    "heapam_handler.c",
    "heapam_visibility.c",
    "execMain.c",
    "execReplication.c",
    "nodeLockRows.c",
    "nodeModifyTable.c",
    "ri_triggers.c",
    "trigger.c",
];

/// An error that a subtransaction ended with.
pub(crate) struct Failure(Box<CaughtError>);

impl Failure {
    /// The SQLSTATE.
    pub(crate) fn code(&self) -> PgSqlErrorCode {
        match self.0.as_ref() {
            CaughtError::PostgresError(e)
            | CaughtError::ErrorReport(e)
            | CaughtError::RustPanic { ereport: e, .. } => e.sql_error_code(),
        }
    }

    /// Whether the server knows a way out. Of the errors that say "out of memory", those of a full
    /// table in shared memory do, such as that of the locks: they name the setting that is too
    /// small. A backend without memory has no hint.
    fn has_hint(&self) -> bool {
        match self.0.as_ref() {
            CaughtError::PostgresError(e)
            | CaughtError::ErrorReport(e)
            | CaughtError::RustPanic { ereport: e, .. } => e.hint().is_some(),
        }
    }

    /// The message, only where it can name nothing but an object that is there: of missing rights and of ours.
    /// What a function raises, or names in a statement that it has put together, may be a value.
    pub(super) fn harmless_message(&self) -> Option<String> {
        let code = self.code();
        let is_of_rights = code == PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE;
        let is_of_objects = code == PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE;
        match self.0.as_ref() {
            CaughtError::PostgresError(e)
                if is_of_rights && self.is_of(RIGHTS)
                    || (is_of_rights || is_of_objects) && self.is_of(OURS) =>
            {
                Some(e.message().to_owned())
            }
            CaughtError::ErrorReport(e) if is_of_rights || is_of_objects => {
                Some(e.message().to_owned())
            }
            _ => None,
        }
    }

    /// Whether this server has raised it, in one of these files. A function raises what it likes, and a
    /// foreign table whatever its own server has raised: a cancelled query there is none here.
    fn is_of(&self, files: &[&str]) -> bool {
        match self.0.as_ref() {
            CaughtError::PostgresError(e) => files.contains(&e.file()),
            CaughtError::ErrorReport(_) | CaughtError::RustPanic { .. } => false,
        }
    }

    /// Whether the order must fail too: its user's wish, or the server's lack. The end of a session is no
    /// error that anybody could catch.
    pub(crate) fn must_not_be_swallowed(&self) -> bool {
        // SAFETY: reads a static of the backend, which has one thread.
        let serializable = unsafe { pg_sys::XactIsoLevel } == pg_sys::XACT_SERIALIZABLE as i32;
        match self.code() {
            PgSqlErrorCode::ERRCODE_QUERY_CANCELED => self.is_cancel(),
            PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY => !self.has_hint() && self.is_of(MEMORY),
            PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE => serializable,
            _ => false,
        }
    }

    /// Whether a cancelled query is what it was.
    pub(super) fn is_cancel(&self) -> bool {
        self.code() == PgSqlErrorCode::ERRCODE_QUERY_CANCELED && self.is_of(INTERRUPTS)
    }

    /// Whether another row could do better: not where the statement is wrong (class 42), a lock was
    /// not to be had, or the server lacks something. Trying halves would only take time.
    pub(super) fn is_of_a_row(&self) -> bool {
        let code = sqlstate(self.code());
        let is_of_class = |class: &str| code.starts_with(class);
        // A function, or another server, says that of itself.
        if self.is_of(RAISED) && ["53", "57", "58"].into_iter().any(is_of_class) {
            return true;
        }
        !["42", "53", "55", "57", "58"].into_iter().any(is_of_class) && code != "40P01"
    }

    /// Whether REPEATABLE READ met a row that its snapshot does not show.
    pub(super) fn is_of_the_snapshot(&self) -> bool {
        // SAFETY: reads a static of the backend, which has one thread.
        let repeatable = unsafe { pg_sys::XactIsoLevel } == pg_sys::XACT_REPEATABLE_READ as i32;
        repeatable && self.code() == PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE
    }

    /// Raises the error again; one that a function has raised without its message, which may hold values.
    pub(crate) fn rethrow(self) -> ! {
        let is_serialization = self.code() == PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE;
        if is_serialization && !self.is_of(SERIALIZATION) {
            Error::NotSerializable.raise();
        }
        self.0.rethrow()
    }
}

/// The name of an SQLSTATE, e.g. `division_by_zero`.
pub(crate) fn condition(code: PgSqlErrorCode) -> String {
    format!("{code:?}").trim_start_matches("ERRCODE_").to_lowercase()
}

/// The five characters of an SQLSTATE.
pub(super) fn sqlstate(code: PgSqlErrorCode) -> String {
    let mut packed = code as i32;
    (0..5)
        .map(|_| {
            let six_bits = (packed & 0x3f) as u8;
            packed >>= 6;
            char::from(b'0' + six_bits)
        })
        .collect()
}

/// What to do with a subtransaction whose work went well.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Keep its changes.
    Keep,
    /// Undo them.
    Undo,
}

/// Runs `work` in an internal subtransaction; an error undoes all of it, and nothing else.
pub(crate) fn subtransaction<T>(ending: Ending, work: impl FnOnce() -> T) -> Result<T, Failure> {
    // SAFETY: the frame that PL/pgSQL uses for its exception blocks: memory context and resource
    // owner are put back after either end.
    unsafe {
        let context = pg_sys::CurrentMemoryContext;
        let owner = pg_sys::CurrentResourceOwner;
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(context);
        let end = move |ending: Ending| {
            match ending {
                Ending::Keep => pg_sys::ReleaseCurrentSubTransaction(),
                Ending::Undo => pg_sys::RollbackAndReleaseCurrentSubTransaction(),
            }
            pg_sys::MemoryContextSwitchTo(context);
            pg_sys::CurrentResourceOwner = owner;
        };
        PgTryBuilder::new(AssertUnwindSafe(move || {
            let result = work();
            end(ending);
            Ok(result)
        }))
        .catch_others(move |error| {
            end(Ending::Undo);
            Err(Failure(Box::new(error)))
        })
        .catch_rust_panic(move |error| {
            end(Ending::Undo);
            Err(Failure(Box::new(error)))
        })
        .execute()
    }
}
