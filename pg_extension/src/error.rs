//! Core's errors as Postgres errors: SQLSTATE, message, hint. Never a value.

use std::cell::Cell;
use std::ffi::CString;

use capi_core::destination::SettingsError;
use capi_core::pixel::{self, PixelError};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgSqlErrorCode, function_name};

/// What a function of this extension can refuse.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The lock name is none.
    #[error("unknown lock")]
    UnknownLock,
    /// The field name is none.
    #[error("unknown field")]
    UnknownField {
        /// A field with a similar name.
        nearest: Option<&'static str>,
    },
    /// The field exists and has no rule.
    #[error("field {0} is stored as it is and has no normal form")]
    NoRule(&'static str),
    /// A digest of what is never hashed.
    #[error("the platform takes this field in clear: there is no digest of it")]
    InClear,
    /// A field that the platform does not have.
    #[error("the platform takes no such field")]
    NotTaken,
    /// The platform name is none.
    #[error("unknown platform")]
    UnknownPlatform,
    /// The country is none.
    #[error("country: unknown country")]
    UnknownCountry,
    /// The settings of a destination are wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// There can be no snippet for a page.
    #[error(transparent)]
    Pixel(PixelError),
    /// The argument of the function of this name is no row of a conversion view.
    #[error("{0} must be given a row of a conversion view")]
    NotARow(&'static str),
    /// A table or view is not the caller's.
    #[error("only the owner of the relation and members of that role may look at its rows here")]
    NotReadable,
    /// Reading a table or view fails, with the name of an SQLSTATE.
    #[error("the relation cannot be read as its owner: {0}")]
    ReadFailed(String),
    /// A key that the source cannot have.
    #[error("a key has not the form of the source's keys")]
    NotAKey,
    /// A sweep that takes too long.
    #[error("the view's rows of the time in question were not read within the time limit")]
    SweepTooSlow,
    /// No order of day, month and year.
    #[error("date_order must be dmy, mdy or ymd")]
    UnknownDateOrder,
    /// A conversion view was dropped.
    #[error("the conversion view of a tracked table is gone")]
    ViewGone,
    /// What a statement reads under a name is another relation than it was made for, has another owner
    /// or other types.
    #[error("what is read under the name of a view is not what the view was")]
    ViewChanged,
    /// A field of a conversion view has got a type that it cannot have.
    #[error("{0}: the column of the conversion view has a type that does not fit")]
    TypeChanged(&'static str),
    /// A tracked table was dropped.
    #[error("the tracked table is gone")]
    TableGone,
    /// The view of an audience was dropped.
    #[error("the view of the audience is gone")]
    PeopleGone,
    /// A tracked table got another primary key.
    #[error("the primary key of a tracked table has changed its type")]
    KeyTypeChanged,
    /// `capi.emit` in code that runs with another role's rights.
    #[error("capi.emit cannot be called by a view that is captured, an index or a refresh")]
    EmitInside,
    /// The emitter is somebody else's.
    #[error("permission denied for this emitter")]
    NotACaller,
    /// A JSON argument without an end.
    #[error("the JSON is larger than 32 MB")]
    JsonTooLarge,
    /// More events than one call takes.
    #[error("capi.emit takes {most} events at once")]
    TooManyEvents {
        /// How many it takes.
        most: usize,
    },
    /// A function that configures, in code that runs inside of a statement of somebody else's.
    #[error("this cannot be called by a view that is captured, an index or a refresh")]
    Inside,
    /// A caller that is no mark of this backend.
    #[error("the argument caller is not to be given")]
    NotAMark,
    /// An event trigger's function that was called by hand.
    #[error("this function is called by event triggers only")]
    NotAnEvent,
    /// A trigger's function that was called by hand.
    #[error("this function is called by triggers only")]
    NotATrigger,
    /// The number of a source that is none.
    #[error("no source has this number")]
    NoSource,
    /// The number of an audience that is none.
    #[error("no audience has this number")]
    NoAudience,
    /// An argument, or an element of one, that must not be null.
    #[error("the argument {0} is null")]
    NullArgument(&'static str),
    /// A view whose owner has more rights than its readers should get.
    #[error("the owner of the view is a superuser or has BYPASSRLS or CREATEROLE")]
    MightyReader,
    /// A view that runs a function of somebody who is neither its owner nor a superuser.
    #[error(
        "the view calls a function, or has a type, of somebody who is neither its owner nor a superuser"
    )]
    LendsRights,
    /// A function of the view that may find the session's temporary objects.
    #[error("the session has temporary objects, and a function of the view may find them")]
    TemporaryObjects,
    /// Something below the view asks for the transaction to be tried again.
    #[error("could not serialize access while a conversion was captured")]
    NotSerializable,
    /// `on_error => 'abort'`, and reading or writing failed.
    #[error("conversion cannot be captured: {condition}")]
    CaptureFailed {
        /// The SQLSTATE of the failure.
        code: PgSqlErrorCode,
        /// Its name.
        condition: String,
    },
    /// `on_error => 'abort'`.
    #[error("conversion cannot be captured: {field}: {reason}")]
    Refused {
        /// The field.
        field: &'static str,
        /// The rule that it breaks.
        reason: String,
    },
}

impl Error {
    fn code(&self) -> PgSqlErrorCode {
        match self {
            Self::ViewGone | Self::TableGone | Self::PeopleGone => {
                PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE
            }
            Self::CaptureFailed { code, .. } => *code,
            Self::NotReadable
            | Self::EmitInside
            | Self::NotACaller
            | Self::Inside
            | Self::NotAMark
            | Self::MightyReader
            | Self::LendsRights
            | Self::TemporaryObjects => PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            Self::NotAnEvent => PgSqlErrorCode::ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED,
            Self::NullArgument(_) => PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED,
            Self::NotATrigger => PgSqlErrorCode::ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
            Self::SweepTooSlow | Self::JsonTooLarge | Self::TooManyEvents { .. } => {
                PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED
            }
            Self::ReadFailed(_) | Self::ViewChanged | Self::TypeChanged(_) => {
                PgSqlErrorCode::ERRCODE_INVALID_OBJECT_DEFINITION
            }
            Self::NotSerializable => PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE,
            Self::KeyTypeChanged => PgSqlErrorCode::ERRCODE_DATATYPE_MISMATCH,
            _ => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::UnknownField { nearest: Some(field) } => format!("Did you mean {field}?"),
            Self::UnknownField { nearest: None } => "capi.field lists every name.".into(),
            Self::NoRule(_) => "capi.rule lists the fields that have one.".into(),
            Self::InClear => "capi.normalize gives the text that travels.".into(),
            Self::NotTaken => "capi.rule has the rule of each field.".into(),
            Self::UnknownPlatform => {
                format!("Known are: {}.", capi_core::identity::PLATFORMS.join(", "))
            }
            Self::UnknownLock => "capi._lock_names() lists them.".into(),
            Self::UnknownCountry => "Give an ISO 3166-1 code such as DE.".into(),
            Self::Settings(SettingsError::UnknownPlatform { .. }) => {
                "Name a platform of that list.".into()
            }
            Self::Settings(SettingsError::Setting { .. }) => {
                "capi.platform has sample settings, docs/reference/platforms.md describes each.".into()
            }
            Self::Pixel(PixelError::NoTag { .. }) => {
                format!("Platforms with a browser tag: {}.", pixel::platforms().join(", "))
            }
            Self::Pixel(PixelError::Argument { .. }) => {
                "docs/guides/pixel.md has what a page may ask for.".into()
            }
            Self::Pixel(PixelError::Settings(_)) => {
                "Set it with capi.alter_destination; docs/guides/pixel.md has an example per platform."
                    .into()
            }
            Self::PeopleGone => {
                "Make it again and name it: select capi.alter_audience(…, people => …).".into()
            }
            Self::ViewGone => "Make it again and call capi.track, or call capi.untrack.".into(),
            Self::ViewChanged | Self::TypeChanged(_) => {
                "Look at the view with capi.check_view, and track it again: select capi.track(…);"
                    .into()
            }
            Self::TableGone => {
                "select capi.untrack(source) from capi.sources …, or make it again.".into()
            }
            Self::KeyTypeChanged => "Track it again: select capi.track(…);".into(),
            Self::Refused { .. } | Self::CaptureFailed { .. } => {
                "The source has on_error => 'abort'; with 'record' its transactions commit and \
                 the failure is on record."
                    .into()
            }
            Self::NotARow("preview") => {
                "select capi.preview('meta-eu', p) from shop.purchases p;".into()
            }
            Self::NotARow("pixel_snippet") => {
                "select capi.pixel_snippet('meta-eu', p) from shop.purchases p;".into()
            }
            Self::NotARow(function) => {
                format!("select x.* from shop.purchases p, capi.{function}(p) x;")
            }
            Self::NotReadable => {
                "It is read as its owner, past any policy. Let a member of the owner's role ask."
                    .into()
            }
            Self::ReadFailed(_) => {
                "It is read with search_path pg_catalog and row_security off; query it as its \
                 owner to see the error."
                    .into()
            }
            Self::JsonTooLarge | Self::TooManyEvents { .. } => {
                "Make several calls of it; in one transaction they succeed or fail together.".into()
            }
            Self::EmitInside => "Emit from the application, or from a trigger of its own.".into(),
            Self::Inside => "Call it yourself, or from a job.".into(),
            Self::NotAMark => "Leave it out: it says who calls, and is made by the call.".into(),
            Self::NotAnEvent => "capi.setup() makes the event triggers.".into(),
            Self::NoSource => "select * from capi.sources lists them.".into(),
            Self::NoAudience => "select * from capi.audience_status lists them.".into(),
            Self::NullArgument(_) => "Leave no value out.".into(),
            Self::NotATrigger => "capi.track() makes the triggers.".into(),
            Self::MightyReader => {
                "What the view calls would run with these rights: alter view … owner to a role \
                 without them that may read the tables."
                    .into()
            }
            Self::LendsRights => "It would run with the rights of the view's owner: select * from \
                 capi.check_view(…) names it."
                .into(),
            Self::TemporaryObjects => {
                "alter function … set search_path = …, pg_temp; capi.check_view(…) names the \
                 functions."
                    .into()
            }
            Self::NotSerializable => "Try the transaction again.".into(),
            Self::NotACaller => {
                "capi.create_emitter(…, callers => …) names the roles that may emit there.".into()
            }
            Self::NotAKey => {
                "Keys are spelled as in capi.delivery: a text, or a JSON array of texts.".into()
            }
            Self::SweepTooSlow => {
                "An index on the column behind event_time lets the view be read by time.".into()
            }
            Self::UnknownDateOrder => "dmy says that 02/03/1997 is the second of March.".into(),
        }
    }
}

/// What went wrong with a view, for the record of a capture that failed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// A word that `capi_core::capture::explain` knows.
    pub(crate) reason: &'static str,
    /// The field, where it is one field's.
    pub(crate) field: Option<&'static str>,
}

thread_local! {
    static TROUBLE: Cell<Option<Trouble>> = const { Cell::new(None) };
}

/// The trouble that the last error told of, if any did; forgets it.
pub(crate) fn take_trouble() -> Option<Trouble> {
    TROUBLE.take()
}

impl Error {
    fn trouble(&self) -> Option<Trouble> {
        let (reason, field) = match self {
            Self::ViewGone => ("view_gone", None),
            Self::ViewChanged => ("view_changed", None),
            Self::TypeChanged(field) => ("type_changed", Some(*field)),
            Self::KeyTypeChanged => ("key_changed", None),
            Self::LendsRights => ("lends_rights", None),
            Self::TemporaryObjects => ("temporary_objects", None),
            _ => return None,
        };
        Some(Trouble { reason, field })
    }

    /// Raises the error.
    pub(crate) fn raise(self) -> ! {
        TROUBLE.set(self.trouble());
        ErrorReport::from(self).report(PgLogLevel::ERROR);
        // Of the level ERROR it does not return.
        pgrx::error!("an error was not raised")
    }
}

impl From<PixelError> for Error {
    fn from(error: PixelError) -> Self {
        Self::Pixel(error)
    }
}

impl From<Error> for ErrorReport {
    fn from(error: Error) -> Self {
        Self::new(error.code(), error.to_string(), function_name!()).set_hint(error.hint())
    }
}

/// The value of an argument that must not be null. Where one may be, Postgres calls the function with all
/// of them.
pub(crate) fn given<T>(value: Option<T>, argument: &'static str) -> T {
    value.unwrap_or_else(|| Error::NullArgument(argument).raise())
}

/// The elements of an array, none of which may be null.
pub(crate) fn all_given<T>(values: Vec<Option<T>>, argument: &'static str) -> Vec<T> {
    given(values.into_iter().collect(), argument)
}

/// A text for Postgres. What Postgres has given out holds no zero byte, and what holds one names
/// nothing of Postgres'.
pub(crate) fn c_string(text: &str) -> CString {
    CString::new(text).unwrap_or_else(|_| pgrx::error!("a text holds a zero byte"))
}

/// Keeps backtraces out of errors, which pgrx puts there where the server's environment asks for them: they
/// help nobody who gets them, and go to the application. The standard library looks once.
pub(crate) fn without_backtraces() {
    const SWITCH: &str = "RUST_LIB_BACKTRACE";
    let before = std::env::var_os(SWITCH);
    // SAFETY: a backend has one thread. What was there is put back, for others in this process.
    unsafe {
        std::env::set_var(SWITCH, "0");
        drop(std::backtrace::Backtrace::capture());
        match before {
            Some(before) => std::env::set_var(SWITCH, before),
            None => std::env::remove_var(SWITCH),
        }
    }
}
