//! Custom audiences: who is on a list follows from a view, from consent and from erasure, whatever
//! happens between the database and the platform.

use std::process::Output;

use capi_tests::database::{Database, Session};
use capi_tests::leaks::{Person, found_in, relations_with};
use capi_tests::patience::eventually;
use capi_tests::platform::{Platform, TOKEN};
use capi_tests::shop::{CREDENTIAL, DESTINATION, buy, sending_shop};
use capi_tests::sidecar::capi;
use serde_json::{Value, json};

const LIST: &str = "6001";

/// A shop with a table of people beside it, empty, and a list of them.
async fn with_list(platform: &Platform) -> Database {
    let shop = sending_shop(platform).await;
    shop.run(
        "create schema crm authorization shop_owner;
        set role shop_owner;
        create table crm.people (
            id bigint generated always as identity primary key,
            email text, phone text, number text, city text, consent boolean default true,
            consent_at timestamptz, worth numeric
        );
        create view crm.newsletter as
        select id, email, phone, number as external_id, city, 'DE' as country, consent, consent_at
        from crm.people;
        create view crm.valued as select email, consent, worth as value from crm.people;
        reset role",
    )
    .await;
    let create = format!(
        "select capi.create_audience('newsletter', '{DESTINATION}', 'crm.newsletter',
            '{{\"audience_id\": \"{LIST}\"}}')"
    );
    shop.run(&create).await;
    shop
}

/// Adds people by their email addresses.
async fn join(session: &Session, addresses: &[&str]) {
    for address in addresses {
        session
            .run(&format!("insert into crm.people (email, city) values ('{address}', 'Berlin')"))
            .await;
    }
}

async fn run(shop: &Database, arguments: &[&str]) -> Output {
    let url = shop.url("capi");
    let variables =
        [("CAPI_DATABASE_URL", url.as_str()), (CREDENTIAL, TOKEN), ("CAPI_LOG", "trace")];
    capi(&[&["audience", "sync"], arguments].concat(), &variables).await
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// A sync that must end well; what it prints.
async fn sync(shop: &Database) -> String {
    let output = run(shop, &["newsletter", "--wait", "0"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    String::from_utf8(output.stdout).expect("text")
}

/// `added removed` of the last sync.
async fn changes(shop: &Database) -> String {
    shop.line("select added, removed from capi.audience_syncs order by sync desc limit 1").await
}

fn members(platform: &Platform) -> i64 {
    platform.audiences()[LIST]["members"].as_i64().unwrap_or(0)
}

/// The digest of an email address as events have it.
async fn digest(shop: &Database, address: &str) -> String {
    shop.get(&format!("select capi.digest('email', '{address}')")).await
}

/// Mail digests that the platform has.
fn addresses(platform: &Platform) -> Vec<String> {
    let rows = platform.audiences()[LIST]["rows"].as_array().cloned().unwrap_or_default();
    let email = |row: &Value| row["EMAIL"].as_str().unwrap_or_default().to_owned();
    let mut addresses: Vec<String> = rows.iter().map(email).collect();
    addresses.sort();
    addresses
}

async fn digests(shop: &Database, wanted: &[&str]) -> Vec<String> {
    let mut digests = Vec::new();
    for address in wanted {
        digests.push(digest(shop, address).await);
    }
    digests.sort();
    digests
}

/// Bodies of the requests to the list with their method, oldest first.
async fn requests(platform: &Platform) -> Vec<(String, Value)> {
    let mut requests: Vec<(String, Value)> = platform
        .requests()
        .await
        .into_iter()
        .filter(|request| request["path"].as_str().is_some_and(|path| path.ends_with("/users")))
        .map(|request| {
            (request["method"].as_str().unwrap_or_default().to_owned(), request["body"].clone())
        })
        .collect();
    requests.reverse();
    requests
}

#[tokio::test]
async fn the_list_is_as_the_view_says() {
    let platform = Platform::start().await;
    let shop = with_list(&platform).await;
    join(&shop, &["ada@example.com", "bea@example.com", "cleo@example.com"]).await;
    shop.run(
        "insert into crm.people (email, consent) values
            ('no@example.com', false), ('silent@example.com', null);
        insert into crm.people (city) values ('Bonn')",
    )
    .await;
    let text = sync(&shop).await;
    for line in [
        "         6  rows",
        "         3  people",
        "         1  withheld: consent_refused",
        "         1  withheld: consent_unknown",
        "         1  withheld: missing_identity",
        "         3  added",
        "         0  removed",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    let three = ["ada@example.com", "bea@example.com", "cleo@example.com"];
    assert_eq!(addresses(&platform), digests(&shop, &three).await);
    let status =
        "select audience, destination, audience_id, people_view, members, waiting, last_outcome,
        rows, people, withheld, synced_at is not null from capi.audience_status";
    let analyst = shop.connect_as("analyst").await;
    assert_eq!(
        analyst.line(status).await,
        format!(
            "newsletter|{DESTINATION}|{LIST}|crm.newsletter|3|0|done|6|3|\
            {{\"consent_refused\": 1, \"consent_unknown\": 1, \"missing_identity\": 1}}|t"
        )
    );

    // Nothing has changed: nothing is sent.
    let before = requests(&platform).await.len();
    sync(&shop).await;
    assert_eq!(requests(&platform).await.len(), before);
    assert_eq!(changes(&shop).await, "0|0");

    // Another city is told and nobody removed; another address is another person's.
    shop.run(
        "update crm.people set city = 'Bonn' where email = 'ada@example.com';
        update crm.people set email = 'bea@example.org' where email = 'bea@example.com';
        update crm.people set consent = false where email = 'cleo@example.com';
        update crm.people set consent = true where email = 'silent@example.com'",
    )
    .await;
    sync(&shop).await;
    assert_eq!(changes(&shop).await, "3|2");
    let now = ["ada@example.com", "bea@example.org", "silent@example.com"];
    assert_eq!(addresses(&platform), digests(&shop, &now).await);
    let last = requests(&platform).await;
    assert_eq!(last[last.len() - 2].0, "DELETE", "who leaves goes first");
    assert_eq!(last[last.len() - 2].1["payload"]["schema"], json!(["EMAIL"]));

    shop.run("delete from crm.people").await;
    sync(&shop).await;
    assert_eq!(members(&platform), 0);
    assert_eq!(shop.count("select count(*) from capi.audience_member").await, 0);
    assert_eq!(platform.audiences()[LIST]["rows_invalid"], 0);
}

#[tokio::test]
async fn members_have_the_digests_of_events() {
    let platform = Platform::start().await;
    let shop = with_list(&platform).await;
    let person = Person::new("eugenie", "7101");
    let customer = person.sign_up(&shop).await;
    shop.run(&format!("select capi.pause('{DESTINATION}')")).await;
    buy(&shop, customer).await;
    shop.run(&format!("select capi.resume('{DESTINATION}')")).await;
    shop.run(
        "create view crm.customers as
        select email, phone, first_name, last_name, city, zip, country, id as external_id,
            marketing_consent as consent
        from shop.customers;
        select capi.alter_audience('newsletter', people => 'crm.customers')",
    )
    .await;
    sync(&shop).await;
    let identity = shop.get("select identity from capi.outbox").await;
    let identity: Value = serde_json::from_str(&identity).expect("JSON");
    let row = &platform.audiences()[LIST]["rows"][0];
    for (key, field) in [
        ("EMAIL", "email"),
        ("PHONE", "phone"),
        ("FN", "first_name"),
        ("LN", "last_name"),
        ("CT", "city"),
        ("ZIP", "zip"),
        ("COUNTRY", "country"),
        ("EXTERN_ID", "external_id"),
    ] {
        assert_eq!(row[key], identity[field][0], "{field}");
        assert_eq!(row[key].as_str().map(str::len), Some(64), "{field}");
    }
}

#[tokio::test]
async fn many_people_go_in_batches_of_one_session() {
    let platform = Platform::start().await;
    let shop = with_list(&platform).await;
    shop.run(
        "insert into crm.people (email, phone)
        select 'p' || n || '@example.com', '+49 30 ' || (20000000 + n) from generate_series(1, 25003) n",
    )
    .await;
    let text = sync(&shop).await;
    assert!(text.contains("     25003  added"), "{text}");
    assert_eq!(members(&platform), 25_003);
    let sent = requests(&platform).await;
    let rows = |body: &Value| body["payload"]["data"].as_array().map_or(0, Vec::len);
    let sizes: Vec<usize> = sent.iter().map(|(_, body)| rows(body)).collect();
    assert_eq!(sizes, [10_000, 10_000, 5_003]);
    let sessions: Vec<&Value> = sent.iter().map(|(_, body)| &body["session"]).collect();
    for (at, session) in (1..).zip(&sessions) {
        assert_eq!(session["session_id"], sessions[0]["session_id"]);
        assert_eq!(session["batch_seq"], at);
        assert_eq!(session["last_batch_flag"], at == 3);
        assert_eq!(session["estimated_num_total"], 25_003);
    }
    assert_eq!(platform.audiences()[LIST]["sessions"][0]["complete"], true);
    shop.run("delete from crm.people where id > 3").await;
    sync(&shop).await;
    assert_eq!(changes(&shop).await, "0|25000");
    assert_eq!(members(&platform), 3);
    assert_eq!(requests(&platform).await.len(), 6);
}

#[tokio::test]
async fn who_withdraws_is_removed_until_he_consents_again() {
    let platform = Platform::start().await;
    let shop = with_list(&platform).await;
    let person = Person::new("friedel", "7102");
    let customer = person.sign_up(&shop).await;
    let order = buy(&shop, customer).await;
    let address = person.email.trim().to_lowercase();
    join(&shop, &[&address, "ada@example.com"]).await;
    sync(&shop).await;
    assert_eq!(members(&platform), 2);

    // Of an order, for a platform that is not this one: nothing changes here.
    shop.run("select capi.create_destination('tt', 'tiktok', '{\"event_source_id\": \"1\"}', 'TT_TOKEN')")
        .await;
    let withdraw = |of: &str| format!("select capi.withdraw('shop.orders', '{order}', {of})");
    shop.run(&withdraw("'{tiktok}'")).await;
    sync(&shop).await;
    assert_eq!(members(&platform), 2);

    shop.run(&withdraw("null")).await;
    assert!(sync(&shop).await.contains("         1  withheld: withdrawn"));
    assert_eq!(addresses(&platform), digests(&shop, &["ada@example.com"]).await);
    // The view goes on saying yes: a consent from before counts no more.
    shop.run("update crm.people set consent_at = now() - interval '1 day'").await;
    sync(&shop).await;
    assert_eq!(members(&platform), 1);
    shop.run("update crm.people set consent_at = clock_timestamp()").await;
    sync(&shop).await;
    assert_eq!(members(&platform), 2);
}

#[tokio::test]
async fn a_row_that_takes_consent_back_speaks_for_the_list_too() {
    let platform = Platform::start().await;
    let shop = with_list(&platform).await;
    let person = Person::new("gerlinde", "7103");
    let customer = person.sign_up(&shop).await;
    let order = buy(&shop, customer).await;
    join(&shop, &[&person.email.trim().to_lowercase()]).await;
    sync(&shop).await;
    assert_eq!(members(&platform), 1);
    let say = |consent: &str| {
        format!(
            "update shop.customers set marketing_consent = {consent} where id = {customer};
            update shop.orders set status = status where id = {order}"
        )
    };
    shop.run(&say("false")).await;
    sync(&shop).await;
    assert_eq!(members(&platform), 0);
    shop.run(&say("true")).await;
    assert_eq!(shop.count("select count(*) from capi.withdrawn_person").await, 0);
    sync(&shop).await;
    assert_eq!(members(&platform), 1);
}

#[tokio::test]
async fn who_is_erased_leaves_and_never_comes_back() {
    let platform = Platform::start().await;
    let shop = with_list(&platform).await;
    let buyer = Person::new("hedwig", "7104");
    let customer = buyer.sign_up(&shop).await;
    let order = buy(&shop, customer).await;
    let address = buyer.email.trim().to_lowercase();
    join(&shop, &[&address, "reader@example.com", "ada@example.com"]).await;
    sync(&shop).await;
    assert_eq!(members(&platform), 3);

    // By the order, and by the address of somebody who has never bought.
    let report =
        shop.get(&format!("select capi.forget('shop.orders', '{order}') ->> 'audiences'")).await;
    assert_eq!(report, "[\"newsletter\"]");
    let reader = "select source from capi.forget_person('email', 'Reader@example.com')";
    assert_eq!(shop.column(reader).await, ["audience newsletter"]);
    assert!(sync(&shop).await.contains("         2  withheld: forgotten"));
    assert_eq!(addresses(&platform), digests(&shop, &["ada@example.com"]).await);

    // Nothing of them remains but the salted block, even though the view still shows them.
    let gone = digests(&shop, &[&address, "reader@example.com"]).await;
    assert_eq!(relations_with(&shop, &gone).await, [""; 0]);
    assert_eq!(shop.count("select count(*) from capi.audience_member").await, 1);
    shop.run("update crm.people set consent_at = clock_timestamp()").await;
    sync(&shop).await;
    assert_eq!(members(&platform), 1, "a new consent brings nobody back");
}

#[tokio::test]
async fn who_withdraws_or_is_erased_during_a_sync_is_not_sent() {
    let platform = Platform::start().await;
    let shop = with_list(&platform).await;
    join(&shop, &["ada@example.com", "reader@example.com"]).await;
    let sidecar = shop.connect_as("capi").await;
    let number = sidecar.count("select sync from capi.audience_open('newsletter', 'test')").await;
    shop.run("select capi.forget_person('email', 'reader@example.com')").await;
    let batch = format!(
        "select barred, count(*) from capi.audience_batch({number}, 'add', null, 10000)
        group by barred order by barred"
    );
    let rows = sidecar.rows(&batch).await;
    let rows: Vec<String> =
        rows.into_iter().map(|r| r.into_iter().flatten().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(rows, ["f 1", "t 1"]);
    // The session dies here: between the batch and its record.
    drop(sidecar);
    eventually("the lock is free", 10, async || {
        let output = run(&shop, &["newsletter", "--wait", "0"]).await;
        if output.status.code() == Some(0) { Ok(()) } else { Err(said(&output)) }
    })
    .await;
    assert_eq!(addresses(&platform), digests(&shop, &["ada@example.com"]).await);
    let outcomes = "select outcome from capi.audience_syncs order by sync";
    assert_eq!(shop.column(outcomes).await, ["abandoned", "done"]);
}

#[tokio::test]
async fn members_have_values_where_the_view_has() {
    let platform = Platform::start().await;
    let shop = with_list(&platform).await;
    shop.run(
        "select capi.alter_audience('newsletter', people => 'crm.valued');
        insert into crm.people (email, worth) values ('ada@example.com', 44.50),
            ('ada@example.com', 17), ('bea@example.com', 0), ('cleo@example.com', null), ('dora@example.com', -1)",
    )
    .await;
    let text = sync(&shop).await;
    for line in ["withheld: missing_value", "withheld: not_a_value", "withheld: repeated"] {
        assert!(text.contains(&format!("         1  {line}")), "{line}\n{text}");
    }
    let ada = digest(&shop, "ada@example.com").await;
    let worth = || {
        let rows = platform.audiences()[LIST]["rows"].as_array().cloned().expect("rows");
        let row = rows.into_iter().find(|row| row["EMAIL"] == ada).expect("Ada");
        row["LOOKALIKE_VALUE"].to_string()
    };
    assert_eq!(worth(), "44.50", "of two rows of one person the greater value");
    sync(&shop).await;
    assert_eq!(changes(&shop).await, "0|0");
    shop.run("update crm.people set worth = 50 where worth = 44.50").await;
    sync(&shop).await;
    assert_eq!(changes(&shop).await, "1|0");
    assert_eq!(worth(), "50");
}

#[tokio::test]
async fn a_removal_names_nothing_that_a_member_who_stays_has() {
    let platform = Platform::start().await;
    let shop = with_list(&platform).await;
    shop.run(
        "insert into crm.people (email, phone) values
            ('ada@example.com', '+49 30 23125041'), ('ben@example.com', '+49 30 23125041'),
            ('cleo@example.com', '+49 30 23125042')",
    )
    .await;
    sync(&shop).await;
    assert_eq!(members(&platform), 3);
    // One of a family leaves, and somebody has a new address.
    shop.run(
        "delete from crm.people where email = 'ben@example.com';
        update crm.people set email = 'cleo@example.org' where email = 'cleo@example.com'",
    )
    .await;
    sync(&shop).await;
    assert_eq!(
        addresses(&platform),
        digests(&shop, &["ada@example.com", "cleo@example.org"]).await
    );
    let sent = requests(&platform).await;
    let removal = &sent.iter().find(|(method, _)| method == "DELETE").expect("a removal").1;
    assert_eq!(removal["payload"]["schema"], json!(["EMAIL"]), "the phones stay");
    // Whoever only gains an id has nothing to be removed; whoever gives up a phone has that.
    shop.run("update crm.people set phone = null, number = 'K-1' where email = 'ada@example.com'")
        .await;
    shop.run("update crm.people set number = 'K-2' where email = 'cleo@example.org'").await;
    sync(&shop).await;
    assert_eq!(changes(&shop).await, "2|1", "the phone of Ada alone is given up");
    // The stand-in has a row more of Cleo: it does not know that both are hers.
    let mut left = addresses(&platform);
    left.dedup();
    assert_eq!(left, digests(&shop, &["ada@example.com", "cleo@example.org"]).await);
}

#[tokio::test]
async fn what_fails_half_way_goes_on_with_the_next_sync() {
    let platform = Platform::start().await;
    let shop = with_list(&platform).await;
    shop.run(
        "insert into crm.people (email)
        select 'p' || n || '@example.com' from generate_series(1, 10100) n",
    )
    .await;
    // The second answer is lost: the rows are there and nobody has said so.
    platform.fault(json!({"kind": "latency", "ms": 1, "times": 1})).await;
    platform.fault(json!({"kind": "lie", "times": 1, "received": 10_000})).await;
    platform.fault(json!({"kind": "cut_after_body", "times": 1})).await;
    let output = run(&shop, &["newsletter", "--wait", "0"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("10000  added, of 10100"), "{}", said(&output));
    assert!(said(&output).contains("stopped: answer_lost"), "{}", said(&output));
    let last = "select last_outcome, last_reason, members, waiting from capi.audience_status";
    assert_eq!(shop.line(last).await, "failed|answer_lost|10000|100");
    assert_eq!(members(&platform), 10_100);
    // Of those who may be there one leaves, and is removed all the same.
    let doubtful = "select digests[1] from capi.audience_member where offered";
    let doubtful = shop.column(doubtful).await;
    assert_eq!(doubtful.len(), 100);
    let leaver = format!(
        "delete from crm.people where id in (
            select id from crm.people where capi.digest('email', email) = '{}')",
        doubtful[0]
    );
    shop.run(&leaver).await;
    sync(&shop).await;
    assert_eq!(changes(&shop).await, "99|1");
    assert_eq!(members(&platform), 10_099);
    assert!(!addresses(&platform).contains(&doubtful[0]));
}

#[tokio::test]
async fn a_sync_that_is_killed_is_taken_up_by_the_next() {
    let platform = Platform::start().await;
    let shop = with_list(&platform).await;
    join(&shop, &["ada@example.com", "bea@example.com"]).await;
    platform.fault(json!({"kind": "late", "ms": 60_000, "times": 1})).await;
    let arrived =
        eventually("the platform has the people", 25, async || match members(&platform) {
            2 => Ok(()),
            other => Err(other.to_string()),
        });
    tokio::select! {
        ended = run(&shop, &["newsletter"]) => panic!("{}", said(&ended)),
        // The program is killed with the future that waits for it.
        () = arrived => {}
    }
    shop.run("delete from crm.people where email = 'bea@example.com'").await;
    eventually("the lock is free", 10, async || {
        let output = run(&shop, &["newsletter", "--wait", "0"]).await;
        if output.status.code() == Some(0) { Ok(()) } else { Err(said(&output)) }
    })
    .await;
    assert_eq!(addresses(&platform), digests(&shop, &["ada@example.com"]).await);
    let outcomes =
        "select outcome || ' ' || added || ' ' || removed from capi.audience_syncs order by sync";
    assert_eq!(shop.column(outcomes).await, ["abandoned 0 0", "done 1 1"]);
}

#[tokio::test]
async fn a_failure_that_passes_is_waited_for() {
    let platform = Platform::start().await;
    let shop = with_list(&platform).await;
    join(&shop, &["ada@example.com"]).await;
    for fault in [
        json!({"kind": "status", "status": 503, "times": 1}),
        json!({"kind": "garbage", "times": 1}),
        json!({"kind": "lie", "received": 0, "times": 1}),
    ] {
        platform.fault(fault).await;
    }
    let output = run(&shop, &["newsletter", "--wait", "25"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(members(&platform), 1);
    assert_eq!(requests(&platform).await.len(), 4);
    assert_eq!(changes(&shop).await, "1|0");

    // Longer than there is patience for.
    join(&shop, &["bea@example.com"]).await;
    platform
        .fault(json!({"kind": "throttle", "code": 80003, "retry_after": 3600, "times": 1}))
        .await;
    let output = run(&shop, &["newsletter"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        said(&output).contains("stopped: 80003 (Meta takes no more calls"),
        "{}",
        said(&output)
    );
    assert_eq!(requests(&platform).await.len(), 5);
    sync(&shop).await;
    assert_eq!(members(&platform), 2);
}

#[tokio::test]
async fn an_expired_token_is_told_and_nothing_recorded() {
    let platform = Platform::start().await;
    let shop = with_list(&platform).await;
    join(&shop, &["ada@example.com"]).await;
    platform.fault(json!({"kind": "expired_token"})).await;
    let output = run(&shop, &["newsletter"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("stopped: 190/463 (the access token"), "{}", said(&output));
    let status =
        "select last_outcome, last_reason, members, waiting, added from capi.audience_status";
    assert_eq!(shop.line(status).await, "failed|190/463|0|1|0");
    let http = "select http_status, request_id is not null, requests from capi.audience_syncs";
    assert_eq!(shop.line(http).await, "401|t|1");
    platform.heal().await;
    sync(&shop).await;
    assert_eq!(members(&platform), 1);
    // Without a credential nothing begins, and the sync says so.
    let url = shop.url("capi");
    let bare = [("CAPI_DATABASE_URL", url.as_str())];
    let output = capi(&["audience", "sync", "newsletter"], &bare).await;
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let last = "select last_reason from capi.audience_status";
    assert_eq!(shop.get(last).await, "no_credential");
}

#[tokio::test]
async fn entries_that_the_platform_calls_invalid_are_on_record() {
    let platform = Platform::start().await;
    let shop = with_list(&platform).await;
    join(&shop, &["ada@example.com", "bea@example.com"]).await;
    platform.fault(json!({"kind": "invalid_entries", "received": 2, "times": 1})).await;
    let text = sync(&shop).await;
    assert!(text.contains("         2  entries or more were invalid"), "{text}");
    assert_eq!(shop.line("select added, invalid from capi.audience_status").await, "2|2");
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let platform = Platform::start().await;
    let shop = with_list(&platform).await;
    join(&shop, &["ada@example.com", "bea@example.com"]).await;
    sync(&shop).await;
    shop.run("delete from crm.people where id = 1").await;
    join(&shop, &["cleo@example.com", "dora@example.com"]).await;
    let before = shop.column("select m::text from capi.audience_member m order by 1").await;
    let output = run(&shop, &["newsletter", "--dry-run"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.ends_with("         1  would be removed\n         2  would be added\n"), "{text}");
    assert_eq!(shop.column("select m::text from capi.audience_member m order by 1").await, before);
    assert_eq!(shop.count("select count(*) from capi.audience_syncs").await, 1);
    assert_eq!(requests(&platform).await.len(), 1);
    sync(&shop).await;
    assert_eq!(changes(&shop).await, "2|1");
}

#[tokio::test]
async fn one_sync_of_an_audience_at_a_time() {
    let platform = Platform::start().await;
    let shop = with_list(&platform).await;
    join(&shop, &["ada@example.com"]).await;
    let other = shop.connect_as("capi").await;
    let number = other.count("select sync from capi.audience_open('newsletter', 'other')").await;
    let output = run(&shop, &["newsletter"]).await;
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(
        said(&output).contains("another sync of this audience is under way"),
        "{}",
        said(&output)
    );
    let dropped =
        shop.refused("select capi.drop_audience('newsletter', leave_members => true)").await;
    assert_eq!(dropped.code, "55006");
    other.run(&format!("select capi.audience_close({number}, null, null, null)")).await;
    sync(&shop).await;
    assert_eq!(members(&platform), 1);
    let over = other
        .refused(&format!("select * from capi.audience_batch({number}, 'add', null, 10)"))
        .await;
    assert_eq!(over.message, "this sync is over");
}

#[tokio::test]
async fn a_copy_and_a_paused_destination_send_nobody() {
    let platform = Platform::start().await;
    let shop = with_list(&platform).await;
    join(&shop, &["ada@example.com"]).await;
    shop.run(&format!("select capi.pause('{DESTINATION}')")).await;
    let output = run(&shop, &["newsletter"]).await;
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("capi resume"), "{}", said(&output));
    shop.run(&format!("select capi.resume('{DESTINATION}')")).await;
    let copy = shop.clone_by_template().await;
    let output = run(&copy, &["newsletter"]).await;
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert_eq!(requests(&platform).await.len(), 0);
}

#[tokio::test]
async fn a_view_that_fails_removes_nobody_and_quotes_nothing() {
    let platform = Platform::start().await;
    let shop = with_list(&platform).await;
    join(&shop, &["ada@example.com", "bea@example.com"]).await;
    sync(&shop).await;
    shop.run(
        "set role shop_owner;
        create or replace view crm.newsletter as
        select id, email, phone, email::numeric::text as external_id, city, 'DE' as country, consent, consent_at
        from crm.people; reset role",
    )
    .await;
    let output = run(&shop, &["newsletter"]).await;
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("invalid_text_representation"), "{}", said(&output));
    assert!(!said(&output).contains("ada@"), "{}", said(&output));
    assert_eq!(members(&platform), 2);
    assert_eq!(shop.count("select members from capi.audience_status").await, 2);
    shop.run("drop view crm.newsletter").await;
    let output = run(&shop, &["newsletter"]).await;
    assert!(said(&output).contains("the view of the audience is gone"), "{}", said(&output));
}

#[tokio::test]
async fn wrong_input_is_told() {
    let platform = Platform::start().await;
    let shop = with_list(&platform).await;
    shop.run(
        "select capi.create_destination('tt', 'tiktok', '{\"event_source_id\": \"1\"}', 'TT_TOKEN');
        create view crm.typo as select email as emial, consent from crm.people;
        create view crm.extra as select email, consent, worth as lifetime from crm.people;
        create view crm.silent as select email from crm.people;
        create view crm.nobody as select city, consent from crm.people;
        create view crm.money as select email, consent, worth::money as value from crm.people;
        create view crm.lax as select email, consent, consent_at::date as consent_at from crm.people;
        create view crm.broken as select (1 / (id - id))::text as email, consent from crm.people;
        insert into crm.people (email) values ('ada@example.com')",
    )
    .await;
    let create = |name: &str, destination: &str, view: &str, settings: &str| {
        format!("select capi.create_audience('{name}', '{destination}', '{view}', '{settings}')")
    };
    let plain = "{\"audience_id\": \"7\"}";
    for (sql, message, hint) in [
        (
            create("News", DESTINATION, "crm.newsletter", plain),
            "name of an audience must be",
            "newsletter",
        ),
        (
            create("x", "nowhere", "crm.newsletter", plain),
            "no destination named \"nowhere\"",
            DESTINATION,
        ),
        (
            create("x", "tt", "crm.newsletter", plain),
            "setting destination: must be of the platform meta",
            "",
        ),
        (create("x", DESTINATION, "crm.newsletter", "{}"), "setting audience_id: is required", ""),
        (
            create("x", DESTINATION, "crm.newsletter", "{\"audience_id\": \"act_7\"}"),
            "setting audience_id: must be",
            "",
        ),
        (
            create("newsletter", DESTINATION, "crm.newsletter", plain),
            "there is an audience named",
            "alter_audience",
        ),
        (
            create("x", DESTINATION, "crm.valued", "{\"audience_id\": \"6001\"}"),
            "another audience fills",
            "unite",
        ),
        (
            create("x", DESTINATION, "crm.typo", plain),
            "unknown column emial of crm.typo",
            "Did you mean email?",
        ),
        (
            create("x", DESTINATION, "crm.extra", plain),
            "unknown column lifetime of crm.extra",
            "The people of an audience",
        ),
        (
            create("x", DESTINATION, "crm.silent", plain),
            "column consent of crm.silent is missing",
            "has not said yes",
        ),
        (
            create("x", DESTINATION, "crm.nobody", plain),
            "crm.nobody has no column email, phone or external_id",
            "forgotten",
        ),
        (
            create("x", DESTINATION, "crm.money", plain),
            "column value of crm.money has type money",
            "numeric",
        ),
        (
            create("x", DESTINATION, "crm.lax", plain),
            "column consent_at of crm.lax has type date",
            "time zone",
        ),
        (
            create("x", DESTINATION, "crm.broken", plain),
            "crm.broken cannot be read as its owner: division_by_zero",
            "search_path",
        ),
        (
            "select capi.drop_audience('nothing')".into(),
            "no audience named \"nothing\"",
            "newsletter",
        ),
        (
            "select capi.alter_audience('newsletter', settings => '{\"audience_id\": \"8\"}')"
                .into(),
            "audience_id of an audience cannot",
            "drop",
        ),
    ] {
        let refusal = shop.refused(&sql).await;
        assert!(refusal.message.starts_with(message), "{sql}\n{refusal:?}");
        assert!(refusal.hint.contains(hint), "{sql}\n{refusal:?}");
    }
    let output = run(&shop, &["nothing"]).await;
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("no audience named \"nothing\""), "{}", said(&output));
    // Members at the platform are not left behind unasked.
    sync(&shop).await;
    let drop = shop.refused("select capi.drop_audience('newsletter')").await;
    assert!(drop.hint.contains("leave_members"), "{drop:?}");
    shop.run("delete from crm.people").await;
    sync(&shop).await;
    shop.run("select capi.drop_audience('newsletter')").await;
    assert_eq!(shop.count("select count(*) from capi.audience_status").await, 0);
}

#[tokio::test]
async fn nothing_of_a_person_is_in_clear_anywhere() {
    let platform = Platform::start().await;
    let shop = with_list(&platform).await;
    let (mut traces, mut columns) = (Vec::new(), Vec::new());
    for (letters, digits) in [("irmgard", "7201"), ("jolanthe", "7202")] {
        let person = Person::new(letters, digits);
        traces.extend(person.traces());
        // One of each column: a search of all relations takes its time.
        columns.push(person.traces().swap_remove(1));
        columns.push(person.traces().swap_remove(3));
        columns.push(person.last_name.to_lowercase());
        person.sign_up(&shop).await;
    }
    shop.run(
        "create view crm.customers as
        select email, phone, first_name, last_name, city, zip, country, marketing_consent as consent
        from shop.customers;
        select capi.alter_audience('newsletter', people => 'crm.customers')",
    )
    .await;
    let mut heard = Vec::new();
    for step in
        ["select 1", "delete from shop.customers where id = (select min(id) from shop.customers)"]
    {
        shop.run(step).await;
        for arguments in [&["newsletter", "--dry-run"][..], &["newsletter"][..]] {
            let output = run(&shop, arguments).await;
            assert_eq!(output.status.code(), Some(0), "{}", said(&output));
            heard.extend(output.stdout);
            heard.extend(output.stderr);
        }
    }
    assert_eq!(changes(&shop).await, "0|1");
    assert_eq!(relations_with(&shop, &columns).await, [""; 0]);
    assert_eq!(found_in(&heard, &traces), [""; 0]);
    assert_eq!(found_in(shop.cluster().log().as_bytes(), &traces), [""; 0]);
    let sent = serde_json::to_vec(&platform.requests().await).expect("JSON");
    assert_eq!(found_in(&sent, &traces), [""; 0]);
    let member = shop.get("select digests[1] from capi.audience_member").await;
    assert_eq!(found_in(&sent, std::slice::from_ref(&member)).len(), 1, "a blind search");
    assert_eq!(found_in(&heard, &[member, TOKEN.to_lowercase()]), [""; 0]);
}
