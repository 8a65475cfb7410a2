//! Lines of the server log that quote nothing: a plain LOG line brings the running statement along,
//! and with it the values that an application has written into it.

use std::ffi::{c_char, c_int};

use pgrx::prelude::*;

use crate::error::c_string;

// `utils/elog.h`, the same from Postgres 13 on; pgrx has no binding that hides the statement.
unsafe extern "C-unwind" {
    fn errstart(level: c_int, domain: *const c_char) -> bool;
    fn errmsg_internal(format: *const c_char, ...) -> c_int;
    fn errhidestmt(hide: bool) -> c_int;
    fn errhidecontext(hide: bool) -> c_int;
    fn errfinish(file: *const c_char, line: c_int, function: *const c_char);
}

/// Writes a line without statement and context. The text may name keys, never a value.
pub(super) fn log(message: &str) {
    let message = c_string(&message.replace('\0', ""));
    // SAFETY: the calls of the macro ereport in its order, with strings that outlive them. LOG itself
    // raises nothing; what a hook of the log raises, the boundary makes a panic that unwinds.
    unsafe {
        pg_sys::ffi::pg_guard_ffi_boundary(|| {
            if errstart(pg_sys::LOG as c_int, std::ptr::null()) {
                errmsg_internal(c"%s".as_ptr(), message.as_ptr());
                errhidestmt(true);
                errhidecontext(true);
                errfinish(c"capture".as_ptr(), 0, c"log".as_ptr());
            }
        });
    }
}
