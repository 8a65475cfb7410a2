//! Whose rights, which settings, and what of a failure: the frame that capture runs in.

use std::ffi::{CStr, CString};
use std::panic::AssertUnwindSafe;

use pgrx::pg_sys::panic::CaughtError;
use pgrx::prelude::*;

/// Runs `work` with another role's rights. On error the surrounding subtransaction restores ours.
pub(super) fn as_role<T>(role: pg_sys::Oid, work: impl FnOnce() -> T) -> T {
    with_rights(role, pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32, work)
}

/// Runs `work`, which executes code of `role`, in a security-restricted operation of that role. A
/// setting that the code changes is put back before anything else runs: a search path left behind
/// would lead our own statements to its functions.
pub(crate) fn as_reader<T>(role: pg_sys::Oid, work: impl FnOnce() -> T) -> T {
    let flags = pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION;
    with_settings(&[], || with_rights(role, flags as i32, work))
}

fn with_rights<T>(role: pg_sys::Oid, flags: i32, work: impl FnOnce() -> T) -> T {
    let mut saved = pg_sys::InvalidOid;
    let mut context = 0;
    // SAFETY: plain reads and writes of backend state; restored below or by the subtransaction.
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
        let name = CString::new(*name).expect("setting names hold no zero byte");
        // SAFETY: the name lives through the call; the answer is looked at before anything changes.
        let now = unsafe { pg_sys::GetConfigOption(name.as_ptr(), true, false) };
        // SAFETY: null or a C string of Postgres.
        let now = (!now.is_null()).then(|| unsafe { CStr::from_ptr(now) });
        // Most sessions have most of them already, and looking is cheaper than setting.
        if now.is_some_and(|now| is_same(now.to_bytes(), value.as_bytes())) {
            continue;
        }
        let value = CString::new(*value).expect("setting values hold no zero byte");
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

    /// The message, only where it can name nothing but objects: of missing rights, tables and
    /// functions.
    pub(super) fn harmless_message(&self) -> Option<String> {
        let report = match self.0.as_ref() {
            CaughtError::PostgresError(e)
            | CaughtError::ErrorReport(e)
            | CaughtError::RustPanic { ereport: e, .. } => e,
        };
        matches!(
            report.sql_error_code(),
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE
                | PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE
                | PgSqlErrorCode::ERRCODE_UNDEFINED_FUNCTION
        )
        .then(|| report.message().to_owned())
    }

    /// Whether the order must fail too: its user's wish, or the server's end.
    pub(super) fn must_not_be_swallowed(&self) -> bool {
        // SAFETY: a plain read.
        let serializable = unsafe { pg_sys::XactIsoLevel } == pg_sys::XACT_SERIALIZABLE as i32;
        match self.code() {
            PgSqlErrorCode::ERRCODE_QUERY_CANCELED
            | PgSqlErrorCode::ERRCODE_ADMIN_SHUTDOWN
            | PgSqlErrorCode::ERRCODE_CRASH_SHUTDOWN
            | PgSqlErrorCode::ERRCODE_DATABASE_DROPPED => true,
            PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY => !self.has_hint(),
            PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE => serializable,
            _ => false,
        }
    }

    /// Whether a cancelled query is what it was.
    pub(super) fn is_cancel(&self) -> bool {
        self.code() == PgSqlErrorCode::ERRCODE_QUERY_CANCELED
    }

    /// Whether another row could do better: not where the statement is wrong (class 42), a lock was
    /// not to be had, or the server lacks something. Trying halves would only take time.
    pub(super) fn is_of_a_row(&self) -> bool {
        let code = sqlstate(self.code());
        !["42", "53", "55", "57", "58"].contains(&&code[..2]) && code != "40P01"
    }

    /// Whether REPEATABLE READ met a row that its snapshot does not show.
    pub(super) fn is_of_the_snapshot(&self) -> bool {
        // SAFETY: a plain read.
        let repeatable = unsafe { pg_sys::XactIsoLevel } == pg_sys::XACT_REPEATABLE_READ as i32;
        repeatable && self.code() == PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE
    }

    /// Raises the error again.
    pub(super) fn rethrow(self) -> ! {
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
            let six_bits = u8::try_from(packed & 0x3f).expect("six bits");
            packed >>= 6;
            char::from(six_bits + b'0')
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
