//! The people of an audience: reads its view as the view's owner, hashes row by row, and writes down
//! who belongs to it. Clear text stays in the memory of the backend.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, CString, c_long};

use capi_core::audience::{Audience, COLUMNS, CONSENT_AT, Person, person};
use capi_core::field::Kind;
use capi_core::hash::salted;
use capi_core::platform::audience::row_options;
use capi_core::time::Timestamp;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::prelude::*;
use pgrx::{Uuid, spi};
use serde_json::{Map, Value, json};

use super::fields::Fields;
use super::guard::{
    Ending, Failure, as_reader, condition, no_temporary_objects_below, subtransaction,
};
use super::jsonb::Json;
use super::{clock, drain};
use crate::error::Error;
use crate::relation;
use crate::statement::{Statement, View};

/// Rows that are in memory at once.
const CHUNK: c_long = 1_000;

/// Where the people are, and how a row of theirs reads.
struct People {
    relation: pg_sys::Oid,
    owner: pg_sys::Oid,
    fields: Fields,
    statement: Statement,
    valued: bool,
}

/// An audience as the tables have it.
struct List {
    id: i32,
    sync: i64,
    of: Audience,
    salt: Vec<u8>,
}

/// What a reading has counted.
#[derive(Default)]
struct Tally {
    rows: u64,
    eligible: u64,
    withheld: BTreeMap<&'static str, u64>,
}

/// Writes down who is on a list, as its view says now; returns numbers of rows, of those who belong
/// to it, and of the others by reason.
pub(super) fn read(audience: i32, sync: i64) -> Value {
    let (list, people) = load(audience, sync);
    let outcome = subtransaction(Ending::Keep, || drain::framed(|| read_all(&list, &people)));
    let tally = outcome.unwrap_or_else(|failure| give_up(failure));
    json!({"rows": tally.rows, "eligible": tally.eligible, "withheld": tally.withheld})
}

/// Reads one row of a view and forgets it; why it cannot be read, if so.
pub(super) fn trial(relation: pg_sys::Oid) -> Option<String> {
    let people = People::of(relation)?;
    let outcome = subtransaction(Ending::Undo, || {
        drain::framed(|| {
            let name = people.open();
            people.fetch(&name, 1);
        });
    });
    match outcome {
        Ok(()) => None,
        Err(failure) if failure.must_not_be_swallowed() => failure.rethrow(),
        Err(failure) => {
            Some(failure.harmless_message().unwrap_or_else(|| condition(failure.code())))
        }
    }
}

/// The message of an error could quote a value: only its name gets out.
fn give_up(failure: Failure) -> ! {
    if failure.must_not_be_swallowed() {
        failure.rethrow()
    }
    Error::ReadFailed(failure.harmless_message().unwrap_or_else(|| condition(failure.code())))
        .raise()
}

fn load(audience: i32, sync: i64) -> (List, People) {
    let query = "select a.people::oid, a.settings, d.platform, d.name, i.salt
        from capi.audience a
        join capi.destination d on d.destination = a.destination
        cross join capi.installation i
        where a.audience = $1";
    let found = Spi::connect(|client| {
        let rows = client.select(query, Some(1), &[audience.into()])?;
        if rows.is_empty() {
            Error::NoAudience.raise();
        }
        let row = rows.first();
        let settings = row.get::<Json>(2)?.map_or(Value::Null, |Json(settings)| settings);
        Ok::<_, spi::Error>((
            row.get::<pg_sys::Oid>(1)?,
            settings,
            row.get::<String>(3)?,
            row.get::<String>(4)?,
            row.get::<Vec<u8>>(5)?,
        ))
    });
    let (relation, settings, platform, destination, salt) =
        found.unwrap_or_else(|e| pgrx::error!("audience cannot be read: {e}"));
    let people = relation.and_then(People::of).unwrap_or_else(|| Error::PeopleGone.raise());
    let of = Audience {
        platform: platform.unwrap_or_default(),
        destination: destination.unwrap_or_default(),
        options: row_options(&settings),
        valued: people.valued,
    };
    (List { id: audience, sync, of, salt: salt.unwrap_or_default() }, people)
}

impl People {
    /// `None` where the relation is gone.
    fn of(relation: pg_sys::Oid) -> Option<Self> {
        let (view, owner) = (relation::qualified_name(relation)?, relation::owner(relation)?);
        let mut fields = Fields::default();
        for (name, of) in relation::columns(relation) {
            let column = format!("v.{}", spi::quote_identifier(&name));
            let misfit = match () {
                () if name == CONSENT_AT => fields.add_as(CONSENT_AT, Kind::Timestamp, of, &column),
                () if COLUMNS.contains(&name.as_str()) => fields.add(&name, of, &column),
                () => None,
            };
            // A table's column may have got another type since: a time without zone is another time.
            if let Some(field) = misfit {
                Error::TypeChanged(field).raise();
            }
        }
        let query = format!("select v is null{} from {view} v", fields.selected());
        let columns = std::iter::once(pg_sys::BOOLOID).chain(fields.types()).collect();
        let statement =
            Statement::of_view(query, vec![], columns, View::new(relation, owner, Vec::new()));
        Some(Self { relation, owner, valued: fields.has("value"), fields, statement })
    }

    /// Opens a cursor as the owner, whose snapshot all rows are of.
    fn open(&self) -> CString {
        no_temporary_objects_below(self.relation);
        as_reader(self.owner, || {
            Spi::connect_mut(|client| self.statement.open(client, &[]))
                .unwrap_or_else(|e| pgrx::error!("rows cannot be read: {e}"))
        })
    }

    /// The next rows as objects. What the view calls runs here, so this is the owner's, too.
    fn fetch(&self, cursor: &CStr, rows: c_long) -> Vec<Map<String, Value>> {
        as_reader(self.owner, || {
            Spi::connect_mut(|client| {
                let mut rows = self.statement.fetch(client, cursor, rows);
                let mut found = Vec::with_capacity(rows.len());
                while let Some(row) = rows.next() {
                    let fields = self.fields.row(row, 1).0.into_iter();
                    found.push(fields.map(|(name, value)| (name.to_owned(), value)).collect());
                }
                found
            })
        })
    }
}

fn read_all(list: &List, people: &People) -> Tally {
    let cursor = people.open();
    let now = clock::now();
    let mut tally = Tally::default();
    loop {
        let rows = people.fetch(&cursor, CHUNK);
        if rows.is_empty() {
            return tally;
        }
        tally.rows += rows.len() as u64;
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            pgrx::check_for_interrupts!();
            match person(row, &list.of, now) {
                Ok(person) => found.push(person),
                Err(reason) => *tally.withheld.entry(reason).or_default() += 1,
            }
        }
        let put = bar(list, found, &mut tally).and_then(|found| {
            tally.eligible += found.len() as u64;
            put(list, &found)
        });
        put.unwrap_or_else(|e| pgrx::error!("people cannot be written: {e}"));
    }
}

/// Leaves out who was forgotten, and who has withdrawn and not consented since.
fn bar(list: &List, people: Vec<Person>, tally: &mut Tally) -> Result<Vec<Person>, spi::Error> {
    let salted: Vec<Vec<Vec<u8>>> = people
        .iter()
        .map(|person| person.known_by.iter().map(|d| salted(&list.salt, d).to_vec()).collect())
        .collect();
    let bars = bars(list, salted.iter().flatten().cloned().collect())?;
    let mut free = Vec::with_capacity(people.len());
    for (person, salted) in people.into_iter().zip(salted) {
        let bars = || salted.iter().filter_map(|salted| bars.get(salted));
        let since = |at: &Timestamp| person.consent_at.is_none_or(|consent| consent <= *at);
        let reason = match () {
            () if bars().any(|bar| bar.forgotten) => "forgotten",
            () if bars().filter_map(|bar| bar.withdrawn_at.as_ref()).any(since) => "withdrawn",
            () => {
                free.push(person);
                continue;
            }
        };
        *tally.withheld.entry(reason).or_default() += 1;
    }
    Ok(free)
}

/// What keeps a person out.
#[derive(Default)]
struct Bar {
    forgotten: bool,
    withdrawn_at: Option<Timestamp>,
}

fn bars(list: &List, salted: Vec<Vec<u8>>) -> Result<HashMap<Vec<u8>, Bar>, spi::Error> {
    let query = "select f.salted, null::timestamptz from capi.forgotten f where f.salted = any ($1)
        union all
        select p.salted, max(w.at)
        from capi.withdrawn_person p
        join capi.withdrawal w on w.source = p.source and w.key = p.key
        where p.salted = any ($1) and capi._refuses(w.refused, $2, $3)
        group by p.salted";
    Spi::connect(|client| {
        let (platform, destination) = (list.of.platform.as_str(), list.of.destination.as_str());
        let arguments = [salted.into(), platform.into(), destination.into()];
        let mut bars: HashMap<Vec<u8>, Bar> = HashMap::new();
        for row in client.select(query, None, &arguments)? {
            let Some(salted) = row.get::<Vec<u8>>(1)? else { continue };
            let bar = bars.entry(salted).or_default();
            match row.get::<TimestampWithTimeZone>(2)? {
                None => bar.forgotten = true,
                Some(at) => bar.withdrawn_at = Some(clock::from_postgres(at.into_inner())),
            }
        }
        Ok(bars)
    })
}

/// Of several rows of one person the one of the greatest value counts, then that of the greatest
/// content: the same one at every sync, in whatever order the rows come.
const PUT: &str = "
insert into capi.audience_member as m (audience, person, sync, content, value, digests)
select $1, i.person, $2, i.content, i.value::numeric, string_to_array(i.digests, ',')
from (
    select distinct on (u.person) u.*
    from unnest($3::uuid[], $4::uuid[], $5::text[], $6::text[]) u (person, content, value, digests)
    order by u.person, u.value::numeric desc nulls last, u.content desc
) i
on conflict on constraint audience_member_pkey do update
set sync = excluded.sync, content = excluded.content, value = excluded.value, digests = excluded.digests
where m.sync <> excluded.sync
    or (coalesce(excluded.value, -1), excluded.content) > (coalesce(m.value, -1), m.content)";

fn put(list: &List, people: &[Person]) -> Result<(), spi::Error> {
    if people.is_empty() {
        return Ok(());
    }
    Spi::connect_mut(|client| {
        let uuids = |of: &dyn Fn(&Person) -> [u8; 16]| -> Vec<Uuid> {
            people.iter().map(|person| Uuid::from_bytes(of(person))).collect()
        };
        let keys = uuids(&|person| person.key(&list.salt, list.id));
        let contents = uuids(&Person::content);
        let values: Vec<Option<String>> = people
            .iter()
            .map(|person| person.value.as_ref().map(|value| value.as_str().to_owned()))
            .collect();
        let digests: Vec<String> =
            people.iter().map(|person| person.digests().collect::<Vec<_>>().join(",")).collect();
        let arguments = [
            list.id.into(),
            list.sync.into(),
            keys.into(),
            contents.into(),
            values.into(),
            digests.into(),
        ];
        client.update(PUT, None, &arguments).map(drop)
    })
}
