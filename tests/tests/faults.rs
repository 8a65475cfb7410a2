//! The fault table of "the checkout wins": whatever is broken, the order commits, within the budgets,
//! and what was not captured is on record or found by the sweep.
//!
//! Each fault has a test. `make fault-table` runs them all again, one after the other, and writes what
//! each of them cost a commit to docs/internals/faults.md.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use capi_tests::cluster::Cluster;
use capi_tests::database::{Database, Session};
use capi_tests::shop::captured;

/// Something that is wrong.
struct Fault {
    name: &'static str,
    /// What a superuser does to make it so; `{db}` is the name of the database.
    breaks: &'static str,
    /// What another session does and leaves open.
    holds: &'static str,
    /// What makes it good again.
    heals: &'static str,
    /// What is on record for each order; empty where nothing can be.
    record: &'static str,
}

/// A table under the view decides what is wrong with it.
const SCHEMA: &str = "
create role {db}_owner;
create schema own authorization {db}_owner;
set role {db}_owner;
create table own.sale (id bigint primary key, at timestamptz not null default clock_timestamp());
create table own.knob (divisor numeric, amount numeric, seconds numeric, big boolean);
insert into own.knob values (1, 5, 0, false);
create unlogged table own.big (sale bigint, note text);
create function own.helper() returns integer language plpgsql stable set search_path = pg_catalog as
    'begin return 0; end';
create view own.conversion as
select s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id, s.at as event_time,
    'website' as action_source, k.amount / k.divisor + own.helper() as value, 'EUR' as currency, true as consent,
    case when k.seconds > 0 then pg_sleep(k.seconds::double precision)::text end as order_id,
    case when k.big then (select count(*) from own.big b where b.sale = s.id) end as predicted_ltv
from own.sale s cross join own.knob k;
grant usage on schema own to app; grant insert on own.sale to app;
reset role;
select capi.track('own.sale', conversions => 'own.conversion')";

const NOTHING: Fault = Fault { name: "", breaks: "", holds: "", heals: "", record: "" };

const PARTITIONS: &str = "do $$ declare part regclass; begin
    for part in select inhrelid from pg_inherits where inhparent = 'capi.outbox'::regclass loop
        execute format('alter table capi.outbox detach partition %s', part);
    end loop;
end $$";

const FAULTS: [Fault; 14] = [
    Fault {
        name: "the view calls something that is broken",
        breaks: "create or replace function own.helper() returns integer language plpgsql stable
            set search_path = pg_catalog as 'begin return (select n from own.nowhere);end'",
        heals: "create or replace function own.helper() returns integer language plpgsql stable
            set search_path = pg_catalog as 'begin return 0;end'",
        record: "42P01 undefined_table",
        ..NOTHING
    },
    Fault {
        name: "a column of the view has another name",
        breaks: "alter view own.conversion rename column event_id to event_ref",
        heals: "alter view own.conversion rename column event_ref to event_id",
        record: "22023 missing",
        ..NOTHING
    },
    Fault {
        name: "division by zero in the view",
        breaks: "update own.knob set divisor = 0",
        heals: "update own.knob set divisor = 1",
        record: "22012 division_by_zero",
        ..NOTHING
    },
    Fault {
        name: "wrong data: no amount",
        breaks: "update own.knob set amount = null",
        heals: "update own.knob set amount = 5",
        record: "22023 missing",
        ..NOTHING
    },
    Fault {
        name: "a slow view (a minute), time budget 1 s",
        breaks: "update own.knob set seconds = 60",
        heals: "update own.knob set seconds = 0",
        record: "57014 time_budget",
        ..NOTHING
    },
    Fault {
        name: "no index: 2 million rows are read, time budget 50 ms",
        breaks: "insert into own.big select n, repeat('x', 100) from generate_series(-2000000, -1) n;
            update own.knob set big = true; alter database {db} set capi.time_budget = '50ms'",
        heals: "update own.knob set big = false; alter database {db} reset capi.time_budget",
        record: "57014 time_budget",
        ..NOTHING
    },
    Fault {
        name: "a table under the view is locked by another session, lock budget 100 ms",
        holds: "begin; lock table own.knob in access exclusive mode",
        heals: "select 1",
        record: "55P03 lock_not_available",
        ..NOTHING
    },
    Fault {
        name: "a table under the view is locked by a prepared transaction, lock budget 100 ms",
        breaks: "begin; lock table own.knob in access exclusive mode; prepare transaction '{db}'",
        heals: "rollback prepared '{db}'",
        record: "55P03 lock_not_available",
        ..NOTHING
    },
    Fault {
        name: "the outbox has no partition for the time",
        breaks: PARTITIONS,
        heals: "alter table capi.outbox attach partition capi.outbox_default default",
        record: "23514 check_violation",
        ..NOTHING
    },
    Fault {
        name: "the outbox's partitions are locked, lock budget 100 ms",
        holds: "begin; do $$ declare part regclass; begin
            for part in select inhrelid from pg_inherits where inhparent = 'capi.outbox'::regclass loop
                execute format('lock table %s in access exclusive mode', part);
            end loop;
        end $$",
        heals: "select 1",
        record: "55P03 lock_not_available",
        ..NOTHING
    },
    Fault {
        name: "the outbox cannot be written",
        breaks: "alter table capi.outbox add constraint no_room check (false) not valid",
        heals: "alter table capi.outbox drop constraint no_room",
        record: "23514 check_violation",
        ..NOTHING
    },
    Fault {
        name: "neither the view nor the error table works",
        breaks: "update own.knob set divisor = 0; alter table capi.capture_error add constraint no_room check (false) not valid",
        heals: "update own.knob set divisor = 1; alter table capi.capture_error drop constraint no_room",
        ..NOTHING
    },
    Fault {
        name: "the view's owner may not read any more",
        breaks: "revoke all on own.sale from {db}_owner; alter table own.sale owner to postgres",
        heals: "grant select on own.sale to {db}_owner",
        record: "42501 insufficient_privilege",
        ..NOTHING
    },
    Fault {
        name: "the owner of the outbox may not write any more",
        breaks: "revoke insert on capi.outbox from capi_owner",
        heals: "grant insert on capi.outbox to capi_owner",
        record: "42501 insufficient_privilege",
        ..NOTHING
    },
];

/// What a fault cost.
struct Cost {
    without: Duration,
    with: Duration,
    on_record: String,
}

/// Orders placed one by one; how long the middle one took.
async fn sell(session: &Session, ids: std::ops::Range<u32>) -> Duration {
    let mut took = Vec::new();
    for id in ids {
        let started = Instant::now();
        session.run(&format!("insert into own.sale values ({id})")).await;
        took.push(started.elapsed());
    }
    took.sort();
    took[took.len() / 2]
}

/// Longest wait of one order that a test accepts, budgets included: machines are slow at times.
const PATIENCE: Duration = Duration::from_secs(20);

const OPEN: &str = "select count(*) from capi.capture_error where resolved_at is null";

async fn shop() -> Database {
    let database = Database::adopted().await;
    make(&database).await;
    database
}

async fn make(database: &Database) {
    database.run(&SCHEMA.replace("{db}", database.name())).await;
}

async fn measure(fault: &Fault) -> Cost {
    let database = shop().await;
    let sql = |text: &str| text.replace("{db}", database.name());
    let app = database.connect_as("app").await;
    sell(&app, 0..3).await;
    let without = sell(&app, 100..115).await;
    // One statement at a time: PREPARE ends the transaction. A semicolon inside one has no blank.
    for statement in sql(fault.breaks).split("; ").filter(|s| !s.is_empty() && !s.contains("$$")) {
        database.run(statement).await;
    }
    if fault.breaks.contains("$$") {
        database.run(fault.breaks).await;
    }
    let holder = database.connect().await;
    holder.run(&format!("select 1; {}", fault.holds)).await;
    // A setting of the database is for new sessions.
    let app = match fault.breaks.contains("alter database") {
        true => database.connect_as("app").await,
        false => app,
    };
    let with = sell(&app, 200..205).await;
    assert!(with < PATIENCE, "{}: {with:?}", fault.name);
    if !fault.holds.is_empty() {
        holder.run("rollback").await;
    }
    assert_eq!(database.count("select count(*) from own.sale").await, 23, "every order is there");
    let on_record = match fault.record {
        "" => {
            assert_eq!(database.count(OPEN).await, 0);
            let log = database.cluster().log();
            for id in 200..205 {
                let line = format!(
                    "key {id}: capture failed with SQLSTATE 22012 and could not be put on record"
                );
                assert!(log.contains(&line), "{}", fault.name);
            }
            "no; counter and server log, and the sweep finds it".to_owned()
        }
        record => {
            let seen =
                "select string_agg(distinct sqlstate || ' ' || reason, ', ') || ' of ' || count(*)
                from capi.capture_error where resolved_at is null and key between '200' and '204'";
            assert_eq!(database.get(seen).await, format!("{record} of 5"), "{}", fault.name);
            format!("`{record}`")
        }
    };
    assert_eq!(captured(&database).await, fault_free(fault), "{}", fault.name);
    database.run("select 1").await;
    for statement in sql(fault.heals).split("; ") {
        database.run(statement).await;
    }
    if fault.breaks == PARTITIONS {
        // What was detached had events, and their keys remain.
        database.run("delete from capi.event_key").await;
    }
    database.connect().await.run("select capi.sweep()").await;
    assert_eq!(captured(&database).await, 23, "{}: the sweep captures the rest", fault.name);
    assert_eq!(database.count(OPEN).await, 0, "{}: no record is left open", fault.name);
    Cost { without, with, on_record }
}

/// Events that are there before the sweep.
fn fault_free(fault: &Fault) -> i64 {
    if fault.breaks == PARTITIONS { 0 } else { 18 }
}

macro_rules! faults {
    ($($test:ident: $number:literal),* $(,)?) => {
        $(#[tokio::test]
        async fn $test() {
            measure(&FAULTS[$number]).await;
        })*
    };
}

faults! {
    a_view_that_calls_something_broken: 0,
    a_renamed_column_of_the_view: 1,
    a_division_by_zero: 2,
    wrong_data: 3,
    a_slow_view: 4,
    a_missing_index: 5,
    a_lock_of_another_session: 6,
    a_lock_of_a_prepared_transaction: 7,
    a_missing_partition: 8,
    locked_partitions: 9,
    an_outbox_that_cannot_be_written: 10,
    an_error_table_that_cannot_be_written: 11,
    a_right_revoked_from_the_views_owner: 12,
    a_right_revoked_from_the_outboxs_owner: 13,
}

/// A file system of two megabytes, gone with the test.
struct Tiny(std::path::PathBuf);

impl Tiny {
    /// None where the tests may not mount: not root, or in a container without the right.
    fn mount(cluster: &Cluster) -> Option<Self> {
        let folder = cluster.folder().join("tiny");
        fs::create_dir(&folder).expect("a new folder");
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m,mode=777", "tmpfs"])
            .arg(&folder)
            .output();
        if !done.is_ok_and(|output| output.status.success()) {
            return None;
        }
        let mounted = Self(folder);
        let space = mounted.0.join("space");
        fs::create_dir(&space).expect("a new folder");
        let owner = Command::new("chown").arg("postgres").arg(&space).status();
        assert!(owner.expect("chown runs").success());
        Some(mounted)
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        // The server may still hold files open.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

async fn measure_full_disk() -> Option<Cost> {
    // A cluster of its own: its checkpoints fail once the file system is gone.
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| Cluster::start("fsync = off"));
    let tiny = Tiny::mount(cluster)?;
    let database = Database::on(cluster).await;
    make(&database).await;
    let app = database.connect_as("app").await;
    sell(&app, 0..3).await;
    let without = sell(&app, 100..115).await;
    let space = tiny.0.join("space");
    database.run(&format!("create tablespace tiny location '{}'", space.display())).await;
    database
        .run(
            "do $$ declare part regclass; begin
                for part in select inhrelid from pg_inherits where inhparent = 'capi.outbox'::regclass loop
                    execute format('alter table %s set tablespace tiny', part);
                end loop;
            end $$;
            create table public.filler (c text) tablespace tiny;
            alter table public.filler alter c set storage plain",
        )
        .await;
    while database.ask("insert into public.filler select repeat('x', 7000)").await.is_ok() {}
    // The page that is there already takes some more.
    let mut id = 1_000;
    while database.count(OPEN).await == 0 {
        sell(&app, id..id + 20).await;
        id += 20;
    }
    let with = sell(&app, 200..205).await;
    let placed = database.count("select count(*) from own.sale").await;
    assert_eq!(placed, i64::from(id - 1_000) + 23, "every order is there");
    let seen =
        "select string_agg(distinct sqlstate || ' ' || reason, ', ') from capi.capture_error";
    assert_eq!(database.get(seen).await, "53100 disk_full");
    assert_eq!(captured(&database).await + database.count(OPEN).await, placed);
    database.run("drop table public.filler").await;
    database.run("checkpoint").await;
    database.run("select capi.sweep()").await;
    assert_eq!(captured(&database).await, placed);
    assert_eq!(database.count(OPEN).await, 0);
    Some(Cost { without, with, on_record: "`53100 disk_full`".to_owned() })
}

#[tokio::test]
async fn a_full_tablespace() {
    measure_full_disk().await;
}

/// The one fault that the checkout does not survive in new sessions: Postgres itself refuses to fire a
/// trigger whose function it cannot load. What is documented is what happens.
#[tokio::test]
async fn a_missing_library_stops_new_sessions_until_the_triggers_are_disabled() {
    let database = shop().await;
    let warm = database.connect_as("app").await;
    sell(&warm, 0..3).await;
    database
        .run(&format!("alter database {} set dynamic_library_path = '/nowhere'", database.name()))
        .await;
    // Who has it loaded goes on.
    sell(&warm, 3..6).await;
    assert_eq!(captured(&database).await, 6);
    let cold = database.connect_as("app").await;
    assert_eq!(cold.refused("insert into own.sale values (7)").await.code, "58P01");
    // The way out that needs no library.
    let switch = |word: &str| {
        format!(
            "do $$ declare t name; begin
                for t in select tgname from pg_trigger where tgrelid = 'own.sale'::regclass and tgname like 'capi\\_%' loop
                    execute format('alter table own.sale {word} trigger %I', t);
                end loop;
            end $$"
        )
    };
    database.run(&switch("disable")).await;
    cold.run("insert into own.sale values (8)").await;
    assert_eq!(captured(&database).await, 6);
    // Installed again.
    database.run(&format!("alter database {} reset dynamic_library_path", database.name())).await;
    database.run(&switch("enable")).await;
    let session = database.connect().await;
    session.run("insert into own.sale values (9)").await;
    session.run("select capi.sweep()").await;
    assert_eq!(captured(&database).await, 8);
}

/// Where the table goes.
const TABLE: &str = "CAPI_FAULT_TABLE";

#[tokio::test]
async fn the_table_is_written_where_it_is_asked_for() {
    let Some(file) = std::env::var_os(TABLE).filter(|file| !file.is_empty()) else { return };
    let mut table = String::new();
    let mut add = |name: &str, cost: &Cost| {
        let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
        let (without, with) = (ms(cost.without), ms(cost.with));
        writeln!(
            table,
            "| {name} | {without:.1} | {with:.1} | {:+.1} | {} |",
            with - without,
            cost.on_record
        )
        .expect("a text");
    };
    for fault in &FAULTS {
        add(fault.name, &measure(fault).await);
    }
    if let Some(cost) = measure_full_disk().await {
        add("the outbox's tablespace is full (a file system of 2 MB)", &cost);
    }
    let database = Database::bare().await;
    let (day, version) = (
        database.get("select current_date").await,
        database.get("select split_part(current_setting('server_version'), ' ', 1)").await,
    );
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let text = include_str!("../faults.template.md")
        .replace("{date}", &day)
        .replace("{cores}", &cores.to_string())
        .replace("{version}", &version)
        .replace("{table}", table.trim_end());
    fs::write(file, text).expect("the table is written");
}
