//! The people of an audience: reads its view as the view's owner, hashes row by row, and writes down
//! who belongs to it. Clear text stays in the memory of the backend.

use std::collections::{BTreeMap, HashMap};

use capi_core::audience::{Audience, COLUMNS, CONSENT_AT, Person, person};
use capi_core::destination::audience::row_options;
use capi_core::hash::salted;
use capi_core::time::Timestamp;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::prelude::*;
use pgrx::{JsonB, Uuid, spi};
use serde_json::{Map, Value, json};

use super::guard::{Ending, Failure, as_reader, condition, subtransaction};
use super::{clock, drain};
use crate::error::Error;

/// Rows that are in memory at once.
const CHUNK: i64 = 1_000;

/// Where the people are, and how a row of theirs reads.
struct People {
    owner: pg_sys::Oid,
    query: String,
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
        let row = rows.first();
        let settings = row.get::<JsonB>(2)?.map_or(Value::Null, |JsonB(settings)| settings);
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
        let query = "select quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relowner,
                array(select a.attname::text from pg_catalog.pg_attribute a
                    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
                array(select t.typcategory::text || ' ' || coalesce(nullif(t.typbasetype, 0), t.oid)::text
                    from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.oid = a.atttypid
                    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)
            from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where c.oid = $1";
        let found = Spi::connect(|client| {
            let rows = client.select(query, Some(1), &[relation.into()])?;
            if rows.is_empty() {
                return Ok(None);
            }
            let row = rows.first();
            let name = row.get::<String>(1)?;
            let owner = row.get::<pg_sys::Oid>(2)?;
            let names = row.get::<Vec<String>>(3)?.unwrap_or_default();
            let types = row.get::<Vec<String>>(4)?.unwrap_or_default();
            Ok::<_, spi::Error>(name.zip(owner).map(|found| (found, names, types)))
        });
        let found = found.unwrap_or_else(|e| pgrx::error!("the catalog cannot be read: {e}"));
        let ((view, owner), names, types) = found?;
        let known = |name: &&str| names.iter().position(|column| column == name);
        let parts: Vec<String> = COLUMNS
            .iter()
            .chain([&CONSENT_AT])
            .filter_map(|name| Some((*name, types.get(known(name)?)?)))
            .map(|(name, of)| format!("'{name}', {}", expression(name, of)))
            .collect();
        let query = format!("select jsonb_build_object({})::text from {view} v", parts.join(", "));
        Some(Self { owner, query, valued: names.iter().any(|name| name == "value") })
    }

    /// Opens a cursor as the owner, whose snapshot all rows are of.
    fn open(&self) -> String {
        as_reader(self.owner, || {
            Spi::connect(|client| client.open_cursor(self.query.as_str(), &[]).detach_into_name())
        })
    }

    /// The next rows as objects. What the view calls runs here, so this is the owner's, too.
    fn fetch(&self, cursor: &str, rows: i64) -> Vec<Map<String, Value>> {
        let read = as_reader(self.owner, || {
            Spi::connect(|client| {
                let mut cursor = client.find_cursor(cursor)?;
                let texts: Result<Vec<_>, _> =
                    cursor.fetch(rows)?.map(|row| row.get::<String>(1)).collect();
                let _still_open = cursor.detach_into_name();
                texts
            })
        });
        let texts = read.unwrap_or_else(|e: spi::Error| pgrx::error!("rows cannot be read: {e}"));
        let object = |text: Option<String>| match serde_json::from_str(&text?) {
            Ok(Value::Object(row)) => Some(row),
            _ => None,
        };
        texts.into_iter().filter_map(object).collect()
    }
}

/// A column as capture reads it: the same text has the same digest. Given as category and type.
fn expression(name: &str, of: &str) -> String {
    let column = format!("v.{}", spi::quote_identifier(name));
    let (category, base) = of.split_once(' ').unwrap_or(("", ""));
    let is = |oid: pg_sys::Oid| base == oid.to_u32().to_string();
    match () {
        // Not a time that anybody consented at.
        () if name == CONSENT_AT => format!(
            "case when isfinite({column}) then (extract(epoch from {column}) * 1000000)::bigint end"
        ),
        () if category == "A" => format!("to_jsonb({column})"),
        () if is(pg_sys::JSONBOID) || is(pg_sys::JSONOID) => format!("{column}::jsonb"),
        () if is(pg_sys::DATEOID) => format!("to_char({column}, 'YYYY-MM-DD')"),
        () => format!("{column}::text"),
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
