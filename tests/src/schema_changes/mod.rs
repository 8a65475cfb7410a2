//! The search among changes of the schema: random migrations between and during captures, played at
//! the same time in a schema that is not tracked.
//!
//! A round has a database of its own, and its plan comes from its seed alone. Its sessions take turns,
//! so that it ends the same every time; when something is wrong the plan is cut down to what is needed
//! for it and printed as SQL. A crowd plays as many plans at once, in the tracked schema only.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::chance::Chance;
use crate::cluster::Cluster;
use crate::database::{Database, Refusal, Session, Trouble};
use crate::patience::eventually;
use crate::unharmed::Before;

mod changes;
mod plan;

use plan::{End, Plan, SESSIONS, Turn};

/// Tables without orders, view and triggers.
const SHOP: &str = include_str!("shop.sql");

/// What every email address of the search holds and nothing else does.
const TRACE: &str = "qxupheaval";

/// The schema that is tracked.
const TRACKED: &str = "u";
/// The schema that is not tracked.
const TWIN: &str = "twin";

/// How long cutting down may take.
const CUTTING: Duration = Duration::from_secs(60);

/// The kind of view that the books are made by.
const BOOKS_VIEW: &str = "drop view if exists u.conversions cascade;
    create view u.conversions as select o.id, 'Purchase' as event_name, 'order-' || o.id as event_id, o.paid_at as event_time,
        'website' as action_source, 'https://shop.example.com/' as event_source_url, o.total as value, 'EUR' as currency, true as consent
    from u.orders o where o.paid_at is not null;
    alter view u.conversions owner to shop_owner; alter table u.orders owner to shop_owner;
    alter table u.orders enable trigger user, disable row level security, no force row level security;
    grant all on all tables in schema u to shop_owner";

/// How often each kind of thing happened.
pub type Tally = BTreeMap<String, u64>;

/// What a seed found.
#[derive(Debug)]
pub struct Failure {
    /// Plays the round again.
    pub seed: u64,
    /// What is wrong, as `label: more`.
    pub wrong: Vec<String>,
    /// The least that brings it about.
    pub script: String,
}

impl Failure {
    /// What kind of thing is wrong.
    pub fn label(&self) -> &str {
        label(&self.wrong[0])
    }
}

fn label(wrong: &str) -> &str {
    wrong.split(':').next().unwrap_or_default()
}

/// Plays the round of this seed; every fourth is a crowd's.
pub async fn round(
    cluster: &'static Cluster,
    seed: u64,
    avoided: &[String],
    tally: &mut Tally,
) -> Option<Failure> {
    let mut chance = Chance::new(seed);
    let is_crowd = seed % 4 == 3;
    let turns = if is_crowd { 30 } else { 8 + chance.below(24) as usize };
    let size = if is_crowd { 4 } else { 1 };
    let plans: Vec<Plan> = (0..size).map(|_| plan::plan(&mut chance, turns, avoided)).collect();
    for kind in plans.iter().flat_map(|plan| &plan.kinds) {
        *tally.entry((*kind).to_owned()).or_default() += 1;
    }
    let wrong = play(cluster, &plans, tally).await;
    let first = label(wrong.first()?).to_owned();
    let (plans, wrong) = match <[Plan; 1]>::try_from(plans) {
        Ok([plan]) => {
            let (plan, wrong) = cut(cluster, plan, wrong, &first).await;
            (vec![plan], wrong)
        }
        // A crowd does not do the same twice.
        Err(crowd) => (crowd, wrong),
    };
    Some(Failure { seed, wrong, script: script(&plans) })
}

/// Leaves out turns, then steps, as long as the same thing is wrong.
async fn cut(
    cluster: &'static Cluster,
    mut plan: Plan,
    mut wrong: Vec<String>,
    first: &str,
) -> (Plan, Vec<String>) {
    let start = Instant::now();
    // Numbers stay what they are: a turn without steps is none.
    let turns = plan.turns.len();
    let mut smaller: Vec<(std::ops::Range<usize>, Option<usize>)> = Vec::new();
    for size in [turns.div_ceil(2), turns.div_ceil(4), turns.div_ceil(8), 1] {
        smaller.extend(
            (0..turns).step_by(size).rev().map(|from| (from..turns.min(from + size), None)),
        );
    }
    for turn in (0..turns).rev() {
        smaller.extend(
            (0..plan.turns[turn].steps.len()).rev().map(|step| (turn..turn + 1, Some(step))),
        );
    }
    for (turns, step) in smaller {
        if start.elapsed() > CUTTING {
            break;
        }
        let mut less = plan.clone();
        for turn in &mut less.turns[turns] {
            match step {
                None => turn.steps.clear(),
                Some(step) if step < turn.steps.len() => drop(turn.steps.remove(step)),
                Some(_) => {}
            }
        }
        let steps = |plan: &Plan| plan.turns.iter().map(|turn| turn.steps.len()).sum::<usize>();
        if steps(&less) == steps(&plan) {
            continue;
        }
        let found = play(cluster, std::slice::from_ref(&less), &mut Tally::new()).await;
        if found.first().is_some_and(|found| label(found) == first) {
            (plan, wrong) = (less, found);
        }
    }
    (plan, wrong)
}

/// A plan as SQL for people.
fn script(plans: &[Plan]) -> String {
    let mut text = String::new();
    for plan in plans {
        writeln!(text, "-- {}\n{}", plan.kinds.join(", "), plan.shop.replace("{home}", TRACKED))
            .expect("a text");
        for (number, turn) in plan.turns.iter().enumerate().filter(|(_, t)| !t.steps.is_empty()) {
            let end = match turn.end {
                End::Commit => "commit;",
                End::Rollback => "rollback;",
                End::Prepared => "prepare transaction, commit prepared by another session;",
                End::PreparedAndRolledBack => {
                    "prepare transaction, rollback prepared by another session;"
                }
                End::Upkeep => "",
            };
            let steps = turn.steps.join(";\n").replace("{home}", TRACKED);
            writeln!(text, "-- turn {number}, session {}\n{steps};\n{end}", turn.session)
                .expect("a text");
        }
    }
    text
}

/// Plays one plan in turns in both schemas, or several at once in the tracked one. Gives what is wrong.
async fn play(cluster: &'static Cluster, plans: &[Plan], tally: &mut Tally) -> Vec<String> {
    let database = fresh(cluster).await;
    let home = |text: &str, schema: &str| text.replace("{home}", schema);
    for schema in [TRACKED, TWIN] {
        database.run(&SHOP.replace("{s}", schema)).await;
        database.run(&home(&plans[0].shop, schema)).await;
    }
    if let Err(refusal) = database.ask(TRACKING).await {
        // A kind of view that is refused is no danger.
        *tally.entry(format!("not tracked: {}", refusal.message)).or_default() += 1;
        drop_it(database).await;
        return Vec::new();
    }
    let before = Before::look(cluster, &database).await;
    let mut wrong = match plans {
        [plan] => alone(&database, plan, tally).await,
        _ => crowd(&database, plans, tally).await,
    };
    // A crash first: what else is wrong follows from it.
    let ends = before.ends(cluster);
    if ends.is_empty() {
        if let Some(books) = books(&database, plans, tally).await {
            wrong.extend(books);
            wrong.extend(before.rights_changed(&database).await);
        }
        wrong.splice(0..0, before.ends(cluster));
    } else {
        wrong.splice(0..0, ends);
    }
    drop_it(database).await;
    wrong
}

/// What tracks the orders.
const TRACKING: &str =
    "select capi.track('u.orders', conversions => 'u.conversions', destinations => '{search}')";

async fn fresh(cluster: &'static Cluster) -> Database {
    eventually("the server takes connections", 60, async || {
        Session::try_connect(cluster, "postgres", "postgres").await.map(drop)
    })
    .await;
    let database = Database::on(cluster).await;
    let socket = cluster.folder().display();
    database
        .run(&format!(
            "set jit = off;
            create extension postgres_fdw;
            create server loopback foreign data wrapper postgres_fdw
                options (host '{socket}', dbname '{}', options '-c lock_timeout=300');
            create user mapping for public server loopback options (user 'app', password_required 'false');
            grant usage on foreign server loopback to shop_owner;
            select capi.create_destination('search', platform => 'meta',
                settings => '{{\"pixel_id\": \"1234567890\"}}', credential => 'META_TOKEN')",
            database.name()
        ))
        .await;
    database
}

async fn drop_it(database: Database) {
    let (cluster, name) = (database.cluster(), database.name().to_owned());
    drop(database);
    eventually("the database goes", 60, async || {
        let postgres = Session::try_connect(cluster, "postgres", "postgres").await?;
        // What was left prepared holds the database.
        let left = postgres
            .attempt(&format!("select gid from pg_prepared_xacts where database = '{name}'"))
            .await
            .map_err(|trouble| format!("{trouble:?}"))?;
        if !left.is_empty() {
            let own = Session::try_connect(cluster, &name, "postgres").await?;
            for gid in left.iter().filter_map(|row| row[0].as_deref()) {
                own.attempt(&format!("rollback prepared '{gid}'"))
                    .await
                    .map_err(|trouble| format!("{trouble:?}"))?;
            }
        }
        let gone = postgres.attempt(&format!("drop database {name} with (force)")).await;
        gone.map(drop).map_err(|trouble| format!("{trouble:?}"))
    })
    .await;
}

/// Sessions of one plan.
async fn sessions(database: &Database) -> Result<Vec<Session>, String> {
    let mut sessions = Vec::new();
    for role in ["app", "postgres", "postgres"].iter().take(SESSIONS) {
        let session = Session::try_connect(database.cluster(), database.name(), role).await?;
        // Whoever waits for a turn that is over waits in vain.
        let limits = "set lock_timeout = '300ms'; set statement_timeout = '20s'";
        session.attempt(limits).await.map_err(|trouble| format!("{trouble:?}"))?;
        sessions.push(session);
    }
    Ok(sessions)
}

/// What came of one step.
type Answer = Result<Vec<Vec<Option<String>>>, Refusal>;

/// One turn in one schema: the answers up to the first refusal.
async fn take(
    sessions: &[Session],
    turn: &Turn,
    name: &str,
    schema: &str,
) -> Result<Vec<(String, Answer)>, Trouble> {
    let session = &sessions[turn.session];
    let other = &sessions[(turn.session + 1) % SESSIONS];
    // Whoever ends it in two phases must be able to.
    let other = if turn.session + 1 == SESSIONS { &sessions[1] } else { other };
    let gid = format!("{name}-{schema}");
    let (phase, end) = match turn.end {
        End::Commit => (None, "commit".to_owned()),
        End::Rollback => (None, "rollback".to_owned()),
        End::Prepared => (Some("commit prepared"), format!("prepare transaction '{gid}'")),
        End::PreparedAndRolledBack => {
            (Some("rollback prepared"), format!("prepare transaction '{gid}'"))
        }
        End::Upkeep => panic!("upkeep is no turn of the shop"),
    };
    let mut answers = Vec::new();
    let steps = std::iter::once("begin").chain(turn.steps.iter().map(String::as_str));
    for step in steps.chain([end.as_str()]) {
        let step = step.replace("{home}", schema);
        match session.attempt(&step).await {
            Ok(rows) => answers.push((step, Ok(rows))),
            Err(Trouble::Refused(refusal)) => {
                answers.push((step, Err(refusal)));
                session.attempt("rollback").await?;
                return Ok(answers);
            }
            Err(Trouble::Lost) => return Err(Trouble::Lost),
        }
    }
    if let Some(phase) = phase {
        let step = format!("{phase} '{gid}'");
        match other.attempt(&step).await {
            Ok(rows) => answers.push((step, Ok(rows))),
            Err(Trouble::Refused(refusal)) => answers.push((step, Err(refusal))),
            Err(Trouble::Lost) => return Err(Trouble::Lost),
        }
    }
    Ok(answers)
}

/// Plays a plan in turns: first in the schema that is not tracked, then in the one that is.
async fn alone(database: &Database, plan: &Plan, tally: &mut Tally) -> Vec<String> {
    let sessions = sessions(database).await.expect("sessions");
    let mut wrong = Vec::new();
    for (number, turn) in plan.turns.iter().enumerate().filter(|(_, t)| !t.steps.is_empty()) {
        if turn.end == End::Upkeep {
            match sessions[turn.session].attempt(&turn.steps[0]).await {
                Ok(_) => {}
                Err(Trouble::Refused(refusal)) => {
                    wrong.push(format!("upkeep fails: {}: {refusal:?}", turn.steps[0]));
                }
                Err(Trouble::Lost) => break,
            }
            continue;
        }
        let name = format!("turn-{number}");
        let Ok(without) = take(&sessions, turn, &name, TWIN).await else { break };
        let Ok(with) = take(&sessions, turn, &name, TRACKED).await else { break };
        *tally.entry("turns".into()).or_default() += 1;
        if with.iter().all(|(_, answer)| answer.is_ok()) {
            *tally.entry("turns that went well".into()).or_default() += 1;
        }
        wrong.extend(with.iter().filter_map(|(step, answer)| internal(step, answer)));
        if plan.meddles {
            continue;
        }
        if let Some(difference) = difference(&without, &with) {
            // From here on the schemas differ.
            wrong.push(difference);
            break;
        }
    }
    wrong
}

/// The first step that went another way where the orders are tracked.
fn difference(without: &[(String, Answer)], with: &[(String, Answer)]) -> Option<String> {
    let said = |answer: &Answer| match answer {
        Ok(rows) => format!("{rows:?}"),
        Err(refusal) => format!("{} {}", refusal.code, refusal.message).replace(TWIN, TRACKED),
    };
    for n in 0..without.len().max(with.len()) {
        let (step, without, with) = match (without.get(n), with.get(n)) {
            (Some((_, without)), Some((step, with))) => (step, said(without), with),
            _ => return Some("another end: fewer steps on one side".to_owned()),
        };
        if without != said(with) {
            return Some(format!(
                "another outcome: {step}\n  without: {without}\n  with: {with:?}"
            ));
        }
    }
    None
}

/// An error that nobody is to see, whatever he did.
fn internal(step: &str, answer: &Answer) -> Option<String> {
    let refusal = answer.as_ref().err()?;
    let text = format!("{refusal:?}");
    let signs = ["panicked", ".rs:", "backtrace", "unreachable", "Option::unwrap"];
    signs
        .iter()
        .any(|sign| text.contains(sign))
        .then(|| format!("an internal error: {step}: {text}"))
}

/// Plays plans at once in the tracked schema: nothing may fail with a word of ours.
async fn crowd(database: &Database, plans: &[Plan], tally: &mut Tally) -> Vec<String> {
    let mut workers = Vec::new();
    for (number, plan) in plans.iter().enumerate() {
        let (plan, sessions) = (plan.clone(), sessions(database).await.expect("sessions"));
        workers.push(tokio::spawn(async move {
            let (mut wrong, mut well) = (Vec::new(), 0_u64);
            for (at, turn) in plan.turns.iter().enumerate().filter(|(_, t)| t.end != End::Upkeep) {
                let name = format!("crowd-{number}-{at}");
                let Ok(answers) = take(&sessions, turn, &name, TRACKED).await else { break };
                well += u64::from(answers.iter().all(|(_, answer)| answer.is_ok()));
                wrong.extend(
                    answers
                        .iter()
                        .filter_map(|(step, a)| internal(step, a).or_else(|| ours(step, a))),
                );
            }
            (wrong, well)
        }));
    }
    let mut wrong = Vec::new();
    for worker in workers {
        let (found, well) = worker.await.expect("a worker ends well");
        wrong.extend(found);
        *tally.entry("turns of a crowd that went well".into()).or_default() += well;
    }
    wrong
}

/// An error that would not be there without us. Two that wait for each other, and what cannot be
/// serialised, may be anybody's.
fn ours(step: &str, answer: &Answer) -> Option<String> {
    let refusal = answer.as_ref().err()?;
    let text = format!("{refusal:?}");
    let anybodys = ["40001", "40P01"].contains(&refusal.code.as_str());
    (text.contains("capi") && !anybodys).then(|| format!("an error of ours: {step}: {text}"))
}

/// Goes all ways back, tracks the orders anew, sweeps, and compares what is there with what was captured.
/// None where the shop cannot be mended.
async fn books(database: &Database, plans: &[Plan], tally: &mut Tally) -> Option<Vec<String>> {
    // What was renamed or moved can be named again; then whatever else is left.
    let mut back = vec![
        "alter schema u_then rename to u".to_owned(),
        "alter schema u_then_aside rename to u_aside".to_owned(),
        "alter table u_aside.orders set schema u".to_owned(),
        "alter table u.orders_then rename to orders".to_owned(),
    ];
    back.extend(plans.iter().flat_map(|plan| &plan.back).map(|sql| sql.replace("{home}", TRACKED)));
    for way in back.iter().filter(|way| !way.is_empty()) {
        // Most are gone already.
        if matches!(database.attempt(way).await, Err(Trouble::Lost)) {
            return None;
        }
    }
    let sound = "select count(*) from pg_attribute a join pg_constraint c on c.conrelid = a.attrelid and c.contype = 'p'
        where a.attrelid = to_regclass('u.orders') and (a.attname, a.atttypid::regtype::text)
            in (('id', 'bigint'), ('paid_at', 'timestamp with time zone'), ('total', 'numeric'))";
    let is_sound =
        matches!(database.attempt(sound).await, Ok(rows) if rows[0][0].as_deref() == Some("3"));
    if !is_sound || database.attempt(BOOKS_VIEW).await.is_err() {
        *tally.entry("rounds without books".into()).or_default() += 1;
        return None;
    }
    *tally.entry("rounds with books".into()).or_default() += 1;
    let mut wrong = Vec::new();
    let mut steps = vec![TRACKING, "select capi.sweep()", "select capi.recapture()"];
    if plans.iter().any(|plan| plan.kinds.contains(&"table dropped")) {
        // Another table: what it had before it was tracked is history.
        steps.push("call capi.backfill('u.orders', since => now() - interval '1 hour')");
    }
    for step in steps {
        if let Err(trouble) = database.attempt(step).await {
            wrong.push(format!("mending fails: {step}: {trouble:?}"));
            return Some(wrong);
        }
    }
    let meddles = plans.iter().any(|plan| plan.meddles);
    let ids = if meddles { "key, event_id" } else { "key" };
    for (what, sql) in [
        (
            "no event",
            "select o.id::text from u.orders o where o.paid_at is not null
                and not exists (select from capi.outbox x where x.key = o.id::text)
                and not exists (select from capi.capture_error e where e.key = o.id::text and e.resolved_at is null)".to_owned(),
        ),
        (
            "an event of nothing",
            "select coalesce(x.key, 'null') || ' ' || x.event_id from capi.outbox x
            where not exists (select from u.book b where b.id::text = x.key)
                and not exists (select from u.orders o where o.id::text = x.key and o.paid_at is not null)".to_owned(),
        ),
        ("two events", format!("select {ids} from capi.outbox group by {ids} having count(*) > 1")),
    ] {
        let rows = database.column(&sql).await;
        if !rows.is_empty() {
            wrong.push(format!("{what}: {} rows: {:?}", rows.len(), &rows[..rows.len().min(10)]));
        }
    }
    let leaks = crate::leaks::relations_with(database, &[TRACE.to_owned()]).await;
    wrong.extend(leaks.into_iter().map(|leak| format!("clear text: {leak}")));
    *tally.entry("events".into()).or_default() +=
        database.count("select count(*) from capi.outbox").await.unsigned_abs();
    Some(wrong)
}
