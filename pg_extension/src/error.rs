//! Core's errors as Postgres errors: SQLSTATE, message, hint. Never a value.

use capi_core::destination::SettingsError;
use capi_core::pixel::{self, PixelError};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgSqlErrorCode, function_name};

/// What a function of this extension can refuse.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
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
            Self::ViewGone | Self::PeopleGone => PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE,
            Self::CaptureFailed { code, .. } => *code,
            Self::NotReadable | Self::EmitInside | Self::NotACaller => {
                PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE
            }
            Self::SweepTooSlow => PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            Self::ReadFailed(_) => PgSqlErrorCode::ERRCODE_INVALID_OBJECT_DEFINITION,
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
            Self::UnknownCountry => "Give an ISO 3166-1 code such as DE.".into(),
            Self::Settings(SettingsError::UnknownPlatform { .. }) => {
                "Name a platform of that list.".into()
            }
            Self::Settings(SettingsError::Setting { .. }) => {
                "For Meta: {\"pixel_id\": \"1234567890\"}; see the README for every setting.".into()
            }
            Self::Pixel(PixelError::NoTag { .. }) => {
                format!("Tags are known of: {}.", pixel::platforms().join(", "))
            }
            Self::Pixel(PixelError::Argument { .. }) => {
                "docs/pixel.md has what a page may ask for.".into()
            }
            Self::Pixel(PixelError::Settings(_)) => {
                "Set it with capi.alter_destination; docs/pixel.md has an example per platform."
                    .into()
            }
            Self::PeopleGone => {
                "Make it again and name it: select capi.alter_audience(…, people => …).".into()
            }
            Self::ViewGone => "Make it again and call capi.track, or call capi.untrack.".into(),
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
            Self::EmitInside => "Emit from the application, or from a trigger of its own.".into(),
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

impl Error {
    /// Raises the error.
    pub(crate) fn raise(self) -> ! {
        ErrorReport::from(self).report(PgLogLevel::ERROR);
        unreachable!("a report of level ERROR does not return")
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
