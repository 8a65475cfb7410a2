//! From a row of a conversion view to an event: what is checked, hashed, kept and dropped.
//!
//! A bad field drops the field, never the event, and says why. A missing or impossible value of
//! the event itself (name, id, time, money) is a fault: on record, and the id stays unused.

mod browser;
mod conversion;
mod emitted;
mod facts;
mod json_fields;
mod person;
mod reason;
mod redact;
mod row;

pub(crate) use conversion::identity;
pub use conversion::{
    Captured, Fault, NO_KEY, NewEvent, Options, capture, event_text, is_recordable, key_fault,
    refusal,
};
pub use emitted::{Emitted, emitted};
pub(crate) use person::person_in;
pub use reason::explain;
pub use row::Row;
