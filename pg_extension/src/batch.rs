//! The events of a batch as rows of the outbox, read with the caller's rights.

use std::thread::LocalKey;

use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys;
use pgrx::spi::{self, Spi};

use crate::statement::{Record, Statement, argument};

/// How columns of a batch's events are read; of the text of the two statements see `reading!`.
pub(crate) struct Reading {
    together: Statement,
    scattered: Statement,
}

/// Columns of the outbox, the first of them `o.id`, and their types.
macro_rules! reading {
    ($columns:literal, $types:expr) => {
        $crate::batch::Reading::new(
            concat!(
                "select ",
                $columns,
                " from capi.outbox o where o.id between $1 and $2 and o.captured_at between $3 and $4"
            ),
            concat!(
                "select ",
                $columns,
                " from capi.outbox o where o.id = any ($1) and o.captured_at between $2 and $3"
            ),
            $types,
        )
    };
}
pub(crate) use reading;

impl Reading {
    pub(crate) const fn new(
        together: &'static str,
        scattered: &'static str,
        columns: &'static [pg_sys::Oid],
    ) -> Self {
        const BETWEEN: &[pg_sys::Oid] =
            &[pg_sys::INT8OID, pg_sys::INT8OID, pg_sys::TIMESTAMPTZOID, pg_sys::TIMESTAMPTZOID];
        const NAMED: &[pg_sys::Oid] =
            &[pg_sys::INT8ARRAYOID, pg_sys::TIMESTAMPTZOID, pg_sys::TIMESTAMPTZOID];
        Self {
            together: Statement::fixed(together, BETWEEN, columns),
            scattered: Statement::fixed(scattered, NAMED, columns),
        }
    }
}

/// Shows these events, captured between these times, until `each` returns false, in
/// any order. One that is not in the outbox is left out.
pub(crate) fn each_event(
    reading: &'static LocalKey<Reading>,
    events: &[i64],
    captured: (TimestampWithTimeZone, TimestampWithTimeZone),
    mut each: impl FnMut(i64, Record<'_>) -> bool,
) -> Result<(), spi::Error> {
    let (Some(low), Some(high)) = (events.iter().min(), events.iter().max()) else {
        return Ok(());
    };
    let (low, high) = (*low, *high);
    let place = |event: i64| usize::try_from(event.abs_diff(low)).unwrap_or(usize::MAX);
    let (from, to) = (argument(captured.0), argument(captured.1));
    // The key is never null.
    let id = |row: Record<'_>| row.get(0).unwrap_or(i64::MIN);
    Spi::connect_mut(|client| {
        reading.with(|reading| {
            // They lie together, as those of most batches do: one walk through the index, and not one
            // search per event.
            if place(high) < 2 * events.len() {
                let mut wanted = vec![false; place(high) + 1];
                for event in events {
                    if let Some(wanted) = wanted.get_mut(place(*event)) {
                        *wanted = true;
                    }
                }
                let arguments = [argument(low), argument(high), from, to];
                reading.together.stream(client, &arguments, &mut |row| {
                    wanted.get(place(id(row))) != Some(&true) || each(id(row), row)
                })
            } else {
                let arguments = [argument(events.to_vec()), from, to];
                reading.scattered.stream(client, &arguments, &mut |row| each(id(row), row))
            }
        })
    })
}
