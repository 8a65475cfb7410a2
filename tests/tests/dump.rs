//! Dump, restore and copy: events and statuses are kept, ids do not repeat, and a copy is silent
//! until it is adopted.

use capi_tests::cluster::{done, output_of};
use capi_tests::database::{Database, Session};
use capi_tests::platform::Platform;
use capi_tests::shop::{
    buy, buy_many, captured, customer, receipts, resume, sending_shop, until_settled,
};
use capi_tests::sidecar::{Sidecar, capi};

/// What a restore must bring back as it was.
async fn contents(session: &Session) -> Vec<String> {
    let mut contents = Vec::new();
    for sql in [
        "select o::text from capi.outbox o order by id",
        "select k::text from capi.event_key k order by event",
        "select r::text from capi.receipt r order by event, destination",
        "select a::text from capi.attempt a order by attempt",
        "select d::text from capi.destination d order by destination",
        "select d::text from capi.delivery d order by event",
        "select e::text from capi.capture_error e order by error",
        "select a::text from capi.audience a order by audience",
        "select m::text from capi.audience_member m order by person",
        "select s::text from capi.audience_sync s order by sync",
        "select p::text from capi.withdrawn_person p order by salted",
    ] {
        contents.extend(session.column(sql).await);
    }
    contents
}

/// Restores a dump of the database into a new one, as psql does with the first error as the last.
async fn restored(from: &Database) -> Database {
    let dump = from.cluster().client("pg_dump").arg(from.name()).output().expect("pg_dump runs");
    done(&dump, "pg_dump");
    let copy = Database::bare().await;
    let mut psql = copy.cluster().client("psql");
    psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname", copy.name()]);
    let sql = String::from_utf8(dump.stdout).expect("UTF-8");
    done(&output_of(&mut psql, &sql), "restore");
    copy
}

/// Delivered and refused events, an error on record, and events that wait.
async fn lived_in(platform: &Platform) -> Database {
    let shop = sending_shop(platform).await;
    let c = customer(&shop).await;
    buy_many(&shop, c, 30).await;
    let nobody = "insert into shop.customers (is_guest, country, marketing_consent)
        values (true, 'DE', true) returning id";
    let nobody = shop.count(nobody).await;
    buy(&shop, nobody).await;
    let sidecar = Sidecar::start(&shop);
    until_settled(&shop, 20).await;
    assert_eq!(sidecar.terminate().await.code(), Some(0));
    buy_many(&shop, c, 7).await;
    // A list of people, half sent, and somebody who has withdrawn.
    shop.run(
        "create schema crm;
        create view crm.people as
        select 'm' || n || '@example.com' as email, true as consent from generate_series(1, 3) n;
        select capi.create_audience('people', 'meta-eu', 'crm.people', '{\"audience_id\": \"1\"}');
        select capi.withdraw('shop.orders', (select min(key) from capi.outbox where identity <> '{}'), '{webhook}')
        from (select capi.create_destination('hook', 'webhook', '{\"endpoint\": \"https://hook.example.com/in\"}', 'HOOK_KEY')) h;
        select sync from capi.audience_open('people', 'test')",
    )
    .await;
    assert!(shop.count("select count(*) from capi.withdrawn_person").await > 0);
    assert_eq!(shop.count("select count(*) from capi.audience_member").await, 3);
    shop
}

#[tokio::test]
async fn a_restored_database_keeps_everything_and_sends_after_adoption() {
    let platform = Platform::start().await;
    let original = lived_in(&platform).await;
    let copy = restored(&original).await;
    assert_eq!(contents(&copy).await, contents(&original).await);

    // New orders are captured at once; ids and keys go on.
    let c = copy.count("select min(customer_id) from shop.orders").await;
    let highest = copy.count("select max(id) from capi.outbox").await;
    buy(&copy, c).await;
    assert_eq!(captured(&copy).await, 39);
    assert!(copy.count("select max(id) from capi.outbox").await > highest);
    let repeated =
        "select count(*) from (select id from capi.outbox group by id having count(*) > 1) x";
    assert_eq!(copy.count(repeated).await, 0);
    // Saved again, an old order stays the same event.
    copy.run("update shop.orders set status = status").await;
    assert_eq!(captured(&copy).await, 39);

    // Silent until adopted, and says so.
    let requests = platform.number("requests");
    let sidecar = Sidecar::start(&copy);
    sidecar.until_logged("this database is a copy").await;
    sidecar.until_logged("asleep").await;
    assert_eq!(copy.count("select count(*) from capi.poll()").await, 0);
    assert_eq!(copy.count("select count(*) from capi.claim(1, 'x', '1 minute', 10)").await, 0);
    let refusal = copy.refused("select capi.resume('meta-eu')").await;
    assert!(refusal.hint.contains("capi.adopt()"), "{refusal:?}");
    assert_eq!(platform.number("requests"), requests);

    let adopted = capi(&["adopt"], &[("CAPI_DATABASE_URL", &copy.url("admin"))]).await;
    assert_eq!(adopted.status.code(), Some(0), "{adopted:?}");
    until_settled(&copy, 30).await;
    assert_eq!(receipts(&copy).await, ["delivered 38", "refused 1"]);
    assert_eq!(platform.number("unique_events"), 38);
    assert_eq!(platform.number("duplicates"), 0, "what was delivered before is not sent again");
}

#[tokio::test]
async fn a_restored_batch_that_was_under_way_is_sent_again_and_marked() {
    let platform = Platform::start().await;
    let original = sending_shop(&platform).await;
    let c = customer(&original).await;
    buy_many(&original, c, 10).await;
    // Claimed, perhaps sent, never recorded: the state in which a dump may find it.
    let claim = "select batch from capi.claim(1, 'gone', interval '15 seconds', 10)";
    assert!(original.count(claim).await > 0);
    // Not claimed: what the original does with them after the dump is not known in the copy.
    buy_many(&original, c, 5).await;
    let copy = restored(&original).await;
    copy.run("select capi.adopt()").await;
    buy_many(&copy, c, 3).await;
    let _sidecar = Sidecar::start(&copy);
    until_settled(&copy, 40).await;
    assert_eq!(receipts(&copy).await, ["delivered 18"]);
    let marked = "select count(*) from capi.receipt where possible_duplicate";
    assert_eq!(copy.count(marked).await, 15);
}

#[tokio::test]
async fn a_copied_database_sends_nothing() {
    let platform = Platform::start().await;
    let original = sending_shop(&platform).await;
    let c = customer(&original).await;
    buy_many(&original, c, 5).await;
    let copy = original.clone_by_template().await;
    assert_eq!(copy.get("select capi.handshake() ->> 'adopted'").await, "false");
    buy(&copy, c).await;
    let sidecar = Sidecar::start(&copy);
    sidecar.until_logged("this database is a copy").await;
    sidecar.until_logged("asleep").await;
    assert_eq!(platform.number("requests"), 0);
    let check = capi(&["check"], &[("CAPI_DATABASE_URL", &copy.url("capi"))]).await;
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert_eq!(check.status.code(), Some(1), "{said}");
    assert!(said.contains("capi adopt"), "{said}");
    drop(sidecar);

    // Both send, if somebody says so: the events that the copy inherited and its own.
    copy.run("select capi.adopt()").await;
    resume(&copy).await;
    let _sidecar = Sidecar::start(&copy);
    until_settled(&copy, 20).await;
    assert_eq!(receipts(&copy).await, ["delivered 6"]);
}

#[tokio::test]
async fn adopting_twice_changes_nothing() {
    let shop = Database::adopted().await;
    let state = "select i::text from capi.installation i";
    let before = shop.get(state).await;
    assert_eq!(shop.get("select capi.adopt()").await, "this database sends already");
    assert_eq!(shop.get(state).await, before);
}

#[tokio::test]
async fn another_instance_name_in_the_configuration_is_refused() {
    let shop = Database::adopted().await;
    shop.run("select capi.setup(instance => 'shop-production')").await;
    let url = shop.url("capi");
    let variables = [("CAPI_DATABASE_URL", url.as_str()), ("CAPI_INSTANCE", "shop-staging")];
    let run = capi(&["run"], &variables).await;
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(3), "{said}");
    assert!(said.contains("shop-production") && said.contains("shop-staging"), "{said}");
}
