//! One session of the torture: random transactions, and a new session when the old one was killed.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::shared::{Shared, TRACE};
use crate::chance::Chance;
use crate::cluster::Cluster;
use crate::database::{Refusal, Session, Trouble, quoted};
use crate::patience::Deadline;

/// A table of the torture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Table {
    Orders,
    Parted,
    Family,
    Words,
}

use Table::{Family, Orders, Parted, Words};

const TABLES: [Table; 4] = [Orders, Parted, Family, Words];
const REGIONS: [&str; 4] = ["north", "south", "west", "o'st \"3\", {x}"];

impl Table {
    /// The table that a number belongs to.
    fn of(n: u64) -> Self {
        TABLES[n as usize % TABLES.len()]
    }

    fn name(self) -> &'static str {
        match self {
            Orders => "torture.orders",
            Parted => "torture.parted",
            Family => "torture.family",
            Words => "torture.words",
        }
    }

    /// Names of the key columns.
    fn key(self) -> &'static str {
        match self {
            Orders | Family => "id",
            Parted => "region, number",
            Words => "word",
        }
    }

    /// The key of a number, as literals.
    fn value(self, n: u64) -> String {
        match self {
            Orders => n.to_string(),
            Parted => {
                format!("{}, {n}", quoted(REGIONS[n as usize / TABLES.len() % REGIONS.len()]))
            }
            Family => format!(
                "'{:08x}-0000-4000-8000-{n:012x}'::uuid",
                n.wrapping_mul(2_654_435_761) as u32
            ),
            Words => quoted(&format!("wörd \"{n}\", it's {{{n}}} 100%")),
        }
    }

    /// Finds the row of a number, whatever partition it has moved to.
    fn is(self, n: u64) -> String {
        match self {
            Parted => format!("number = {n}"),
            _ => format!("({}) = ({})", self.key(), self.value(n)),
        }
    }

    /// The key of a row as the outbox spells it.
    fn spelled(self) -> &'static str {
        match self {
            Orders | Family => "x.id::text",
            Parted => "jsonb_build_array(x.region, x.number::text)::text",
            Words => "x.word",
        }
    }

    fn event(self) -> &'static str {
        match self {
            Orders => "'order-' || x.id, x.total, 'EUR'",
            Parted => "'parted-' || x.region || x.number, x.total, 'USD'",
            Family => "'family-' || x.id, x.total, 'GBP'",
            Words => "'word-' || x.word, x.total, 'PLN'",
        }
    }

    /// Into the books: what was a conversion and is none any more.
    fn goodbye(self) -> String {
        format!(
            "insert into torture.gone select '{}', {}, {} from x
            where x.paid_at is not null and x.consent is not null returning 1",
            self.name(),
            self.spelled(),
            self.event()
        )
    }
}

/// Columns beside the key, and their values for a number.
const COLUMNS: &str = "paid_at, total, email, consent, keep";

fn row(n: u64, paid: bool, consent: &str, keep: bool) -> String {
    let paid = if paid { "clock_timestamp()" } else { "null" };
    format!("{paid}, {}, '{TRACE}{n}@example.com', {consent}, {keep}", total(n))
}

fn total(n: u64) -> String {
    format!("{}.{:02}", n % 997 + 1, n % 100)
}

/// How a transaction ended.
enum Ended {
    Well,
    Refused(Refusal),
}

pub(super) struct Worker {
    number: u64,
    chance: Chance,
    shared: Arc<Shared>,
    place: (&'static Cluster, String),
    /// Names of prepared transactions.
    prepared: u64,
    /// Numbers that the transaction has used first.
    new: Vec<u64>,
}

impl Worker {
    pub(super) fn new(
        number: u64,
        chance: Chance,
        shared: Arc<Shared>,
        place: (&'static Cluster, String),
    ) -> Self {
        Self { number, chance, shared, place, prepared: 0, new: Vec::new() }
    }

    /// Trades until the shop closes.
    pub(super) async fn work(mut self) {
        while self.is_open() {
            let mut app = self.connect("app").await;
            let boss = self.connect("postgres").await;
            while self.is_open() {
                match self.deal(&mut app, &boss).await {
                    Ok(Ended::Well) => self.add("transactions"),
                    Ok(Ended::Refused(refusal)) => {
                        // What the server lacks is worth a word.
                        let lacks = refusal.code.starts_with("53");
                        let why = if lacks { refusal.hint.as_str() } else { "" };
                        self.add(format!("refused {} {why}", refusal.code).trim_end());
                        if app.attempt("rollback").await.is_err() {
                            break;
                        }
                    }
                    Err(Trouble::Refused(refusal)) => panic!("{refusal:?}"),
                    Err(Trouble::Lost) => {
                        self.add("connections lost");
                        break;
                    }
                }
            }
        }
    }

    fn is_open(&self) -> bool {
        self.shared.open.load(Ordering::Relaxed)
    }

    fn add(&self, kind: &str) {
        self.shared.tally.add(kind);
    }

    async fn connect(&self, role: &str) -> Session {
        let deadline = Deadline::after(60);
        loop {
            match self.try_connect(role).await {
                Ok(session) => return session,
                Err(seen) => deadline.pause("the server takes connections", &seen).await,
            }
        }
    }

    async fn try_connect(&self, role: &str) -> Result<Session, String> {
        let session = Session::try_connect(self.place.0, &self.place.1, role).await?;
        // Whoever waits for a prepared transaction gives up; so does the application.
        let settings = "set lock_timeout = '250ms'; set statement_timeout = '10s'";
        session.attempt(settings).await.map_err(|_| "lost".to_owned())?;
        Ok(session)
    }

    /// A number that nobody has used, for a row of this table.
    fn fresh(&mut self, table: Table) -> u64 {
        let counter = &self.shared.numbers[self.number as usize];
        loop {
            let n = (self.number + 1) * 10_000_000 + counter.fetch_add(1, Ordering::Relaxed);
            if Table::of(n) == table {
                self.new.push(n);
                return n;
            }
        }
    }

    /// A number that somebody has used lately.
    fn used(&mut self) -> u64 {
        let recent = self.shared.recent.lock().expect("no panic");
        if !recent.is_empty() && self.chance.percent(85) {
            return recent[self.chance.below(recent.len() as u64) as usize];
        }
        drop(recent);
        let worker = self.chance.below(self.shared.numbers.len() as u64);
        let upto = self.shared.numbers[worker as usize].load(Ordering::Relaxed);
        (worker + 1) * 10_000_000 + upto.saturating_sub(self.chance.below(40) + 1)
    }

    /// One of the few rows that many write at the same time.
    fn hot(&mut self) -> u64 {
        900_000_000
            + self.chance.below(40)
            + 40 * (self.shared.numbers[0].load(Ordering::Relaxed) / 50)
    }

    /// A transaction.
    async fn deal(&mut self, app: &mut Session, boss: &Session) -> Result<Ended, Trouble> {
        if self.chance.percent(3) {
            let table = self.chance.of(&[Orders, Family]);
            let key = table.value(self.used()).replace("::uuid", "").replace('\'', "");
            let call =
                format!("select capi.withdraw('{}', '{key}', note => 'torture')", table.name());
            return self.step(boss, "withdraw", &call).await;
        }
        self.new.clear();
        let isolation = self.chance.of(&[
            "read committed",
            "read committed",
            "read committed",
            "repeatable read",
            "serializable",
        ]);
        let mut done = vec![isolation];
        let mut steps = vec![format!("begin isolation level {isolation}")];
        // What leaves the view must come first: then it is a committed row that does.
        let leaving = self.chance.percent(40).then(|| self.leave());
        steps.extend(leaving.iter().map(|(_, sql)| sql.clone()));
        if self.chance.percent(12) {
            done.push("constraints immediate");
            steps.push("set constraints all immediate".to_owned());
        }
        let mut copies = Vec::new();
        for n in 0..=self.chance.below(4) {
            let point = self.chance.percent(30);
            if point {
                steps.push(format!("savepoint s{n}"));
            }
            self.change(&mut done, &mut steps, &mut copies);
            if self.chance.percent(6) {
                done.push("constraints immediate");
                steps.push("set constraints all immediate".to_owned());
            }
            if point {
                let (kind, end) = self.chance.of(&[
                    ("savepoint released", "release"),
                    ("savepoint rolled back", "rollback to"),
                    ("savepoint left open", ""),
                ]);
                done.push(kind);
                if !end.is_empty() {
                    steps.push(format!("{end} s{n}"));
                }
            }
        }
        self.prepared += 1;
        let gid =
            format!("torture-{}-{}-{}", self.number, self.prepared, self.chance.below(1 << 40));
        let (kind, ends): (&str, Vec<String>) = match self.chance.below(100) {
            0..6 => ("rolled back", vec!["rollback".into()]),
            6..12 => (
                "prepared and committed",
                vec![format!("prepare transaction '{gid}'"), format!("commit prepared '{gid}'")],
            ),
            12..16 => (
                "prepared and rolled back",
                vec![format!("prepare transaction '{gid}'"), format!("rollback prepared '{gid}'")],
            ),
            16..17 => ("prepared and left", vec![format!("prepare transaction '{gid}'")]),
            _ => ("committed", vec!["commit".into()]),
        };
        done.push(kind);
        let mut copies = copies.into_iter();
        for step in steps.iter().chain(&ends) {
            let answer = match step.strip_prefix("copy ") {
                Some(_) => app.copy(step, copies.next().expect("rows of each copy")).await,
                None => app.attempt(step).await.map(|rows| {
                    // Not every number has a row that can leave.
                    done.extend(
                        leaving.iter().filter(|l| l.1 == *step && !rows.is_empty()).map(|l| l.0),
                    );
                }),
            };
            match answer {
                Ok(()) => {}
                Err(Trouble::Refused(refusal)) => return Ok(Ended::Refused(refusal)),
                Err(Trouble::Lost) => return Err(Trouble::Lost),
            }
        }
        for kind in done {
            self.add(kind);
        }
        let mut recent = self.shared.recent.lock().expect("no panic");
        recent.extend(self.new.drain(..));
        let surplus = recent.len().saturating_sub(60);
        recent.drain(..surplus);
        drop(recent);
        Ok(Ended::Well)
    }

    async fn step(&self, session: &Session, kind: &str, sql: &str) -> Result<Ended, Trouble> {
        match session.attempt(sql).await {
            Ok(_) => {
                self.add(kind);
                Ok(Ended::Well)
            }
            Err(Trouble::Refused(refusal)) => Ok(Ended::Refused(refusal)),
            Err(Trouble::Lost) => Err(Trouble::Lost),
        }
    }

    /// A committed row leaves the view: deleted, moved, or under another key.
    fn leave(&mut self) -> (&'static str, String) {
        let n = self.used();
        let table = Table::of(n);
        let (name, key) = (table.name(), table.key());
        let row = format!("from {name} where {} and not keep", table.is(n));
        let goodbye = table.goodbye();
        let (kind, set, other) = match (self.chance.below(3), table) {
            (0, _) => {
                return ("delete", format!("with x as (delete {row} returning *) {goodbye}"));
            }
            (_, Parted) => {
                let region = quoted(self.chance.of(&REGIONS));
                let set = format!("region = {region}, touched = t.touched + 1");
                ("moved partition", set, format!(" and region <> {region}"))
            }
            _ => {
                let new = self.fresh(table);
                ("changed key", format!("{key} = {}", table.value(new)), String::new())
            }
        };
        let same: Vec<_> = key.split(", ").map(|k| format!("t.{k} = x.{k}")).collect();
        let sql = format!(
            "with x as (select * {row}{other} for update),
            changed as (update {name} t set {set} from x where {})
            {goodbye}",
            same.join(" and ")
        );
        (kind, sql)
    }

    /// Something that adds or changes rows.
    fn change(
        &mut self,
        done: &mut Vec<&'static str>,
        steps: &mut Vec<String>,
        copies: &mut Vec<String>,
    ) {
        let (table, used, hot) = (self.chance.of(&TABLES), self.used(), self.hot());
        let (name, key) = (table.name(), table.key());
        let consent = self.chance.of(&["true", "true", "true", "false", "null"]);
        let new = self.fresh(table);
        let paid = self.chance.percent(70);
        // Half of the rows of a family are a child's.
        let into = if table == Family && new % 8 == 2 { "torture.child" } else { name };
        let insert = format!(
            "insert into {into} ({key}, {COLUMNS}) values ({}, {})",
            table.value(new),
            row(new, paid, consent, false)
        );
        let pay = "paid_at = coalesce(paid_at, clock_timestamp()), touched = touched + 1";
        match self.chance.below(24) {
            0..4 => {
                done.push("insert");
                steps.push(insert);
            }
            4..6 => {
                done.push("several updates");
                steps.push(insert);
                let is = table.is(new);
                steps.push(format!("update {name} set total = total + 1 where {is}"));
                steps.push(format!("update {name} set total = total + 1, {pay} where {is}"));
                steps.push(format!("update {name} set touched = touched + 1 where {is}"));
            }
            6..8 => {
                done.push("gone in the same transaction");
                steps.push(insert);
                steps.push(format!("delete from {name} where {}", table.is(new)));
            }
            8..11 => {
                done.push("flip");
                let table = Table::of(used);
                steps.push(format!("update {} set {pay} where {}", table.name(), table.is(used)));
            }
            11..13 => {
                done.push("consent flip");
                let (name, is) = (Table::of(used).name(), Table::of(used).is(used));
                steps.push(format!(
                    "update {name} set consent = not coalesce(consent, {}) where {is}",
                    self.chance.percent(50)
                ));
            }
            13 => {
                done.push("copy");
                let mut rows = String::new();
                for _ in 0..=self.chance.below(20) {
                    let n = self.fresh(Orders);
                    writeln!(
                        rows,
                        "{n}\t2026-11-20 10:00:00+00\t{}\t{TRACE}{n}@example.com\tt\tf",
                        total(n)
                    )
                    .expect("a text");
                }
                // Whenever the test runs: not before the tracking began.
                let now = "update torture.orders set paid_at = clock_timestamp() where paid_at = '2026-11-20 10:00:00+00'";
                steps.push(format!("copy torture.orders (id, {COLUMNS}) from stdin"));
                steps.push(now.to_owned());
                copies.push(rows);
            }
            14..16 => {
                done.push("on conflict");
                steps.push(format!(
                    "insert into {name} as t ({key}, {COLUMNS}) values ({}, {}) on conflict ({key})
                    do update set touched = t.touched + 1, paid_at = coalesce(t.paid_at, excluded.paid_at)",
                    table.value(hot),
                    row(hot, paid, "true", true)
                ));
            }
            16 => {
                done.push("merge");
                steps.push(format!(
                    "merge into {name} t using (values ({})) as s ({key}) on {}
                    when matched then update set {}
                    when not matched then insert ({key}, {COLUMNS}) values ({}, {})",
                    table.value(hot),
                    key.split(", ")
                        .map(|k| format!("t.{k} = s.{k}"))
                        .collect::<Vec<_>>()
                        .join(" and "),
                    pay,
                    table.value(hot),
                    row(hot, paid, "true", true)
                ));
            }
            17..19 => {
                done.push("view broken");
                steps.push(if Table::of(used) == Orders {
                    format!("update torture.orders set mood = 'broken', {pay} where {}", Orders.is(used))
                } else {
                    let new = self.fresh(Orders);
                    format!(
                        "insert into torture.orders (id, mood, {COLUMNS}) values ({new}, 'broken', {})",
                        row(new, true, consent, false)
                    )
                });
            }
            19..21 => {
                done.push("line touched");
                // Another session's order, without its row: two captures of one event at a time.
                steps.push(format!("update torture.lines set sku = sku where order_id = {used}"));
            }
            21 => {
                done.push("the application's deferred trigger");
                let new = self.fresh(Orders);
                let mood = self.chance.of(&["late", "regret"]);
                steps.push(format!(
                    "insert into torture.orders (id, mood, {COLUMNS}) values ({new}, '{mood}', {})",
                    row(new, false, consent, false)
                ));
            }
            _ => {
                done.push("order and lines in any order");
                let new = self.fresh(Orders);
                let order = format!(
                    "insert into torture.orders (id, {COLUMNS}) values ({new}, {})",
                    row(new, true, consent, false)
                );
                let lines = format!(
                    "insert into torture.lines (order_id, sku) select {new}, 'SKU-' || n from generate_series(1, {}) n",
                    self.chance.below(4) + 1
                );
                // Lines first is for constraints that are deferred: the foreign key too.
                let now = steps.iter().any(|step| step.starts_with("set constraints"));
                let (first, second) =
                    if now || self.chance.percent(50) { (order, lines) } else { (lines, order) };
                steps.push(first);
                steps.push(second);
            }
        }
    }
}
