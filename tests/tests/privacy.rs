//! No clear-text email address, phone number or name leaves the order's transaction.

use std::fs;
use std::sync::OnceLock;

use capi_tests::cluster::{Cluster, done};
use capi_tests::database::{Database, Session};
use capi_tests::leaks::{Person, found_in, relations_with};
use capi_tests::platform::{Platform, TOKEN};
use capi_tests::shop::{captured, errors, resume, sending_shop, track, until_settled};
use capi_tests::sidecar::{Sidecar, capi};

/// Size of a page of the write-ahead log.
const PAGE: usize = 8192;

/// Header of a page, and of the first page of a file.
const HEADER: usize = 24;
const FIRST_HEADER: usize = 40;

/// The records in the log's files from this one on. Page headers are cut out: a value may
/// continue on the next page.
fn records(cluster: &Cluster, from: &str) -> Vec<u8> {
    let mut files: Vec<_> = fs::read_dir(cluster.wal())
        .expect("the folder of the log")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.len() == 24 && name >= from
        })
        .collect();
    files.sort();
    let mut bytes = Vec::new();
    for file in files {
        for (number, page) in fs::read(file).expect("a file of the log").chunks(PAGE).enumerate() {
            let header = if number == 0 { FIRST_HEADER } else { HEADER };
            bytes.extend_from_slice(&page[header.min(page.len())..]);
        }
    }
    bytes
}

/// The order of this customer, paid in a later transaction as in a real shop.
async fn order(session: &Session, customer: i64) -> i64 {
    session
        .count(&format!(
            "insert into shop.orders (customer_id, currency, total, checkout_url)
            values ({customer}, 'EUR', 12, 'https://shop.example.com/checkout') returning id"
        ))
        .await
}

async fn pay(session: &Session, order: i64) {
    session
        .run(&format!(
            "update shop.orders set paid_at = clock_timestamp(), status = 'paid' where id = {order}"
        ))
        .await;
}

#[tokio::test]
async fn no_clear_text_is_in_the_log_of_changes() {
    // A cluster of its own: nobody else writes to this log. Page images are off, hint bits are not
    // logged, so a record holds its change and nothing of the rows beside it.
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| {
        Cluster::start("fsync = off\nautovacuum = off\nwal_keep_size = 1GB\nwal_compression = off")
    });
    let shop = Database::on(cluster).await;
    let platform = Platform::start().await;
    track(&shop, platform.endpoint()).await;
    resume(&shop).await;
    // What is long is compressed, and could not be searched.
    shop.run(
        "do $$ declare part regclass; begin
            for part in select inhrelid from pg_inherits where inhparent = 'capi.outbox'::regclass loop
                execute format('alter table %s alter identity set storage external,
                    alter facts set storage external, alter dropped set storage external', part);
            end loop;
        end $$",
    )
    .await;
    let person = Person::new("walter", "5417");
    let late = Person::new("waltraud", "5418");
    let customer = person.sign_up(&shop).await;
    let waiting = late.sign_up(&shop).await;
    shop.run(&format!("update shop.customers set marketing_consent = null where id = {waiting}"))
        .await;
    let orders = [order(&shop, customer).await, order(&shop, waiting).await];
    shop.run("checkpoint").await;
    let traces = [person.traces(), late.traces()].concat();

    let name_now = "pg_walfile_name(pg_current_wal_lsn())";
    let before = shop.get(&format!("select {name_now}")).await;
    // The search finds what is there: the shop's own records hold the values in clear.
    assert!(
        !found_in(&records(cluster, &before), &person.traces()[..1]).is_empty(),
        "blind search"
    );
    shop.run("select pg_switch_wal()").await;
    let from = shop.get("select pg_walfile_name(pg_current_wal_insert_lsn())").await;

    for order in orders {
        pay(&shop, order).await;
    }
    // Saved again, and once more as part of a failed attempt.
    pay(&shop, orders[0]).await;
    shop.run(&format!(
        "begin; update shop.orders set total = 13 where id = {}; rollback",
        orders[1]
    ))
    .await;
    let _sidecar = Sidecar::start(&shop);
    until_settled(&shop, 30).await;
    assert_eq!(captured(&shop).await, 1);
    let digest = shop.get("select identity #>> '{email,0}' from capi.outbox").await;
    let log = records(cluster, &from);
    assert_eq!(found_in(&log, &[digest]).len(), 1, "the captured row is in the searched records");
    assert_eq!(found_in(&log, &traces), [""; 0]);
}

#[tokio::test]
async fn no_clear_text_is_anywhere_else() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let mut traces = Vec::new();
    let mut customers = Vec::new();
    for (letters, digits) in [("annegret", "6501"), ("bertold", "6502"), ("cordula", "6503")] {
        let person = Person::new(letters, digits);
        traces.extend(person.traces());
        customers.push(person.sign_up(&shop).await);
    }
    // One customer refuses, one has values that are dropped, one writes the mail into a URL.
    shop.run(&format!(
        "update shop.customers set marketing_consent = false where id = {};
        update shop.customers set phone = 'call me: ' || phone, email = email || ' or none'
        where id = {};
        insert into shop.orders (customer_id, currency, total, checkout_url, status, paid_at)
        select id, 'EUR', 5, 'https://shop.example.com/?mail=' || trim(email), 'paid', clock_timestamp()
        from shop.customers",
        customers[1], customers[2]
    ))
    .await;
    for customer in customers {
        let order = order(&shop, customer).await;
        pay(&shop, order).await;
    }
    // A capture that fails while it holds the values, and one that the application aborts.
    shop.run(
        "create schema own;
        create table own.sale (id bigint primary key, customer bigint);
        create view own.conversion as
        select s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id, now() as event_time,
            'website' as action_source, c.email::numeric as value, 'EUR' as currency,
            c.email, c.phone, c.first_name, true as consent
        from own.sale s join shop.customers c on c.id = s.customer;
        select capi.track('own.sale', conversions => 'own.conversion', destinations => '{meta-eu}');
        insert into own.sale select id, id from shop.customers",
    )
    .await;
    shop.run("begin; insert into own.sale select id + 100, id from shop.customers").await;
    shop.run("set constraints all immediate").await;
    shop.run("rollback").await;
    assert_eq!(errors(&shop).await.len(), 3, "the view fails for each");
    let sidecar = Sidecar::start_with(&shop, &[("CAPI_LOG", "trace")]);
    until_settled(&shop, 30).await;
    assert_eq!(captured(&shop).await, 6);
    let status = capi(&["status", "--json"], &[("CAPI_DATABASE_URL", &shop.url("capi"))]).await;
    assert_eq!(status.status.code(), Some(0));

    assert_eq!(relations_with(&shop, &traces).await, [""; 0], "relations");
    assert_eq!(found_in(shop.cluster().log().as_bytes(), &traces), [""; 0], "server log");
    let log = sidecar.log();
    assert!(log.contains("delivered status=200"), "a log that tells of each batch: {log}");
    assert_eq!(found_in(log.as_bytes(), &traces), [""; 0], "sidecar's log");
    assert!(!log.contains(TOKEN), "sidecar's log holds the token");
    let dump = shop.cluster().client("pg_dump").args(["--schema=capi", shop.name()]).output();
    let dump = dump.expect("pg_dump runs");
    done(&dump, "pg_dump");
    let digest = shop.get("select min(identity #>> '{email,0}') from capi.outbox").await;
    assert_eq!(found_in(&dump.stdout, &[digest]).len(), 1, "the dump holds the captured rows");
    assert_eq!(found_in(&dump.stdout, &traces), [""; 0], "dump");
    let requests = serde_json::to_vec(&platform.requests().await).expect("JSON");
    assert!(platform.number("events_accepted") > 0);
    assert_eq!(found_in(&requests, &traces), [""; 0], "requests to the platform");
    assert!(!String::from_utf8_lossy(&dump.stdout).contains(TOKEN), "dump holds the token");
}

#[tokio::test]
async fn digests_in_the_log_of_the_sidecar_are_none() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    let customer = Person::new("dagobert", "6504").sign_up(&shop).await;
    let order = order(&shop, customer).await;
    pay(&shop, order).await;
    let sidecar = Sidecar::start_with(&shop, &[("CAPI_LOG", "trace")]);
    until_settled(&shop, 30).await;
    let digest = shop.get("select identity #>> '{email,0}' from capi.outbox").await;
    assert!(digest.len() == 64);
    assert!(!sidecar.log().contains(&digest));
    assert!(!shop.cluster().log().contains(&digest));
}
