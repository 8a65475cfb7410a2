//! Behind a pooler in transaction mode: one server connection serves many clients, one transaction
//! after the other, and nothing of one reaches the next.

use capi_tests::database::Database;
use capi_tests::pooler::Pooler;
use capi_tests::shop::{captured, captured_keys, errors};

/// `own.sale`, tracked; the application may write it.
async fn tracked() -> Database {
    let database = Database::adopted().await;
    database
        .run(
            "create schema own;
            create table own.sale (id bigint primary key, at timestamptz default clock_timestamp(), note text);
            create view own.conversion as
            select s.id, 'Purchase' as event_name, 'sale-' || s.id as event_id, s.at as event_time,
                'website' as action_source, 5 / (case s.note when 'bad' then 0 else 1 end) as value, 'EUR' as currency,
                true as consent
            from own.sale s;
            select capi.track('own.sale', conversions => 'own.conversion');
            grant usage on schema own to app; grant all on own.sale to app",
        )
        .await;
    database
}

#[tokio::test]
async fn keys_of_one_client_do_not_reach_the_next() {
    let database = tracked().await;
    // One connection to the server: every client gets the last one's.
    let pooler = Pooler::start(&database, 1).await;
    let (one, two) = (pooler.connect().await, pooler.connect().await);
    let pid = one.pid().await;
    assert_eq!(two.pid().await, pid, "the same session of the server");
    // Rolled back, failed, and given up in a savepoint.
    one.run("begin; insert into own.sale values (1); rollback").await;
    two.run("insert into own.sale values (2)").await;
    one.refused("begin; insert into own.sale values (3); select 1 / 0").await;
    one.run("rollback").await;
    two.run("insert into own.sale values (4)").await;
    one.run("begin; savepoint a; insert into own.sale values (5); rollback to a; commit").await;
    two.run("insert into own.sale values (6)").await;
    one.run("begin; set constraints all immediate; insert into own.sale values (7); rollback")
        .await;
    two.run("insert into own.sale values (8)").await;
    one.run("begin; insert into own.sale values (9)").await;
    one.run(&format!("prepare transaction '{}'", database.name())).await;
    two.run("insert into own.sale values (10)").await;
    assert_eq!(captured_keys(&database).await, "2 4 6 8 10");
    // A key that another client has left behind would be captured by whoever comes next.
    database
        .run(
            "set session_replication_role = replica; insert into own.sale values (1), (3), (5), (7);
            reset session_replication_role",
        )
        .await;
    two.run("insert into own.sale values (11)").await;
    one.run(&format!("commit prepared '{}'", database.name())).await;
    assert_eq!(captured_keys(&database).await, "2 4 6 8 9 10 11");
    assert_eq!(errors(&database).await, [""; 0]);
    // A client that goes away in the middle.
    let three = pooler.connect().await;
    three.run("begin; insert into own.sale values (12)").await;
    drop(three);
    two.run("insert into own.sale values (13)").await;
    assert_eq!(captured_keys(&database).await, "2 4 6 8 9 10 11 13");
}

#[tokio::test]
async fn settings_of_one_client_change_nothing_for_the_next() {
    let database = tracked().await;
    let pooler = Pooler::start(&database, 1).await;
    let (one, two) = (pooler.connect().await, pooler.connect().await);
    // Left behind in the session, as careless clients do; and what pools send between clients.
    one.run(
        "set timezone = 'Asia/Tokyo'; set datestyle = 'SQL, DMY'; set extra_float_digits = -5;
        set search_path = own; set plan_cache_mode = force_custom_plan; set lock_timeout = '1ms'",
    )
    .await;
    two.run("insert into own.sale values (1)").await;
    one.run("discard all").await;
    two.run("insert into own.sale values (2)").await;
    let kept = "select current_setting('lock_timeout') || ' ' || current_setting('search_path') || ' ' || current_setting('row_security')";
    let before = two.get(kept).await;
    two.run("insert into own.sale values (3, clock_timestamp(), 'bad')").await;
    assert_eq!(one.get(kept).await, before, "capture leaves no setting of its own behind");
    // Prepared by one client; plans of ours outlive it.
    one.run("prepare sell (bigint) as insert into own.sale values ($1); execute sell(4); deallocate all").await;
    two.run("insert into own.sale values (5)").await;
    assert_eq!(captured_keys(&database).await, "1 2 4 5");
    assert_eq!(errors(&database).await, ["3 22012 division_by_zero - open"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_on_few_connections_are_captured_exactly_once() {
    let database = tracked().await;
    let pooler = Pooler::start(&database, 3).await;
    let mut clients = Vec::new();
    for client in 0..12_u32 {
        let app = pooler.connect().await;
        clients.push(tokio::spawn(async move {
            for n in 0..40 {
                let id = client * 1_000 + n;
                let insert = format!("insert into own.sale values ({id})");
                let script = match n % 5 {
                    0 => insert,
                    1 => format!("begin; {insert}; rollback"),
                    2 => format!("begin; savepoint a; {insert}; rollback to a; {insert}; commit"),
                    3 => format!("begin; {insert}; update own.sale set note = 'x' where id = {id}; commit"),
                    _ => format!("begin; set constraints all immediate; {insert}; delete from own.sale where id = {id}; commit"),
                };
                app.run(&script).await;
            }
        }));
    }
    for client in clients {
        client.await.expect("a client ends well");
    }
    assert_eq!(captured(&database).await, 12 * 24);
    let differences = "(select id::text from own.sale except select key from capi.outbox)
        union all (select key from capi.outbox except select id::text from own.sale)";
    assert_eq!(database.column(differences).await, [""; 0]);
    assert_eq!(errors(&database).await, [""; 0]);
}
