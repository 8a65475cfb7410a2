//! Whose rights count: who has called, and what must not run inside of somebody else's statement.
//!
//! A `security definer` function cannot see its caller: `current_user` is its owner then, and
//! `session_user` is whoever the session began as, which in autovacuum, a cascade or another definer
//! function is somebody with more rights than the code that calls. The default of an argument is
//! evaluated as the caller, so such functions have a last argument that by default is a mark of the
//! calling role, which only this backend can make.

use std::cell::OnceCell;
use std::ffi::CStr;
use std::fmt::Write as _;

use capi_core::hash::fingerprint;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::capture::guard::{self, Ending};
use crate::capture::queue_look;
use crate::error::Error;
use crate::gucs;
use crate::tables;

thread_local! {
    /// Without it nobody can make a mark.
    static KEY: OnceCell<String> = const { OnceCell::new() };
}

/// A mark of the role that calls, for functions that check its rights.
#[pg_extern(stable, name = "_who")]
fn who() -> String {
    not_inside();
    // SAFETY: reads statics of the backend, which has one thread.
    mark(unsafe { pg_sys::GetUserId() })
}

/// The role that a mark is of.
#[pg_extern(stable, name = "_whose")]
fn whose(caller: Option<&str>) -> pg_sys::Oid {
    not_inside();
    let role = caller.and_then(|given| {
        let role = pg_sys::Oid::from(given.split(':').next()?.parse::<u32>().ok()?);
        (mark(role) == given).then_some(role)
    });
    role.unwrap_or_else(|| Error::NotAMark.raise())
}

/// Refuses to go on in code that runs inside of an index, a refresh, a captured view or the like,
/// where nobody means to configure anything.
#[pg_extern(stable, name = "_not_inside")]
fn not_inside() {
    if is_inside() {
        Error::Inside.raise();
    }
}

/// Whether code of somebody else's runs, in a security-restricted operation.
#[pg_extern(stable, name = "_is_inside")]
fn is_inside() -> bool {
    // SAFETY: reads statics of the backend, which has one thread.
    unsafe { pg_sys::InSecurityRestrictedOperation() }
}

/// Whether a superuser has said that views of superusers are read.
#[pg_extern(stable, name = "_superuser_views")]
fn superuser_views() -> bool {
    gucs::superuser_views()
}

/// The arbiter key of an event, as capture makes it.
#[pg_extern(immutable, parallel_safe, strict, name = "_event_hash")]
fn event_hash(source: &str, event_name: &str, event_id: &str) -> pgrx::Uuid {
    pgrx::Uuid::from_bytes(fingerprint(&[source, event_name, event_id]))
}

fn mark(role: pg_sys::Oid) -> String {
    let number = role.to_u32().to_string();
    let mut mark = format!("{number}:");
    KEY.with(|key| {
        let key = key.get_or_init(|| {
            let mut bytes = [0_u8; 32];
            // SAFETY: the buffer is as long as is said.
            if !unsafe { pg_sys::pg_strong_random(bytes.as_mut_ptr().cast(), bytes.len()) } {
                pgrx::error!("no random numbers can be had");
            }
            hex(&bytes)
        });
        mark.push_str(&hex(&fingerprint(&[key, &number])));
    });
    mark
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Notes that something has changed which a tracked source is made of.
///
/// It runs with the rights of whoever changes a table, a superuser among them. So it belongs to the
/// extension, and what it calls runs as the owner of the schema, who cannot leave that role.
/// Whatever goes wrong there must not stop somebody's migration.
#[pg_extern(sql = r#"
create function capi._ddl() returns event_trigger language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
"#)]
fn _ddl(call: pg_sys::FunctionCallInfo) {
    // SAFETY: the server hands over a valid call, whose context is null or a node.
    let event = unsafe {
        let context = (*call).context;
        if context.is_null() || (*context).type_ != pg_sys::NodeTag::T_EventTriggerData {
            Error::NotAnEvent.raise();
        }
        let data = context.cast::<pg_sys::EventTriggerData>();
        CStr::from_ptr((*data).event).to_string_lossy().into_owned()
    };
    // Nothing is set up yet, or not any more.
    let Some(owner) = tables::owner() else { return };
    let settings = [("search_path", "pg_catalog, pg_temp"), ("lock_timeout", "1s")];
    let noted = guard::subtransaction(Ending::Keep, || {
        guard::with_settings(&settings, || {
            guard::as_restricted(owner, || {
                Spi::run_with_args("select capi._schema_changed($1)", &[event.into()])
                    .unwrap_or_else(|e| pgrx::error!("a change cannot be noted: {e}"));
            });
        });
    });
    // What a dropped trigger had noted is captured by it.
    queue_look();
    let Err(failure) = noted else { return };
    if failure.must_not_be_swallowed() {
        failure.rethrow();
    }
    ErrorReport::new(
        failure.code(),
        format!(
            "capi: a change of the schema could not be noted ({})",
            guard::condition(failure.code())
        ),
        function_name!(),
    )
    .set_hint("select * from capi.revalidate(); looks at every source.")
    .report(PgLogLevel::WARNING);
}
