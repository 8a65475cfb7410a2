//! A platform that accepts at once and decides later: events wait for its word in the order of their
//! request, are never sent again because of a question that failed, and end on record.
//!
//! The platform is this file's own, so that it can be as odd as it likes. SQL, worker and HTTP client
//! are the real ones.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use capi_core::destination::{
    CredentialSlot, Decision, Destination, Outcome, Plan, Reason, Request, Response, Spec, Ticket,
    Unfit, Verdict,
};
use capi_core::event::Event;
use capi_sidecar::config::Config;
use capi_sidecar::metrics::Meter;
use capi_sidecar::worker::{Context, Stop, UsedCredential, WorkSignal, Worker};
use capi_tests::database::Database;
use capi_tests::patience::eventually;
use capi_tests::platform::TOKEN;
use capi_tests::shop::{
    CREDENTIAL, DESTINATION, buy_many, customer, receipts, resume, tracked_shop, until_settled,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the platform has got, and what it will say.
#[derive(Default)]
struct Desk {
    /// Ids of each request.
    sent: Vec<Vec<i64>>,
    /// Tickets that were asked with.
    asked: Vec<String>,
    /// Answers to the next questions; the last one is repeated.
    answers: Vec<(u16, Value)>,
}

type Shared = Arc<Mutex<Desk>>;

async fn take(State(desk): State<Shared>, Json(body): Json<Value>) -> (StatusCode, Json<Value>) {
    let ids = body["ids"].as_array().expect("a list of ids");
    let ids = ids.iter().map(|id| id.as_i64().expect("an id")).collect();
    let mut desk = desk.lock().expect("not poisoned");
    desk.sent.push(ids);
    (StatusCode::ACCEPTED, Json(json!({"ticket": format!("t-{}", desk.sent.len())})))
}

async fn tell(State(desk): State<Shared>, Path(ticket): Path<String>) -> (StatusCode, Json<Value>) {
    let mut desk = desk.lock().expect("not poisoned");
    desk.asked.push(ticket);
    let next = desk.answers[0].clone();
    if desk.answers.len() > 1 {
        desk.answers.remove(0);
    }
    (StatusCode::from_u16(next.0).expect("a status"), Json(next.1))
}

/// The platform as the worker knows it. Its requests list the events backwards: their order is
/// not that of the batch.
struct Later {
    endpoint: String,
}

static SPEC: Spec = Spec {
    platform: "later",
    batch_limit: 5,
    credential: CredentialSlot::Bearer,
    documentation: "https://example.com/",
};

fn verdict(decision: Decision) -> Verdict {
    Verdict { decision, hold: None, request_id: Some("later-1".into()), summary: json!({}) }
}

impl Destination for Later {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn max_age(&self, _: &Event) -> Duration {
        Duration::from_secs(7 * 86_400)
    }

    fn unfit(&self, _: &Event) -> Option<Unfit> {
        None
    }

    fn plan(&self, events: &[Event]) -> Plan {
        let url = format!("{}/send", self.endpoint);
        let backwards: Vec<usize> = (0..events.len()).rev().collect();
        // A part of its own, so that a batch may need two requests.
        let requests = backwards.chunks(3).map(|part| {
            let ids: Vec<i64> = part.iter().map(|at| events[*at].id).collect();
            Request::post(url.clone(), &json!({"ids": ids}), part.to_vec())
        });
        Plan { requests: requests.collect(), unfit: Vec::new() }
    }

    fn verdict(&self, _: &[Event], answer: &Response) -> Verdict {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        verdict(match body["ticket"].as_str() {
            Some(ticket) => {
                Decision::Accepted { ticket: Ticket(ticket.into()), after: Duration::ZERO }
            }
            None => Decision::Retry { reason: Reason::new("unreadable"), after: None },
        })
    }

    fn status_request(&self, ticket: &Ticket) -> Option<Request> {
        Some(Request::get(format!("{}/status/{}", self.endpoint, ticket.0)))
    }

    fn status_verdict(&self, _ticket: &Ticket, events: &[Event], answer: &Response) -> Verdict {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if answer.status == 401 {
            return verdict(Decision::Blocked { reason: Reason::new("token") });
        }
        if let Some(reason) = body["account"].as_str() {
            return verdict(Decision::Blocked { reason: Reason::new(reason) });
        }
        if let Some(refused) = body["refused"].as_array() {
            let outcome = |event: &Event| match refused.contains(&json!(event.id)) {
                true => Outcome::Refused(Reason::new("bad_event")),
                false if body["again"] == event.id => Outcome::Retry(Reason::new("busy")),
                false => Outcome::Delivered,
            };
            return verdict(Decision::Each(events.iter().map(outcome).collect()));
        }
        verdict(match body["state"].as_str() {
            Some(ticket) => {
                Decision::Accepted { ticket: Ticket(ticket.into()), after: Duration::ZERO }
            }
            None => Decision::Retry { reason: Reason::new("unreadable"), after: None },
        })
    }
}

/// A shop, the platform, and a worker between them.
struct Stage {
    shop: Database,
    desk: Shared,
    signal: WorkSignal,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Stage {
    /// Orders that wait, and a platform that will answer questions like this.
    async fn set(orders: u32, answers: Vec<(u16, Value)>) -> Self {
        let desk = Shared::default();
        desk.lock().expect("not poisoned").answers = answers;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new()
            .route("/send", post(take))
            .route("/status/{ticket}", get(tell))
            .with_state(desk.clone());
        let served =
            tokio::spawn(async move { axum::serve(listener, router).await.expect("serves") });

        let shop = tracked_shop().await;
        resume(&shop).await;
        let c = customer(&shop).await;
        buy_many(&shop, c, orders).await;
        let file = shop.cluster().folder().join(format!("later-{}.toml", shop.name()));
        let url = shop.url("capi");
        let text = format!(
            "database_url = '{url}'\nrequest_timeout = 2\nlease = 15\nconcurrency = 1\n\
             endpoints = ['{}']\n[credentials]\n{CREDENTIAL} = '{TOKEN}'\n",
            endpoint.trim_start_matches("http://")
        );
        std::fs::write(&file, text).expect("a configuration file");
        let context = Context::new(Config::load(Some(&file)).expect("a configuration"))
            .expect("a pool and a client");
        let (stop, stopped) = watch::channel(false);
        let signal = WorkSignal::new(UsedCredential::default());
        let id = "select destination from capi.destinations()";
        let version = "select version from capi.destinations()";
        let worker = Worker {
            version: i32::try_from(shop.count(version).await).expect("a small number"),
            pace: Arc::default(),
            seat: Arc::default(),
            meter: Meter::new(&context.metrics, DESTINATION, "later"),
            context,
            id: i32::try_from(shop.count(id).await).expect("a small number"),
            name: DESTINATION.into(),
            credential: CREDENTIAL.into(),
            platform: Box::new(Later { endpoint }),
            signal: signal.clone(),
            stop: Stop { dismissed: stopped.clone(), ending: stopped },
        };
        let worked = tokio::spawn(worker.run());
        Self { shop, desk, signal, stop, tasks: vec![served, worked] }
    }

    fn sent(&self) -> Vec<Vec<i64>> {
        self.desk.lock().expect("not poisoned").sent.clone()
    }

    fn asked(&self) -> Vec<String> {
        self.desk.lock().expect("not poisoned").asked.clone()
    }

    /// Lets time pass for what waits, so that no test waits for a pause; tells the worker.
    async fn hurry(&self) {
        self.shop.run("update capi.batch set due_at = now() where state = 'ready'").await;
        self.signal.wake();
    }

    /// Hurries until the platform was asked this often.
    async fn until_asked(&self, times: usize) {
        eventually("the platform is asked", 20, async || {
            self.hurry().await;
            let asked = self.asked().len();
            if asked >= times { Ok(()) } else { Err(asked.to_string()) }
        })
        .await;
    }

    /// Hurries until a query answers this.
    async fn until(&self, sql: &str, wanted: &str) {
        eventually(sql, 20, async || {
            self.hurry().await;
            let seen = self.shop.line(sql).await;
            if seen == wanted { Ok(()) } else { Err(seen) }
        })
        .await;
    }
}

const STATUSES: &str = "select string_agg(distinct status, ' ' order by status) from capi.delivery";

fn processing() -> (u16, Value) {
    (200, json!({"state": "t-next"}))
}

fn decided(refused: &[i64]) -> (u16, Value) {
    (200, json!({"refused": refused}))
}

/// What Google says of a ticket that it knows no more, in its own form.
fn forgotten() -> Value {
    json!({"error": {"code": 404, "status": "NOT_FOUND", "message": "Requested entity was not found.",
        "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "NOT_FOUND",
            "domain": "datamanager.googleapis.com"}]}})
}

#[tokio::test]
async fn accepted_events_are_settled_by_their_places() {
    let stage =
        Stage::set(3, vec![processing(), processing(), (200, json!({"refused": []}))]).await;
    stage.until(STATUSES, "accepted").await;
    let ids = stage.shop.column("select id from capi.outbox order by id").await;
    let ids: Vec<i64> = ids.iter().map(|id| id.parse().expect("an id")).collect();
    stage.desk.lock().expect("not poisoned").answers =
        vec![processing(), processing(), decided(&[ids[0]])];
    stage.until(STATUSES, "delivered refused").await;
    let backwards: Vec<i64> = ids.iter().rev().copied().collect();
    assert_eq!(stage.sent(), [backwards], "sent once");
    let kept = "select string_agg(events::text, ' ') from capi.attempt where kind = 'poll' and outcome = 'each'";
    let order = format!("{{{},{},{}}}", ids[2], ids[1], ids[0]);
    assert_eq!(stage.shop.get(kept).await, order, "the order of the request");
    let refused = "select event, reason from capi.receipt where status = 'refused'";
    assert_eq!(stage.shop.line(refused).await, format!("{}|bad_event", ids[0]));
    // Questions are attempts of their own kind and cost no try; the receipt names the send.
    let attempts = "select kind || ' ' || outcome from capi.attempt order by attempt";
    let attempts = stage.shop.column(attempts).await;
    assert_eq!(attempts.first().map(String::as_str), Some("send accepted"));
    assert_eq!(attempts.last().map(String::as_str), Some("poll each"));
    assert!(attempts[1..attempts.len() - 1].iter().all(|a| a == "poll accepted"), "{attempts:?}");
    let receipts = "select distinct r.attempts, a.kind, r.possible_duplicate
        from capi.receipt r join capi.attempt a using (attempt)";
    assert_eq!(stage.shop.line(receipts).await, "1|send|f");
    // A new ticket replaces the old one.
    let asked = stage.asked();
    assert_eq!((asked[0].as_str(), asked[1].as_str()), ("t-1", "t-next"));
    let attempt = "select count(*) from capi.attempt where answer::text || coalesce(reason, '') like '%EAAG%'";
    assert_eq!(stage.shop.count(attempt).await, 0);
}

#[tokio::test]
async fn what_was_not_in_the_request_goes_by_itself() {
    // Five events in a batch, of which three fit into a request.
    let stage = Stage::set(5, vec![decided(&[])]).await;
    until_settled_hurried(&stage).await;
    let sent = stage.sent();
    assert_eq!(sent.iter().map(Vec::len).collect::<Vec<_>>(), [3, 2]);
    assert_eq!(receipts(&stage.shop).await, ["delivered 5"]);
}

async fn until_settled_hurried(stage: &Stage) {
    stage.until("select count(*) from capi.delivery where settled_at is null", "0").await;
    until_settled(&stage.shop, 20).await;
}

#[tokio::test]
async fn a_question_that_fails_sends_nothing_again() {
    let garbage = (200, json!("<html>"));
    let answers = vec![(500, json!({})), garbage, (404, json!({})), (429, json!({}))];
    let stage = Stage::set(3, answers).await;
    stage.until_asked(4).await;
    stage.until(STATUSES, "accepted").await;
    assert_eq!(stage.sent().len(), 1);
    assert_eq!(stage.shop.count("select tries from capi.batch").await, 0, "no try was spent");
    // Not even a lost lease of a question.
    stage.stop.send_replace(true);
    let claim = "select ticket is not null from capi.claim(1, 'gone', interval '0', 10)";
    stage.shop.run("update capi.batch set due_at = now()").await;
    eventually("a question is leased", 10, async || {
        let seen = stage.shop.get(claim).await;
        if seen == "t" { Ok(()) } else { Err(seen) }
    })
    .await;
    assert_eq!(stage.shop.get(claim).await, "t", "asked again");
    let batch = "select tries, unknown from capi.batch";
    assert_eq!(stage.shop.line(batch).await, "0|0");
}

#[tokio::test]
async fn events_that_the_platform_wants_again_go_again() {
    let stage = Stage::set(2, vec![processing()]).await;
    stage.until(STATUSES, "accepted").await;
    let last = stage.shop.count("select max(id) from capi.outbox").await;
    stage.desk.lock().expect("not poisoned").answers =
        vec![(200, json!({"refused": [], "again": last})), decided(&[])];
    until_settled_hurried(&stage).await;
    let sent = stage.sent();
    assert_eq!((sent.len(), sent[1].as_slice()), (2, &[last][..]));
    let rows = "select string_agg(attempts::text, ' ' order by event) from capi.receipt";
    assert_eq!(stage.shop.get(rows).await, "1 2");
    assert_eq!(receipts(&stage.shop).await, ["delivered 2"]);
}

#[tokio::test]
async fn age_does_not_expire_what_was_accepted() {
    let stage = Stage::set(2, vec![processing()]).await;
    stage.until(STATUSES, "accepted").await;
    stage.shop.run("update capi.outbox set event_time = now() - interval '20 days'").await;
    stage.shop.run("select capi.withdraw('shop.orders', key) from capi.outbox").await;
    stage.desk.lock().expect("not poisoned").answers = vec![decided(&[])];
    until_settled_hurried(&stage).await;
    assert_eq!(receipts(&stage.shop).await, ["delivered 2"], "it is with the platform");
}

#[tokio::test]
async fn a_day_without_a_decision_is_on_record_as_undecided() {
    let stage = Stage::set(2, vec![processing()]).await;
    stage.until(STATUSES, "accepted").await;
    let later = "update capi.batch set accepted_at = accepted_at - interval '24 hours'";
    stage.shop.run(later).await;
    stage.until(STATUSES, "undecided").await;
    let reasons = "select distinct status, reason from capi.delivery";
    assert_eq!(stage.shop.line(reasons).await, "undecided|no_decision");
    assert_eq!(stage.sent().len(), 1);
}

#[tokio::test]
async fn a_ticket_that_the_platform_has_lost_is_on_record_as_undecided() {
    let stage = Stage::set(2, vec![processing()]).await;
    stage.until(STATUSES, "accepted").await;
    stage.desk.lock().expect("not poisoned").answers = vec![(404, forgotten())];
    let later = "update capi.batch set accepted_at = accepted_at - interval '10 minutes'";
    stage.shop.run(later).await;
    stage.until(STATUSES, "undecided").await;
    let reasons = "select distinct status, reason from capi.delivery";
    assert_eq!(stage.shop.line(reasons).await, "undecided|ticket_unknown");
    assert_eq!(stage.sent().len(), 1);
}

#[tokio::test]
async fn a_refused_token_keeps_the_ticket_and_blocks() {
    let stage = Stage::set(2, vec![(401, json!({}))]).await;
    stage.until("select state from capi.status()", "blocked").await;
    let kept = "select count(*) from capi.batch where ticket = 't-1'";
    assert_eq!(stage.shop.count(kept).await, 1);
    assert_eq!(stage.shop.get(STATUSES).await, "accepted");
    assert_eq!(stage.sent().len(), 1);
}

/// Google says so with the outcome, as of terms that nobody has accepted: no further question brings
/// another answer, at whatever age.
#[tokio::test]
async fn what_failed_for_the_accounts_sake_goes_again_after_a_resume() {
    for age in ["1 minute", "25 hours", "8 days"] {
        let stage = Stage::set(2, vec![processing()]).await;
        stage.until(STATUSES, "accepted").await;
        let older = format!("update capi.batch set accepted_at = accepted_at - interval '{age}'");
        stage.shop.run(&older).await;
        stage.desk.lock().expect("not poisoned").answers = vec![(200, json!({"account": "terms"}))];
        stage.until("select state from capi.status()", "blocked").await;
        let waits = "select count(*) from capi.batch where ticket is null and unknown = 1 and \
            cardinality(events) = 2 and tries = 0 and state = 'ready'";
        assert_eq!(stage.shop.count(waits).await, 1, "{age}");
        assert_eq!(stage.sent().len(), 1, "{age}");
    }
}

#[tokio::test]
async fn accepted_batches_do_not_stop_the_next_ones() {
    // More than the sixteen that may be open otherwise; questions keep their pauses.
    let stage = Stage::set(100, vec![processing()]).await;
    let accepted =
        "select coalesce(sum(cardinality(events)), 0) from capi.batch where ticket is not null";
    eventually("all are accepted", 60, async || {
        stage.signal.wake();
        let seen = stage.shop.get(accepted).await;
        if seen == "100" { Ok(()) } else { Err(seen) }
    })
    .await;
    assert_eq!(stage.sent().iter().map(Vec::len).sum::<usize>(), 100);
    assert!(stage.shop.count("select count(*) from capi.batch").await > 16);
}
