//! Events without a row: `capi.emit`, from the application's statement to the platform.

use capi_tests::database::{Database, Session};
use capi_tests::leaks::{Person, found_in, relations_with};
use capi_tests::platform::Platform;
use capi_tests::shop::{
    DESTINATION, captured, errors, receipts, sending_shop, tracked_shop, until_settled,
};
use capi_tests::sidecar::Sidecar;
use serde_json::{Value, json};

/// A shop with one emitter, and the session of an application that may use it.
async fn emitting() -> (Database, Session) {
    let shop = tracked_shop().await;
    create(&shop, "shop.carts", "").await;
    let web = shop.connect_as("web").await;
    (shop, web)
}

async fn create(shop: &Session, name: &str, options: &str) {
    shop.run(&format!(
        "select capi.create_emitter('{name}', destinations => '{{{DESTINATION}}}'{options})"
    ))
    .await;
}

/// A product put into a cart by a customer who has consented.
fn cart(id: &str) -> Value {
    json!({
        "event_name": "AddToCart", "event_id": id, "action_source": "website",
        "event_source_url": "https://shop.example.com/cart", "value": "19.90", "currency": "EUR",
        "email": "erika.mustermann@example.com", "consent": true,
    })
}

fn with(mut event: Value, name: &str, value: Value) -> Value {
    event[name] = value;
    event
}

async fn emit(session: &Session, event: &Value) -> Value {
    let event = event.to_string().replace('\'', "''");
    let answer = session.get(&format!("select capi.emit('{event}')")).await;
    serde_json::from_str(&answer).expect("JSON")
}

#[tokio::test]
async fn an_emitted_cart_arrives_with_its_digests() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    create(&shop, "shop.carts", "").await;
    let web = shop.connect_as("web").await;
    let _sidecar = Sidecar::start(&shop);
    let answer = emit(&web, &with(cart("cart-7-1"), "key", json!(7))).await;
    assert_eq!(answer, json!({"status": "captured", "event_id": "cart-7-1"}));
    until_settled(&shop, 20).await;
    assert_eq!(receipts(&shop).await, ["delivered 1"]);
    let event = &platform.requests().await[0]["body"]["data"][0];
    let digest = shop.get("select capi.digest('email', 'erika.mustermann@example.com')").await;
    assert_eq!(event["user_data"]["em"], json!([digest]));
    assert_eq!(event["custom_data"]["value"].to_string(), "19.90", "exact, as it was given");
    let row = "select source, key, event_name, event_id, value, status from capi.delivery";
    assert_eq!(shop.line(row).await, "shop.carts|7|AddToCart|cart-7-1|19.90|delivered");
    let row = "select name, conversions, tracked, destinations, relation from capi.sources where name = 'shop.carts'";
    assert_eq!(shop.line(row).await, "shop.carts|capi.emit|t|{meta-eu}|");
}

#[tokio::test]
async fn a_sleeping_sidecar_is_woken() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    create(&shop, "shop.carts", "").await;
    // The safety poll would come in five minutes.
    let sidecar = Sidecar::start_with(&shop, &[("CAPI_SAFETY_POLL", "300")]);
    sidecar.until_logged("asleep").await;
    emit(&shop.connect_as("web").await, &cart("cart-1")).await;
    until_settled(&shop, 20).await;
    assert_eq!(receipts(&shop).await, ["delivered 1"]);
}

#[tokio::test]
async fn a_repeated_id_adds_nothing() {
    let (shop, web) = emitting().await;
    assert_eq!(emit(&web, &cart("cart-1")).await["status"], "captured");
    assert_eq!(emit(&web, &cart("cart-1")).await["status"], "known");
    web.run("begin").await;
    assert_eq!(emit(&web, &cart("cart-2")).await["status"], "captured");
    assert_eq!(emit(&web, &cart("cart-2")).await["status"], "known");
    web.run("commit").await;
    assert_eq!(captured(&shop).await, 2);
    // The same id of another cart is somebody's mistake, and on record.
    let other = emit(&web, &with(cart("cart-1"), "key", json!("basket 9"))).await;
    assert_eq!(
        (&other["status"], &other["reason"]),
        (&json!("failed"), &json!("event_id_of_another_row"))
    );
    assert_eq!(errors(&shop).await, ["basket 9 23505 event_id_of_another_row event_id open"]);
    assert_eq!(captured(&shop).await, 2);
    shop.run("select * from capi.recapture('shop.carts')").await;
    let row = "select source, resolution from capi.capture_errors where resolved_at is not null";
    assert_eq!(shop.line(row).await, "shop.carts|given_up", "no row can be read again");
}

#[tokio::test]
async fn what_is_rolled_back_was_never_emitted() {
    let (shop, web) = emitting().await;
    web.run("begin").await;
    assert_eq!(emit(&web, &cart("gone")).await["status"], "captured");
    web.run("rollback").await;
    web.run("begin").await;
    emit(&web, &cart("kept")).await;
    web.run("savepoint a").await;
    emit(&web, &cart("undone")).await;
    web.run("rollback to a; savepoint b").await;
    emit(&web, &cart("undone")).await;
    web.run("release b; commit").await;
    let ids = shop.column("select event_id from capi.outbox order by id").await;
    assert_eq!(ids, ["kept", "undone"], "emitted again after the rollback to the savepoint");
    // An order and an event of the same transaction stand or fall together.
    web.run("begin").await;
    emit(&web, &cart("failed")).await;
    web.refused("select 1 / 0").await;
    web.run("rollback").await;
    assert_eq!(captured(&shop).await, 2);
    assert_eq!(shop.count("select count(*) from capi.event_key").await, 2);
}

#[tokio::test]
async fn several_at_once_are_one_subtransaction() {
    let (shop, web) = emitting().await;
    let many: Vec<Value> = (0..2_500).map(|n| cart(&format!("cart-{n}"))).collect();
    let answers = emit(&web, &Value::Array(many)).await;
    let answers = answers.as_array().expect("a list");
    assert_eq!(answers.len(), 2_500);
    assert!(answers.iter().all(|answer| answer["status"] == "captured"));
    assert_eq!(answers[2_499]["event_id"], "cart-2499", "in the order of the events");
    let xids = "select count(distinct xmin::text) from capi.outbox";
    assert_eq!(shop.count(xids).await, 3, "a subtransaction per thousand");
    // A bad one costs itself.
    let mixed =
        json!([cart("a"), {"event_name": "AddToCart", "consent": true}, 5, cart("b"), cart("a")]);
    let answers = emit(&web, &mixed).await;
    let statuses: Vec<_> =
        answers.as_array().expect("a list").iter().map(|a| a["status"].clone()).collect();
    assert_eq!(statuses, ["captured", "failed", "failed", "captured", "known"].map(Value::from));
    assert_eq!(emit(&web, &json!([])).await, json!([]));
    assert_eq!(web.get("select capi.emit(null) is null").await, "t");
}

#[tokio::test]
async fn what_is_wrong_with_an_event_does_not_stop_the_application() {
    let (shop, web) = emitting().await;
    web.run("begin").await;
    for (event, field, reason) in [
        (with(cart("1"), "event_name", json!(null)), "event_name", "missing"),
        (
            with(cart("2"), "event_time", json!("2026-01-02 03:04:05")),
            "event_time",
            "no_time_with_zone",
        ),
        (with(cart("3"), "value", json!("cheap")), "value", "not_a_number"),
        (with(cart("4"), "event_name", json!("Purchase")), "", ""),
        (
            with(with(cart("5"), "event_name", json!("Purchase")), "value", json!(null)),
            "value",
            "missing",
        ),
        (with(cart("6"), "consent", json!("perhaps")), "consent", "neither_yes_nor_no"),
        (json!("text"), "event", "not_an_object"),
    ] {
        let answer = emit(&web, &event).await;
        if reason.is_empty() {
            assert_eq!(answer["status"], "captured");
        } else {
            assert_eq!(
                (&answer["field"], &answer["reason"]),
                (&json!(field), &json!(reason)),
                "{event}"
            );
        }
    }
    web.run("commit").await;
    assert_eq!(captured(&shop).await, 1);
    assert_eq!(
        errors(&shop).await,
        [
            "1 22023 missing event_name open",
            "2 22023 no_time_with_zone event_time open",
            "3 22023 not_a_number value open",
            "5 22023 missing value open",
            "6 22023 neither_yes_nor_no consent open",
            "- 22023 not_an_object event open",
        ]
    );
    assert_eq!(shop.count("select last_value from capi.capture_failures").await, 6);
}

#[tokio::test]
async fn an_outbox_that_cannot_be_written_does_not_stop_the_application() {
    let (shop, web) = emitting().await;
    let holder = shop.connect().await;
    holder.run("begin; lock table capi.event_key in access exclusive mode").await;
    web.run("begin").await;
    let answer = emit(&web, &cart("cart-1")).await;
    assert_eq!(
        answer,
        json!({"status": "failed", "event_id": "cart-1", "reason": "lock_not_available"})
    );
    web.run("commit").await;
    holder.run("rollback").await;
    assert_eq!(errors(&shop).await, ["cart-1 55P03 lock_not_available - open"]);
    web.run("begin read only").await;
    assert_eq!(emit(&web, &cart("cart-2")).await["reason"], "read_only_sql_transaction");
    web.run("commit").await;
    shop.run("set capi.capture = off").await;
    assert_eq!(emit(&shop, &cart("cart-3")).await, json!({"status": "off"}));
    assert_eq!(captured(&shop).await, 0);
}

#[tokio::test]
async fn an_emitter_may_abort() {
    let shop = tracked_shop().await;
    create(&shop, "shop.carts", ", on_error => 'abort'").await;
    let web = shop.connect_as("web").await;
    assert_eq!(emit(&web, &cart("good")).await["status"], "captured");
    let refusal =
        web.refused("select capi.emit('{\"event_name\": \"AddToCart\", \"consent\": true}')").await;
    assert_eq!(
        (refusal.code.as_str(), refusal.message.as_str()),
        ("22023", "conversion cannot be captured: event_id: missing")
    );
    assert!(refusal.hint.contains("on_error"), "{refusal:?}");
    assert_eq!(errors(&shop).await, [""; 0], "what was refused leaves nothing");
}

#[tokio::test]
async fn consent_is_that_of_a_row() {
    let (shop, web) = emitting().await;
    assert_eq!(emit(&web, &with(cart("asked"), "consent", json!(null))).await["status"], "waiting");
    assert_eq!(captured(&shop).await, 0);
    assert_eq!(
        emit(&web, &with(cart("no"), "consent", json!(false))).await["status"],
        "suppressed"
    );
    assert_eq!(
        emit(&web, &with(cart("some"), "consent", json!({"ga4": true}))).await["status"],
        "captured"
    );
    let row = "select event_id, refused, identity = '{}' from capi.outbox order by id";
    assert_eq!(shop.rows(row).await.len(), 2);
    assert_eq!(
        shop.line("select refused, identity from capi.outbox where event_id = 'no'").await,
        "{*}|{}"
    );
    // A second word on an event that is there withdraws it.
    emit(&web, &cart("yes")).await;
    assert_eq!(emit(&web, &with(cart("yes"), "consent", json!(false))).await["status"], "known");
    let withdrawn = "select key, refused from capi.withdrawal";
    assert_eq!(shop.line(withdrawn).await, "yes|{*}");
    // By name of the source and key, as for a table.
    emit(&web, &with(cart("cart-8-1"), "key", json!("8"))).await;
    assert_eq!(shop.count("select capi.withdraw('shop.carts', '8')").await, 1);
    let report = shop.get("select capi.forget('shop.carts', '8') ->> 'events_emptied'").await;
    assert_eq!(report, "1");
    assert_eq!(shop.get("select identity from capi.outbox where key = '8'").await, "{}");
}

#[tokio::test]
async fn only_those_who_may_emit_and_nothing_else() {
    let (shop, web) = emitting().await;
    let call = "select capi.emit('{}')";
    for role in ["app", "nobody", "analyst", "capi"] {
        assert_eq!(shop.connect_as(role).await.refused(call).await.code, "42501", "{role}");
    }
    let may = web
        .column(
            "select p.oid::regprocedure from pg_proc p where p.pronamespace = 'capi'::regnamespace
                and has_function_privilege(p.oid, 'execute') and not p.proname in ('_note', '_capture')",
        )
        .await;
    assert_eq!(may, ["capi.emit(jsonb,text)"]);
    let reads = web
        .column(
            "select oid::regclass from pg_class where relnamespace = 'capi'::regnamespace
                and relkind in ('r', 'p', 'v', 'S') and has_table_privilege(oid, 'select, insert, update, delete')",
        )
        .await;
    assert_eq!(reads, [""; 0]);
    // An emitter may be somebody's alone.
    shop.run("create role shop_b_web login in role capi_emitter").await;
    create(&shop, "shop-b.carts", ", callers => '{shop_b_web}'").await;
    let named =
        format!("select capi.emit('{}', source => 'shop-b.carts') ->> 'status'", cart("b-1"));
    let refusal = web.refused(&named).await;
    assert_eq!(refusal.code, "42501", "{refusal:?}");
    let b = shop.connect_as("shop_b_web").await;
    assert_eq!(b.get(&named).await, "captured");
    // With two of them one has to be named.
    let unnamed = emit(&b, &cart("b-2")).await;
    assert_eq!(unnamed["reason"], "unknown_emitter");
    let secret = "select capi.emit('{}', source => 'qxunnamed.person@example.com') ->> 'reason'";
    assert_eq!(b.get(secret).await, "unknown_emitter");
    assert!(!shop.cluster().log().contains("qxunnamed"), "no name is quoted");
    shop.run("select capi.untrack('shop-b.carts')").await;
    assert_eq!(b.get(&named).await, "off");
}

#[tokio::test]
async fn a_captured_view_cannot_emit() {
    let (shop, _) = emitting().await;
    shop.run(
        "create schema own authorization web; grant web to postgres; set role web;
        create table own.sale (id bigint primary key);
        create function own.emits() returns numeric language plpgsql as $f$
        begin
            perform capi.emit('{\"event_name\": \"Lead\", \"event_id\": \"x\", \"action_source\": \"website\", \"consent\": true}');
            return 1;
        end $f$;
        create view own.conversion as select id, 'Purchase' as event_name, 'sale-' || id as event_id, now() as event_time,
            'website' as action_source, 1::numeric as value, 'EUR' as currency, true as consent from own.sale;
        reset role; select capi.track('own.sale', conversions => 'own.conversion');
        set role web; create or replace view own.conversion as select id, 'Purchase' as event_name, 'sale-' || id as event_id, now() as event_time,
            'website' as action_source, own.emits() as value, 'EUR' as currency, true as consent from own.sale; reset role;
        insert into own.sale values (1)",
    )
    .await;
    assert_eq!(errors(&shop).await, ["1 42501 insufficient_privilege - open"]);
    assert_eq!(captured(&shop).await, 0);
}

#[tokio::test]
async fn nothing_of_a_person_is_anywhere() {
    let platform = Platform::start().await;
    let shop = sending_shop(&platform).await;
    create(&shop, "shop.calls", "").await;
    let web = shop.connect_as("web").await;
    let person = Person::new("emilia", "6611");
    let event = |id: &str| {
        json!({
            "event_name": "Contact", "event_id": id, "action_source": "phone_call", "consent": true,
            "email": person.email, "phone": person.phone, "first_name": person.first_name,
            "last_name": person.last_name, "country": "DE",
        })
    };
    emit(&web, &event("call-1")).await;
    // Where a person could slip in: key, id, name, an unknown member, a time, a URL.
    let mail = person.email.trim().to_owned();
    for (name, value) in [
        ("key", json!(mail)),
        ("event_id", json!(mail)),
        ("event_name", json!(mail)),
        ("event_time", json!(mail)),
        ("value", json!(mail)),
        ("action_source", json!(mail)),
        (mail.as_str(), json!(1)),
        ("emial", json!(mail)),
        ("event_source_url", json!(format!("https://shop.example.com/?m={mail}"))),
    ] {
        emit(&web, &with(event(&format!("call-{}", name.len())), name, value)).await;
    }
    // While the values are held: an outbox that cannot be written.
    let holder = shop.connect().await;
    holder.run("begin; lock table capi.event_key in access exclusive mode").await;
    emit(&web, &event("call-late")).await;
    holder.run("rollback").await;
    let sidecar = Sidecar::start_with(&shop, &[("CAPI_LOG", "trace")]);
    until_settled(&shop, 30).await;
    let traces = person.traces();
    assert_eq!(relations_with(&shop, &traces).await, [""; 0]);
    assert_eq!(found_in(shop.cluster().log().as_bytes(), &traces), [""; 0]);
    assert_eq!(found_in(sidecar.log().as_bytes(), &traces), [""; 0]);
    assert!(platform.number("events_accepted") > 0);
    let requests = serde_json::to_vec(&platform.requests().await).expect("JSON");
    assert_eq!(found_in(&requests, &traces), [""; 0]);
    let unknown =
        "select count(*) from capi.delivery where dropped_fields ->> '*' = 'unknown_field'";
    assert_eq!(shop.count(unknown).await, 2);
}

#[tokio::test]
async fn emitters_are_refused_with_a_way_out() {
    let shop = tracked_shop().await;
    for (call, code, says) in [
        ("'Shop Carts'", "22023", "lower-case"),
        ("'shop.orders'", "42710", "tracked table"),
        ("'x', destinations => '{nowhere}'", "42704", "no destination"),
        ("'x', callers => '{nobody_at_all}'", "42704", "no role"),
        ("'x', consent => 'never'", "22023", "consent"),
        ("'x', on_error => 'ignore'", "22023", "on_error"),
        ("'x', default_country => 'Atlantis'", "22023", "country"),
    ] {
        let refusal = shop.refused(&format!("select capi.create_emitter({call})")).await;
        assert!(refusal.code == code && refusal.message.contains(says), "{call}: {refusal:?}");
    }
    // Called again it replaces; a version is kept of each.
    create(&shop, "shop.carts", "").await;
    shop.run("select capi.create_emitter('shop.carts', default_country => 'DE')").await;
    let row = "select options ->> 'default_country', destinations from capi.sources where name = 'shop.carts'";
    assert_eq!(shop.line(row).await, "de|{}");
    let versions = "select count(*) from capi.source_version v join capi.source s using (source) where s.name = 'shop.carts'";
    assert_eq!(shop.count(versions).await, 2);
    // Sweep and validation have nothing to look at; a table cannot take the name.
    shop.run("select * from capi.sweep(); select * from capi.revalidate(); select capi.maintain()")
        .await;
    shop.run("create table shop.carts (id bigint primary key); create view shop.cart_events as select id, 'AddToCart' as event_name,
        id::text as event_id, now() as event_time, 'website' as action_source, true as consent from shop.carts")
        .await;
    let refusal =
        shop.refused("select capi.track('shop.carts', conversions => 'shop.cart_events')").await;
    assert!(refusal.message.contains("emitter"), "{refusal:?}");
}

#[tokio::test]
async fn isolation_levels_agree_on_one_event() {
    let (shop, web) = emitting().await;
    let other = shop.connect_as("web").await;
    for level in ["repeatable read", "serializable"] {
        let id = format!("cart-{}", level.len());
        web.run(&format!("begin isolation level {level}; select capi.emit('{{}}')")).await;
        emit(&other, &cart(&id)).await;
        let again = format!("select capi.emit('{}') ->> 'status'", cart(&id));
        if level == "serializable" {
            assert_eq!(web.refused(&again).await.code, "40001", "the application tries again");
            web.run("rollback").await;
        } else {
            assert_eq!(web.get(&again).await, "known");
            web.run("commit").await;
        }
    }
    assert_eq!(captured(&shop).await, 2);
    web.run("begin").await;
    emit(&web, &cart("prepared")).await;
    web.run("prepare transaction 'emit_prepared'").await;
    assert_eq!(captured(&shop).await, 2);
    web.run("commit prepared 'emit_prepared'").await;
    assert_eq!(captured(&shop).await, 3);
}
