//! The fault matrix of the delivery: whatever dies, is cut, lies or is copied, and at which step, no
//! event is lost, every double is on record, and each event has exactly one receipt.
//!
//! One test runs every cell at once; most of their time is spent waiting for leases. `make
//! fault-matrix` writes the table to docs/internals/fault-matrix.md, with the platform down for MINUTES.
//! `CAPI_FAULT_CELLS` runs only the cells whose name holds this text.

use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use capi_tests::database::Database;
use capi_tests::matrix::{Books, FIRST, LATER, Stage};
use capi_tests::tap::{Then, When};
use tokio::runtime::Builder;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::spawn_blocking;

mod copies;
mod platform;
mod server;
mod sidecar;

/// Cells at work at the same time.
const AT_ONCE: usize = 6;

/// How often the platform must see the first events, or the fault did not happen as it is meant to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Once: nothing was sent before the fault, or the answer was recorded.
    Once,
    /// More than once.
    Twice,
    /// Either.
    Either,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The sidecar is killed at this step of this call.
    KilledAt(&'static str, When),
    /// The sidecar is killed while this call waits for a lock on this table; the server goes on.
    KilledInside(&'static str, &'static str),
    /// The sidecar is killed at this step of its request.
    KilledWhileSending(When),
    /// The sidecar's connection is closed at this step of this call.
    DatabaseCut(&'static str, When),
    /// The backend is terminated while this call waits for a lock on this table.
    Terminated(&'static str, &'static str),
    /// The backend is killed, and Postgres restarts all of them.
    BackendKilled(&'static str, &'static str),
    /// The server is killed with everything while the request is under way.
    ServerKilled,
    /// The server is killed while the answer is being recorded.
    ServerKilledRecording,
    /// The connection to the platform is cut at this step.
    PlatformCut(When),
    /// The platform takes the events and something else comes back.
    Answered(&'static str),
    /// A fault of the stand-in, as often as it takes.
    Platform(&'static str, u32),
    /// Nobody answers at the platform's port.
    Down,
    /// The destination is blocked by the platform and resumed.
    Blocked,
    /// Two sidecars, one frozen past its lease while its request is under way.
    Frozen,
    /// One is told to stop, with no time for its request; another one goes on.
    Stopped,
    /// Two sidecars, both killed again and again.
    TwoKilled,
    /// A synchronous standby is promoted while a request is under way.
    Promoted,
    /// A standby that has not heard of the sends is promoted.
    PromotedBehind,
    /// A dump is restored and adopted after the original has sent more.
    Restored,
}

struct Cell {
    group: &'static str,
    name: &'static str,
    fault: Fault,
    seen: Seen,
}

const fn cell(group: &'static str, name: &'static str, fault: Fault, seen: Seen) -> Cell {
    Cell { group, name, fault, seen }
}

const KILLED: &str = "sidecar killed";
const SERVER: &str = "server";
const LINE: &str = "connection cut";
const PLATFORM: &str = "platform";
const SEVERAL: &str = "several sidecars";
const COPIES: &str = "failover and copies";

const UNTRUE_500: &str = "HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/json\r\n\
    content-length: 95\r\n\r\n{\"error\":{\"message\":\"An unknown error\",\"type\":\"OAuthException\",\
    \"code\":1,\"is_transient\":true}}      ";
const PROXY_500: &str = "HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\n\
    content-length: 24\r\n\r\n<html>Bad Gateway</html>";

const CELLS: [Cell; 36] = [
    cell(KILLED, "before the claim", Fault::KilledAt("capi.claim(", When::Before), Seen::Once),
    cell(
        KILLED,
        "in the claim, before a batch is looked for",
        Fault::KilledInside("capi.claim", "capi.batch"),
        Seen::Once,
    ),
    cell(
        KILLED,
        "in the claim, before the carve",
        Fault::KilledInside("capi.claim", "capi.cursor"),
        Seen::Once,
    ),
    cell(
        KILLED,
        "in the claim, after the carve",
        Fault::KilledInside("capi.claim", "capi.attempt"),
        Seen::Once,
    ),
    cell(
        KILLED,
        "claim committed and unheard",
        Fault::KilledAt("capi.claim(", When::After),
        Seen::Once,
    ),
    cell(
        KILLED,
        "before the events are read",
        Fault::KilledAt("capi.claimed_events", When::Before),
        Seen::Once,
    ),
    cell(
        KILLED,
        "events read and unheard",
        Fault::KilledAt("capi.claimed_events", When::After),
        Seen::Once,
    ),
    cell(KILLED, "before the request leaves", Fault::KilledWhileSending(When::Before), Seen::Once),
    cell(KILLED, "half of the request sent", Fault::KilledWhileSending(When::HalfSent), Seen::Once),
    cell(
        KILLED,
        "request taken, no answer yet",
        Fault::KilledWhileSending(When::After),
        Seen::Twice,
    ),
    cell(
        KILLED,
        "half of the answer heard",
        Fault::KilledWhileSending(When::HalfAnswered),
        Seen::Twice,
    ),
    cell(
        KILLED,
        "answered, before the record",
        Fault::KilledAt("capi.record", When::Before),
        Seen::Twice,
    ),
    cell(KILLED, "in the record", Fault::KilledInside("capi.record", "capi.receipt"), Seen::Once),
    cell(
        KILLED,
        "record committed and unheard",
        Fault::KilledAt("capi.record", When::After),
        Seen::Once,
    ),
    cell(
        SERVER,
        "backend terminated in the claim",
        Fault::Terminated("capi.claim", "capi.attempt"),
        Seen::Once,
    ),
    cell(
        SERVER,
        "backend terminated in the record",
        Fault::Terminated("capi.record", "capi.receipt"),
        Seen::Once,
    ),
    cell(
        SERVER,
        "backend killed in the claim",
        Fault::BackendKilled("capi.claim", "capi.attempt"),
        Seen::Once,
    ),
    cell(
        SERVER,
        "backend killed in the record",
        Fault::BackendKilled("capi.record", "capi.receipt"),
        Seen::Once,
    ),
    cell(SERVER, "postmaster killed, request under way", Fault::ServerKilled, Seen::Either),
    cell(SERVER, "postmaster killed in the record", Fault::ServerKilledRecording, Seen::Either),
    cell(
        LINE,
        "database, before the claim",
        Fault::DatabaseCut("capi.claim(", When::Before),
        Seen::Once,
    ),
    cell(
        LINE,
        "database, claim committed and unheard",
        Fault::DatabaseCut("capi.claim(", When::After),
        Seen::Once,
    ),
    cell(
        LINE,
        "database, before the record",
        Fault::DatabaseCut("capi.record", When::Before),
        Seen::Once,
    ),
    cell(
        LINE,
        "database, record committed and unheard",
        Fault::DatabaseCut("capi.record", When::After),
        Seen::Once,
    ),
    cell(
        LINE,
        "platform, in the middle of the request",
        Fault::PlatformCut(When::HalfSent),
        Seen::Once,
    ),
    cell(LINE, "platform, request taken, no answer", Fault::PlatformCut(When::After), Seen::Twice),
    cell(
        LINE,
        "platform, in the middle of the answer",
        Fault::PlatformCut(When::HalfAnswered),
        Seen::Twice,
    ),
    cell(PLATFORM, "down", Fault::Down, Seen::Once),
    cell(
        PLATFORM,
        "slow: answers after the time-out",
        Fault::Platform(r#"{"kind": "late", "ms": 4000, "times": 2}"#, 2),
        Seen::Twice,
    ),
    cell(
        PLATFORM,
        "takes all and acknowledges fewer",
        Fault::Platform(r#"{"kind": "lie", "times": 2}"#, 2),
        Seen::Twice,
    ),
    cell(
        PLATFORM,
        "takes all, 200 with garbage",
        Fault::Platform(r#"{"kind": "garbage", "times": 2}"#, 2),
        Seen::Twice,
    ),
    cell(PLATFORM, "takes all, 500 in its own words", Fault::Answered(UNTRUE_500), Seen::Twice),
    cell(
        PLATFORM,
        "takes all, 502 of something in between",
        Fault::Answered(PROXY_500),
        Seen::Twice,
    ),
    cell(
        PLATFORM,
        "throttles",
        Fault::Platform(
            r#"{"kind": "status", "status": 429, "code": 4, "retry_after": 1, "times": 3}"#,
            3,
        ),
        Seen::Once,
    ),
    cell(PLATFORM, "blocks the account until it is resumed", Fault::Blocked, Seen::Once),
    cell(SEVERAL, "two, one frozen past its lease and resumed", Fault::Frozen, Seen::Twice),
];

const MORE: [Cell; 6] = [
    cell(
        PLATFORM,
        "takes all, 200 with nothing",
        Fault::Platform(r#"{"kind": "empty", "times": 2}"#, 2),
        Seen::Twice,
    ),
    cell(
        SEVERAL,
        "one stopped without grace, request under way, another goes on",
        Fault::Stopped,
        Seen::Twice,
    ),
    cell(SEVERAL, "two, killed in turn six times", Fault::TwoKilled, Seen::Either),
    cell(
        COPIES,
        "a synchronous standby is promoted, request under way",
        Fault::Promoted,
        Seen::Either,
    ),
    cell(COPIES, "a standby that knows of no send is promoted", Fault::PromotedBehind, Seen::Twice),
    cell(
        COPIES,
        "a dump is restored and adopted, the original sent more",
        Fault::Restored,
        Seen::Twice,
    ),
];

async fn happen(fault: Fault) -> Books {
    match fault {
        Fault::KilledAt(call, when) => sidecar::killed_at(call, when).await,
        Fault::KilledInside(call, table) => sidecar::killed_inside(call, table).await,
        Fault::KilledWhileSending(when) => sidecar::killed_while_sending(when).await,
        Fault::Frozen => sidecar::frozen().await,
        Fault::Stopped => sidecar::stopped().await,
        Fault::TwoKilled => sidecar::two_killed().await,
        Fault::DatabaseCut(call, when) => server::cut(call, when).await,
        Fault::Terminated(call, table) => server::terminated(call, table).await,
        Fault::BackendKilled(call, table) => server::backend_killed(call, table).await,
        Fault::ServerKilled => server::killed().await,
        Fault::ServerKilledRecording => server::killed_recording().await,
        Fault::PlatformCut(when) => platform::spoiled(when, Then::Cut).await,
        Fault::Answered(answer) => platform::spoiled(When::After, Then::Answer(answer)).await,
        Fault::Platform(fault, times) => platform::faulty(fault, times).await,
        Fault::Down => platform::down().await,
        Fault::Blocked => platform::blocked().await,
        Fault::Promoted => copies::promoted().await,
        Fault::PromotedBehind => copies::promoted_behind().await,
        Fault::Restored => copies::restored().await,
    }
}

/// Runs a cell; the other half of the pair tells what is wrong.
async fn run(cell: &'static Cell) -> (Books, Vec<String>) {
    // A thread and a runtime of its own: what blocks in one cell, such as starting a server, must not
    // hold up another one. A panic is the cell's result and not the end of the others.
    let happened = spawn_blocking(|| {
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().expect("a runtime");
        runtime.block_on(happen(cell.fault))
    });
    match happened.await {
        Ok(books) => {
            let mut wrong = books.wrong();
            let least = usize::try_from(FIRST).expect("a number");
            match cell.seen {
                Seen::Once if books.twice > 0 => wrong.push("sent twice without need".into()),
                Seen::Twice if books.twice < least => wrong.push("the fault made no double".into()),
                _ => {}
            }
            if books.events < least + usize::try_from(LATER).expect("a number") {
                wrong.push(format!("only {} events", books.events));
            }
            (books, wrong)
        }
        Err(panic) => {
            let text = panic.into_panic();
            let text = text.downcast_ref::<String>().cloned();
            (Books::default(), vec![text.unwrap_or_else(|| "a panic without words".into())])
        }
    }
}

/// How long the platform is down: minutes for the table, an instant in the tests.
fn down_for() -> Option<Duration> {
    let text = std::env::var("CAPI_FAULT_MINUTES").ok().filter(|text| !text.is_empty())?;
    let minutes: f64 = text.parse().expect("CAPI_FAULT_MINUTES is a number");
    Some(Duration::from_secs_f64(minutes * 60.0))
}

#[expect(clippy::print_stdout, reason = "the matrix is for whoever runs it")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cell_keeps_the_promises() {
    let only = std::env::var("CAPI_FAULT_CELLS").unwrap_or_default();
    let began = Instant::now();
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let cells: Vec<&'static Cell> = CELLS.iter().chain(&MORE).collect();
    let chosen = cells.into_iter().filter(|cell| cell.name.contains(&only));
    let running: Vec<_> = chosen
        .map(|cell| {
            let room = room.clone();
            let task = tokio::spawn(async move {
                let _place = room.acquire().await.expect("open");
                run(cell).await
            });
            (cell, task)
        })
        .collect();
    let mut table = String::new();
    let mut all_wrong = Vec::new();
    for (cell, task) in running {
        let (books, wrong) = task.await.expect("panics are caught inside");
        let receipts = if books.unsettled.is_empty() { "1" } else { "wrong" };
        writeln!(
            table,
            "| {} | {} | {} | {} | {} | {} | {} | {receipts} |",
            cell.group,
            cell.name,
            books.events,
            books.lost.len(),
            books.twice,
            books.unrecorded.len(),
            books.marked,
        )
        .expect("a text");
        if !wrong.is_empty() {
            let first: Vec<_> = wrong.iter().take(5).collect();
            all_wrong.push(format!(
                "{}: {}: {} wrong: {first:?}",
                cell.group,
                cell.name,
                wrong.len()
            ));
        }
    }
    println!("fault matrix, {:.0} s:\n{table}", began.elapsed().as_secs_f64());
    assert!(all_wrong.is_empty(), "{}", all_wrong.join("\n"));
    if let Some(file) = std::env::var_os("CAPI_FAULT_MATRIX").filter(|file| !file.is_empty()) {
        write_page(&file, &table).await;
    }
}

async fn write_page(file: &std::ffi::OsStr, table: &str) {
    let database = Database::bare().await;
    let down = down_for().map_or("until three sends have failed".to_owned(), |time| {
        format!("for {} minutes", time.as_secs_f64() / 60.0)
    });
    let text = include_str!("../../fault-matrix.template.md")
        .replace("{date}", &database.get("select current_date").await)
        .replace(
            "{version}",
            &database.get("select split_part(current_setting('server_version'), ' ', 1)").await,
        )
        .replace("{down}", &down)
        .replace("{table}", table.trim_end());
    fs::write(file, text).expect("the page is written");
}

/// The matrix would see it: each promise broken by hand is reported.
#[tokio::test]
async fn the_books_notice_what_is_wrong() {
    let stage = Stage::set().await;
    stage.to_platform.order(When::After, Then::Cut);
    let _sidecar = stage.sidecar();
    stage.to_platform.until(1).await;
    stage.settle().await;
    let sound = stage.books().await;
    assert_eq!(sound.wrong(), Vec::<String>::new());
    assert_eq!(sound.twice, FIRST as usize);
    let wrong = async |sql: &str| {
        stage.shop.run(&format!("begin; {sql}")).await;
        let books = stage.books().await;
        stage.shop.run("rollback").await;
        books.wrong()
    };
    let silent = wrong("update capi.receipt set possible_duplicate = false").await;
    assert_eq!(silent.len(), FIRST as usize, "{silent:?}");
    let lost =
        wrong("delete from capi.receipt where event = (select min(id) from capi.outbox)").await;
    assert!(lost.iter().any(|line| line.ends_with("has 0 receipts ")), "{lost:?}");
    let never = wrong("update capi.outbox set event_id = 'never-sent' where id = (select max(id) from capi.outbox)").await;
    assert!(never.iter().any(|line| line == "lost: never-sent"), "{never:?}");
}

/// One cluster for everything that kills a server, one cell at a time.
static MORTAL: Mutex<()> = Mutex::const_new(());
