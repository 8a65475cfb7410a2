//! What `capi.setup()` makes: the SQL files of the folder `sql`, in order.

use pgrx::prelude::*;

// `TABLES`, made once, at the first set-up, and `ALWAYS`, made anew at every one, so that an upgrade
// replaces them: every file of the folders, as `build.rs` lists them.
include!(concat!(env!("OUT_DIR"), "/sql_files.rs"));

/// Run with the rights of who runs the set-up.
const GRANTS: &[&str] =
    &[include_str!("../../sql/grants.sql"), include_str!("../../sql/event_trigger.sql")];

/// The texts that `capi.setup()` executes, in order.
#[pg_extern(immutable, name = "_layout")]
fn layout()
-> TableIterator<'static, (name!(step, i32), name!(part, &'static str), name!(body, &'static str))>
{
    let parts = [("tables", TABLES), ("always", ALWAYS), ("grants", GRANTS)];
    let steps = parts.into_iter().flat_map(|(part, bodies)| bodies.iter().map(move |b| (part, *b)));
    TableIterator::new((1..).zip(steps).map(|(step, (part, body))| (step, part, body)))
}
