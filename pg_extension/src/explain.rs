//! What becomes of the fields of rows: of one that the caller has read, and of a sample of a view
//! that is read as capture reads it.

#![expect(
    clippy::result_large_err,
    clippy::needless_pass_by_value,
    reason = "pgrx's own error type, raised at once; SQL arguments come by value"
)]

use std::collections::BTreeMap;

use capi_core::capture::{Options, Row};
use capi_core::explain::{self, Survey};
use capi_core::identity::{self, PLATFORMS};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, spi};
use serde_json::{Value, json};

use crate::capture::fields::{Fields, READING};
use crate::capture::jsonb::{Json, JsonText};
use crate::capture::{clock, guard};
use crate::error::{Error, given};
use crate::relation;
use crate::statement::{Argument, Rows, Statement, View, argument};

/// What becomes of each field of a row on a platform. The first line, without a field, tells of
/// the event as a whole.
#[expect(clippy::type_complexity, reason = "the row type of an SQL function")]
#[pg_extern(stable, parallel_safe, name = "_explain_match")]
fn explain_match(
    platform: &str,
    row: JsonText,
    options: Json,
) -> Result<
    TableIterator<
        'static,
        (
            name!(field, Option<&'static str>),
            name!(status, &'static str),
            name!(values_used, Option<i32>),
            name!(reason, Option<String>),
            name!(advice, Option<&'static str>),
        ),
    >,
    ErrorReport,
> {
    if !PLATFORMS.contains(&platform) {
        return Err(Error::UnknownPlatform.into());
    }
    let Value::Object(row) = row.0 else { return Err(Error::NotARow("explain_match").into()) };
    if !row.contains_key("event_name") {
        return Err(Error::NotARow("explain_match").into());
    }
    let row = Row::from_object(row);
    let (options, now) = (read_options(&options)?, clock::now());
    let fields = explain::fields(&row, &options, now, platform);
    let outcome = explain::outcome(row, &options, now, Some(platform));
    let of = platform.to_owned();
    let advice = move |field: Option<&str>, reason: &Option<String>| {
        reason.as_deref().and_then(|reason| explain::advice(field, &of, reason))
    };
    let blame = |reason: &String| match outcome.field {
        Some(field) => format!("{field}: {reason}"),
        None => reason.clone(),
    };
    let whole = (
        None,
        outcome.status,
        None,
        outcome.reason.as_ref().map(blame),
        advice(outcome.field, &outcome.reason),
    );
    let fields = fields.into_iter().map(move |found| {
        let values = i32::try_from(found.values).ok();
        let advice = advice(Some(found.field), &found.reason);
        (Some(found.field), found.status.as_str(), values, found.reason, advice)
    });
    Ok(TableIterator::new(std::iter::once(whole).chain(fields)))
}

/// What a reason means, in one sentence with the way out; null for one that nobody knows.
#[pg_extern(immutable, parallel_safe, name = "_advice")]
fn advice(
    field: Option<&str>,
    platform: Option<&str>,
    reason: Option<&str>,
) -> Option<&'static str> {
    explain::advice(field, platform.unwrap_or("meta"), reason?)
}

/// Reads the latest rows of a view as its owner, as capture does, and counts what becomes of them.
///
/// `kind` is `field` (`present`: rows with a value; `used`: rows in which one goes to the platform;
/// `reasons`: rows by the reason of a drop), `outcome` (`used`: rows; `reasons`: the status),
/// `repeated_id`, or `failed` where the view cannot be read (`reasons`: the SQLSTATE).
#[expect(clippy::type_complexity, reason = "the row type of an SQL function")]
#[pg_extern(stable, name = "_survey")]
fn survey(
    view: Option<pg_sys::Oid>,
    platform: Option<&str>,
    options: Json,
    sample: Option<i64>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(kind, &'static str),
            name!(field, Option<&'static str>),
            name!(sampled, i64),
            name!(present, Option<i64>),
            name!(used, Option<i64>),
            name!(reasons, JsonB),
        ),
    >,
    ErrorReport,
> {
    let (view, sample) = (given(view, "view"), given(sample, "sample"));
    let options = read_options(&options)?;
    let Some(relation) = Relation::open(view)? else {
        let line = ("denied", None, 0, None, None, JsonB(json!({})));
        return Ok(TableIterator::new(vec![line]));
    };
    let rows = match relation.latest(sample) {
        Ok(rows) => rows,
        Err(failure) => {
            let reasons = json!({ guard::condition(failure.code()): 1 });
            let line = ("failed", None, 0, None, None, JsonB(reasons));
            return Ok(TableIterator::new(vec![line]));
        }
    };
    let now = clock::now();
    let mut survey = Survey::default();
    for row in rows {
        pgrx::check_for_interrupts!();
        survey.add(row, &options, now, platform);
    }
    let count = |rows: u64| i64::try_from(rows).unwrap_or(i64::MAX);
    let sampled = count(survey.rows);
    let repeated = survey.repeated_ids();
    let mut lines: Vec<_> = survey
        .fields
        .into_iter()
        .filter(|(_, tally)| tally.present > 0)
        .map(|(field, tally)| {
            let share = |rows| tally.matches.then(|| count(rows));
            let (present, used) = (share(tally.present), share(tally.used));
            ("field", Some(field), sampled, present, used, JsonB(json!(tally.reasons)))
        })
        .collect();
    for ((status, field, reason), rows) in survey.outcomes {
        let reasons = json!({ "status": status, "reason": reason });
        lines.push(("outcome", field, sampled, None, Some(count(rows)), JsonB(reasons)));
    }
    if repeated > 0 {
        let used = Some(count(repeated));
        lines.push(("repeated_id", Some("event_id"), sampled, None, used, JsonB(json!({}))));
    }
    Ok(TableIterator::new(lines))
}

/// The product ids of a view's latest rows that a catalogue does not hold, with the number of rows.
#[pg_extern(stable, name = "_unknown_contents")]
fn unknown_contents(
    view: pg_sys::Oid,
    catalogue: pg_sys::Oid,
    id_column: &str,
    sample: i64,
) -> Result<TableIterator<'static, (name!(content_id, String), name!(conversions, i64))>, ErrorReport>
{
    let view = Relation::open(view)?.ok_or(Error::NotReadable)?;
    let catalogue = Relation::open(catalogue)?.ok_or(Error::NotReadable)?;
    let column =
        relation::columns(catalogue.relation).into_iter().find(|(name, _)| name == id_column);
    // What is no column fails when the statement is planned.
    let of = column.map_or(pg_sys::TEXTOID, |(_, of)| of);
    let failed = |f: guard::Failure| Error::ReadFailed(guard::condition(f.code()));
    let rows = view.latest(sample).map_err(failed)?;
    let mut conversions: BTreeMap<String, i64> = BTreeMap::new();
    for row in rows {
        for id in explain::content_ids(&row) {
            *conversions.entry(id).or_default() += 1;
        }
    }
    let ids: Vec<String> = conversions.keys().cloned().collect();
    let query = format!(
        "select i from unnest($1::text[]) i
        where not exists (select from {} c where {} = i) order by i",
        catalogue.name,
        relation::text_of(of, &format!("c.{}", spi::quote_identifier(id_column))),
    );
    let statement = catalogue.statement(query, vec![pg_sys::TEXTARRAYOID], vec![pg_sys::TEXTOID]);
    let read = |mut rows: Rows<'_>| {
        let mut unknown = Vec::with_capacity(rows.len());
        while let Some(row) = rows.next() {
            unknown.extend(row.text(0).map(str::to_owned));
        }
        unknown
    };
    let unknown = catalogue.read(&statement, || argument(ids), read).map_err(failed)?;
    Ok(TableIterator::new(unknown.into_iter().map(move |id| {
        let rows = conversions.get(&id).copied().unwrap_or_default();
        (id, rows)
    })))
}

fn read_options(options: &Json) -> Result<Options, Error> {
    let country = options.0.get("default_country").and_then(Value::as_str);
    if country.is_some_and(|country| identity::country_code(country).is_err()) {
        return Err(Error::UnknownCountry);
    }
    Ok(Options::from_json(&options.0))
}

/// A table or view of the caller's, or of a role that he is a member of. It is read as its owner,
/// so that what a view calls runs with nobody else's rights; and only by those who are the owner
/// anyway, since as the owner no policy hides a row.
struct Relation {
    relation: pg_sys::Oid,
    /// Quoted and qualified.
    name: String,
    owner: pg_sys::Oid,
}

impl Relation {
    /// `None` where it is another's.
    fn open(relation: pg_sys::Oid) -> Result<Option<Self>, Error> {
        let name = relation::qualified_name(relation).ok_or(Error::NotReadable)?;
        let owner = relation::owner(relation).ok_or(Error::NotReadable)?;
        // SAFETY: look-ups by number in the system cache; a role that is gone has no rights.
        let is_owner = unsafe { pg_sys::has_privs_of_role(pg_sys::GetUserId(), owner) };
        Ok(is_owner.then_some(Self { relation, name, owner }))
    }

    fn statement(
        &self,
        text: String,
        types: Vec<pg_sys::Oid>,
        columns: Vec<pg_sys::Oid>,
    ) -> Statement {
        Statement::of_view(text, types, columns, View::new(self.relation, self.owner, Vec::new()))
    }

    /// A view's latest rows. What is selected is built for those alone, and an index on the time serves.
    fn latest(&self, sample: i64) -> Result<Vec<Row>, guard::Failure> {
        let mut fields = Fields::default();
        for (name, of) in relation::columns(self.relation) {
            fields.add(&name, of, &format!("v.{}", spi::quote_identifier(&name)));
        }
        let text = format!(
            "select null::text{} from (
                select v.* from {} v where v.event_time is not null
                order by v.event_time desc limit $1) v",
            fields.selected(),
            self.name,
        );
        let columns = std::iter::once(pg_sys::TEXTOID).chain(fields.types()).collect();
        let statement = self.statement(text, vec![pg_sys::INT8OID], columns);
        self.read(
            &statement,
            || argument(sample),
            |mut rows| {
                let mut found = Vec::with_capacity(rows.len());
                while let Some(row) = rows.next() {
                    found.push(fields.row(row, 1));
                }
                found
            },
        )
    }

    /// What a statement of one argument finds, in a subtransaction that is undone: whatever a view's
    /// functions write, a look stores nothing.
    fn read<T>(
        &self,
        statement: &Statement,
        given: impl FnOnce() -> Argument,
        read: impl FnOnce(Rows<'_>) -> T,
    ) -> Result<T, guard::Failure> {
        guard::subtransaction(guard::Ending::Undo, || {
            // With the settings of capture: what fails here would fail there.
            let work = || {
                guard::no_temporary_objects_below(self.relation);
                guard::as_reader(self.owner, || {
                    let read = Spi::connect_mut(|client| {
                        Ok::<_, spi::Error>(read(statement.run(client, &[given()])?))
                    });
                    read.unwrap_or_else(|e| pgrx::error!("the relation cannot be read: {e}"))
                })
            };
            guard::with_settings(&READING, || {
                guard::with_settings(&[("row_security", "off")], work)
            })
        })
    }
}
