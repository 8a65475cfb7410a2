//! What the cells of the fault matrix have in common: a shop whose sidecar is reached by taps only,
//! and the books at the end.

use std::collections::BTreeSet;

use crate::cluster::Cluster;
use crate::database::{Database, Session};
use crate::patience::eventually;
use crate::platform::Platform;
use crate::shop::{DESTINATION, buy_many, customer, resume, track, until_settled};
use crate::sidecar::Sidecar;
use crate::tap::{HttpTap, PostgresTap};

/// Events that a cell starts with: one batch.
pub const FIRST: u32 = 20;

/// Events that come after the fault.
pub const LATER: u32 = 5;

/// A shop with [`FIRST`] events waiting, a platform, and taps before both.
pub struct Stage {
    /// The platform behind its tap.
    pub platform: Platform,
    /// The line to the platform.
    pub to_platform: HttpTap,
    /// The database.
    pub shop: Database,
    /// The sidecar's line to the database.
    pub to_database: PostgresTap,
    customer: i64,
}

impl Stage {
    /// One on the shared cluster.
    pub async fn set() -> Self {
        Self::on(Cluster::shared()).await
    }

    /// One on another cluster.
    pub async fn on(cluster: &'static Cluster) -> Self {
        let platform = Platform::start().await;
        let to_platform = HttpTap::open(platform.endpoint()).await;
        let shop = Database::on(cluster).await;
        track(&shop, to_platform.endpoint()).await;
        resume(&shop).await;
        let to_database = PostgresTap::open(&shop);
        let customer = customer(&shop).await;
        buy_many(&shop, customer, FIRST).await;
        Self { platform, to_platform, shop, to_database, customer }
    }

    /// Starts a sidecar behind the taps.
    pub fn sidecar(&self) -> Sidecar {
        Sidecar::start_with(&self.shop, &[("CAPI_DATABASE_URL", &self.to_database.url())])
    }

    /// More orders, in this session.
    pub async fn buy(&self, session: &Session, orders: u32) {
        buy_many(session, self.customer, orders).await;
    }

    /// Orders after the fault, and the end of everything.
    pub async fn settle(&self) {
        self.settle_in(&self.shop).await;
    }

    /// The same in another database.
    pub async fn settle_in(&self, session: &Session) {
        self.buy(session, LATER).await;
        until_settled(session, 90).await;
    }

    /// The books of the shop.
    pub async fn books(&self) -> Books {
        self.books_in(&self.shop).await
    }

    /// The books in another database.
    pub async fn books_in(&self, session: &Session) -> Books {
        Books::read(session, &self.platform).await
    }

    /// Waits until a call waits for a lock; returns its process.
    pub async fn until_blocked(&self, call: &str) -> i64 {
        let sql = format!(
            "select pid from pg_stat_activity where datname = current_database()
                and wait_event_type = 'Lock' and query like '%{call}(%' and usename = 'capi' limit 1"
        );
        eventually(&format!("{call} waits for a lock"), 40, async || {
            let pid = self.shop.get(&sql).await;
            pid.parse().map_err(|_| "it does not".to_owned())
        })
        .await
    }

    /// Waits until the platform has seen so many requests.
    pub async fn until_requested(&self, requests: i64) {
        eventually("the platform gets a request", 40, async || {
            let seen = self.platform.number("requests");
            if seen >= requests { Ok(()) } else { Err(seen.to_string()) }
        })
        .await;
    }
}

/// What became of the events of a cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// Rows of the outbox.
    pub events: usize,
    /// Committed orders without an event, and delivered events that the platform never saw.
    pub lost: Vec<String>,
    /// Events that the platform took more than once.
    pub twice: usize,
    /// Of these, those whose receipt does not say so.
    pub unrecorded: Vec<String>,
    /// Receipts that say `possible_duplicate`.
    pub marked: usize,
    /// Events that have not exactly one receipt, `delivered`, and other things left open.
    pub unsettled: Vec<String>,
}

impl Books {
    /// Compares orders, outbox and receipts with what the platform took.
    pub async fn read(session: &Session, platform: &Platform) -> Self {
        let ids = async |sql: &str| -> BTreeSet<String> {
            session.column(sql).await.into_iter().collect()
        };
        let orders = ids("select event_id from shop.purchases").await;
        let events = ids("select event_id from capi.outbox").await;
        let marked =
            ids("select o.event_id from capi.outbox o join capi.receipt r on r.event = o.id
                where r.possible_duplicate")
            .await;
        let unsettled = session
            .column(&format!(
                "select event_id || ' has ' || count(r.event) || ' receipts ' || coalesce(min(r.status::text), '')
                from capi.outbox o left join capi.receipt r on r.event = o.id and r.destination =
                    (select d.destination from capi.destination d where d.name = '{DESTINATION}')
                group by o.event_id having count(r.event) <> 1 or min(r.status::text) <> 'delivered'
                union all select 'batch ' || batch from capi.batch
                union all select 'attempt ' || attempt from capi.attempt where outcome = 'sending'
                union all select 'receipt without event' from capi.receipt r
                    where not exists (select from capi.outbox o where o.id = r.event)"
            ))
            .await;
        let seen = platform.seen().await;
        let lost =
            orders.difference(&events).chain(events.iter().filter(|id| !seen.contains_key(*id)));
        let twice: Vec<_> = seen.iter().filter(|(id, n)| **n > 1 && events.contains(*id)).collect();
        let silent = twice.iter().filter(|(id, _)| !marked.contains(*id));
        Self {
            events: events.len(),
            lost: lost.cloned().collect(),
            unrecorded: silent.map(|(id, _)| (*id).clone()).collect(),
            twice: twice.len(),
            marked: marked.len(),
            unsettled,
        }
    }

    /// Everything that must not be.
    pub fn wrong(&self) -> Vec<String> {
        let say = |what: &'static str| move |id: &String| format!("{what} {id}");
        let lost = self.lost.iter().map(say("lost:"));
        let unrecorded = self.unrecorded.iter().map(say("sent twice without a record:"));
        lost.chain(unrecorded).chain(self.unsettled.iter().map(say("not settled:"))).collect()
    }
}
