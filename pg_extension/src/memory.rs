//! The allocator of the library. Rust ends the process where memory cannot be had, and a backend that ends
//! itself takes all sessions of the cluster with it; Postgres ends the transaction or the session.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::{c_char, c_int};
use std::ptr;

use pgrx::prelude::*;

/// The system's allocator, which ends the session where there is no memory. An error that is caught would
/// pass through frames that may not be unwound: no allocation says that it may fail.
pub(crate) struct Allocator;

unsafe extern "C-unwind" {
    fn errstart(level: c_int, domain: *const c_char) -> bool;
    fn errcode(code: c_int) -> c_int;
    fn errmsg(format: *const c_char, ...) -> c_int;
    fn errfinish(file: *const c_char, line: c_int, function: *const c_char);
}

// SAFETY: hands on what the system's allocator gives, and never null.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        or_end(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        or_end(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller promises.
        or_end(unsafe { System.realloc(place, layout, size) })
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(place, layout) };
    }
}

fn or_end(place: *mut u8) -> *mut u8 {
    if place.is_null() { end() } else { place }
}

/// Ends the session as Postgres ends one, by functions of its own that need no memory of ours.
#[cold]
fn end() -> ! {
    // SAFETY: a backend has one thread; the texts are C strings. With this level the last call ends the
    // process in order, and does not return.
    unsafe {
        if errstart(PgLogLevel::FATAL as c_int, ptr::null()) {
            errcode(PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY as c_int);
            errmsg(c"out of memory in pg_capi".as_ptr());
            errfinish(c"memory.rs".as_ptr(), 0, c"end".as_ptr());
        }
    }
    std::process::abort()
}
