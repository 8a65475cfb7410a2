//! What `capi.setup()` makes: the SQL files of the folder `sql`, in order.

use pgrx::prelude::*;

/// Made once, at the first set-up.
const TABLES: &[&str] =
    &[include_str!("../../sql/types.sql"), include_str!("../../sql/tables.sql")];

/// Made anew at every set-up, so that an upgrade replaces them.
const ALWAYS: &[&str] = &[
    include_str!("../../sql/views/field.sql"),
    include_str!("../../sql/views/rule.sql"),
    include_str!("../../sql/views/sources.sql"),
    include_str!("../../sql/views/attempts.sql"),
    include_str!("../../sql/views/sweeps.sql"),
    include_str!("../../sql/views/backfills.sql"),
    include_str!("../../sql/views/delivery.sql"),
    include_str!("../../sql/functions/_bell_key.sql"),
    include_str!("../../sql/functions/_may_send.sql"),
    include_str!("../../sql/functions/_refuses.sql"),
    include_str!("../../sql/functions/_set_state.sql"),
    include_str!("../../sql/functions/_destination_id.sql"),
    include_str!("../../sql/functions/_check_credential_name.sql"),
    include_str!("../../sql/functions/_partitions.sql"),
    include_str!("../../sql/functions/_is_settled_or_open.sql"),
    include_str!("../../sql/functions/_has_unread.sql"),
    include_str!("../../sql/functions/_withdrawn.sql"),
    include_str!("../../sql/functions/_without_withdrawn.sql"),
    include_str!("../../sql/functions/_carve.sql"),
    include_str!("../../sql/functions/_receipts.sql"),
    include_str!("../../sql/functions/_view_columns.sql"),
    include_str!("../../sql/functions/_key_columns.sql"),
    include_str!("../../sql/functions/_is_a_key.sql"),
    include_str!("../../sql/functions/_type_fits.sql"),
    include_str!("../../sql/functions/_filtered_tables.sql"),
    include_str!("../../sql/functions/_unpinned_functions.sql"),
    include_str!("../../sql/functions/_findings.sql"),
    include_str!("../../sql/functions/_source_save.sql"),
    include_str!("../../sql/functions/_make_triggers.sql"),
    include_str!("../../sql/functions/_source_options.sql"),
    include_str!("../../sql/functions/_preview_at.sql"),
    include_str!("../../sql/functions/_sweep_due.sql"),
    include_str!("../../sql/functions/_backfill_open.sql"),
    include_str!("../../sql/functions/_backfill_page.sql"),
    include_str!("../../sql/functions/_depends.sql"),
    include_str!("../../sql/functions/_stale.sql"),
    include_str!("../../sql/functions/_ddl.sql"),
    include_str!("../../sql/functions/_forget.sql"),
    include_str!("../../sql/functions/adopt.sql"),
    include_str!("../../sql/functions/alter_destination.sql"),
    include_str!("../../sql/functions/backfill.sql"),
    include_str!("../../sql/functions/bell_arm.sql"),
    include_str!("../../sql/functions/bell_disarm.sql"),
    include_str!("../../sql/functions/bell_keep.sql"),
    include_str!("../../sql/functions/check_contents.sql"),
    include_str!("../../sql/functions/check_view.sql"),
    include_str!("../../sql/functions/claim.sql"),
    include_str!("../../sql/functions/claimed_events.sql"),
    include_str!("../../sql/functions/create_destination.sql"),
    include_str!("../../sql/functions/destinations.sql"),
    include_str!("../../sql/functions/drop_destination.sql"),
    include_str!("../../sql/functions/explain_match.sql"),
    include_str!("../../sql/functions/find_person.sql"),
    include_str!("../../sql/functions/forget.sql"),
    include_str!("../../sql/functions/forget_person.sql"),
    include_str!("../../sql/functions/handshake.sql"),
    include_str!("../../sql/functions/maintain.sql"),
    include_str!("../../sql/functions/pause.sql"),
    include_str!("../../sql/functions/poll.sql"),
    include_str!("../../sql/functions/preview.sql"),
    include_str!("../../sql/functions/recapture.sql"),
    include_str!("../../sql/functions/record.sql"),
    include_str!("../../sql/functions/release.sql"),
    include_str!("../../sql/functions/resume.sql"),
    include_str!("../../sql/functions/revalidate.sql"),
    include_str!("../../sql/functions/status.sql"),
    include_str!("../../sql/functions/sweep.sql"),
    include_str!("../../sql/functions/track.sql"),
    include_str!("../../sql/functions/untrack.sql"),
    include_str!("../../sql/functions/withdraw.sql"),
    include_str!("../../sql/comments.sql"),
];

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
