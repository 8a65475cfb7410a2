//! The pixel's half: a real browser says what the server says, hostile values say nothing, and
//! pages need no more rights than they are given.

use std::collections::BTreeMap;

use capi_core::platform;
use capi_tests::database::{Database, Session, quoted};
use capi_tests::pages::{NONCE, Site, TEXT};
use capi_tests::shop::{DESTINATION, captured, customer, customer_with, resume, tracked_shop};
use serde_json::{Value, json};

/// Every platform with a tag, and settings of its destination.
fn tags() -> Vec<(&'static str, Value)> {
    let with_tag = platform::platforms().into_iter().filter(|name| platform::has_tag(name));
    let mut tags: Vec<_> =
        with_tag.map(|name| (name, platform::sample(name).expect("a sample"))).collect();
    // The shop of the tests sends to the sample's pixel of Meta already.
    tags[0].1 = json!({"pixel_id": "2222222222"});
    tags
}

/// A shop with an active destination of every platform with a tag, named `tag-PLATFORM`.
async fn shop_with_tags() -> Database {
    let shop = tracked_shop().await;
    resume(&shop).await;
    for (platform, settings) in tags() {
        shop.run(&format!(
            "select capi.create_destination('tag-{platform}', '{platform}', '{settings}', 'NONE')"
        ))
        .await;
        shop.run(&format!("select capi.resume('tag-{platform}')")).await;
    }
    shop
}

/// Places a paid order of two items; returns its id.
async fn order_with_items(session: &Session, customer: i64) -> i64 {
    session
        .count(&format!(
            "begin;
            create temp table bought on commit drop as
            with o as (
                insert into shop.orders (customer_id, currency, total, checkout_url, status, paid_at)
                values ({customer}, 'EUR', 129.90, 'https://shop.example.com/thanks', 'paid', clock_timestamp())
                returning id
            ), i as (
                insert into shop.order_items (order_id, product_id, sku, quantity, price)
                select o.id, p.id, p.sku, n, case p.sku when 'MUG-01' then 9.90 else 110.10 end
                from o, shop.products p, lateral (select case p.sku when 'MUG-01' then 2 else 1 end) q (n)
                where p.sku in ('MUG-01', 'POT-11')
            ) select id from o;
            commit;
            select max(id) from shop.orders"
        ))
        .await
}

/// The snippet of an order, with further arguments of `capi.pixel_snippet`.
async fn snippet(session: &Session, destination: &str, order: i64, arguments: &str) -> String {
    let sql = format!(
        "select capi.pixel_snippet('{destination}', p {arguments}) from shop.purchases p where p.id = {order}"
    );
    session.get(&sql).await
}

/// Numbers as the browser knows them.
fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.to_string().parse::<f64>().expect("a number")),
        Value::Array(values) => values.iter().map(plain).collect(),
        Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), plain(v))).collect(),
        other => other.clone(),
    }
}

/// The arguments of the last call of this function that begins with these.
fn call(seen: &Value, function: &str, begins: &[&str]) -> Vec<Value> {
    let calls = seen["calls"].as_array().expect("a list of calls");
    let found = calls
        .iter()
        .filter_map(Value::as_array)
        .rfind(|call| call[0] == function && begins.iter().zip(&call[1..]).all(|(a, b)| b == a));
    found
        .unwrap_or_else(|| panic!("no {function} {begins:?} in {seen}"))
        .iter()
        .skip(1)
        .map(plain)
        .collect()
}

#[tokio::test]
async fn both_halves_say_the_same_on_every_platform() {
    let shop = shop_with_tags().await;
    let c = customer(&shop).await;
    let order = order_with_items(&shop, c).await;
    let site = Site::start().await;
    for (platform, _) in tags() {
        let arguments = format!(", nonce => '{NONCE}', loader => '{}'", site.vendor(platform));
        site.put(
            platform,
            &snippet(&shop, &format!("tag-{platform}"), order, &arguments).await,
            true,
        );
    }
    let seen = site.seen().await;
    for (platform, page) in &seen {
        assert_eq!(page["errors"], json!([]), "{platform}: {page}");
        assert_eq!(page["text"], TEXT);
    }
    assert_eq!(site.strangers(), [""; 0]);

    // The server's side: what Meta is sent, and the digests of every other platform's form.
    let id = format!("order-{order}");
    assert_eq!(shop.get("select event_id from capi.outbox").await, id);
    let of_row = format!("select capi.event_id(p) from shop.purchases p where p.id = {order}");
    assert_eq!(shop.get(&of_row).await, id);
    let sql = format!(
        "select capi.preview('{DESTINATION}', p) from shop.purchases p where p.id = {order}"
    );
    let request: Value = serde_json::from_str(&shop.get(&sql).await).expect("a request");
    let server = plain(&request["data"][0]);
    // Of the others what makes two halves one: GA4 sends nothing without the browser's `_ga`.
    let mut previews = BTreeMap::new();
    for (platform, _) in tags().into_iter().filter(|(platform, _)| *platform != "ga4") {
        let sql = format!(
            "select capi.preview('tag-{platform}', p) from shop.purchases p where p.id = {order}"
        );
        let body: Value = serde_json::from_str(&shop.get(&sql).await).expect("a request");
        previews.insert(platform, body);
    }
    let server_says = |platform: &str, path: &str| {
        let found = previews[platform].pointer(path);
        found.unwrap_or_else(|| panic!("no {path} in {}", previews[platform])).clone()
    };

    let meta = &seen["meta"];
    let tracked = call(meta, "fbq", &["trackSingle", "2222222222", "Purchase"]);
    assert_eq!(tracked[2], server["event_name"]);
    assert_eq!(tracked[4], json!({"eventID": server["event_id"]}));
    assert_eq!(tracked[3], server["custom_data"], "amount, currency, contents and order");
    let init = call(meta, "fbq", &["init", "2222222222"]);
    let digests = init[2].as_object().expect("digests");
    for (key, digest) in digests {
        assert_eq!(*digest, server["user_data"][key][0], "{key}");
    }
    for key in ["em", "ph", "fn", "ln", "ct", "zp", "country", "external_id"] {
        assert!(digests.contains_key(key), "{key}");
    }

    let digest = async |platform: &str, field: &str, value: &str| {
        let sql = format!("select capi.digest('{field}', '{value}', '{platform}', 'DE')");
        Value::from(shop.get(&sql).await)
    };
    let person = async |platform: &str, email: &str, phone: &str, external_id: &str| {
        let mut person = json!({});
        for (field, value, key) in [
            ("email", "erika.mustermann@example.com", email),
            ("phone", "+49 30 23125 042", phone),
            ("external_id", &c.to_string(), external_id),
        ] {
            if !key.is_empty() {
                person[key] = digest(platform, field, value).await;
            }
        }
        person
    };
    let number = order.to_string();
    for (platform, path) in [
        ("tiktok", "/data/0/event_id"),
        ("pinterest", "/data/0/event_id"),
        ("snapchat", "/data/0/event_id"),
        ("reddit", "/data/events/0/metadata/conversion_id"),
        ("linkedin", "/elements/0/eventId"),
    ] {
        assert_eq!(server_says(platform, path), json!(id), "{platform}");
    }
    assert_eq!(server_says("google_ads", "/events/0/transactionId"), json!(number));
    assert_eq!(server_says("tiktok", "/data/0/event"), json!("Purchase"));
    assert_eq!(server_says("pinterest", "/data/0/event_name"), json!("checkout"));
    assert_eq!(server_says("snapchat", "/data/0/event_name"), json!("PURCHASE"));
    assert_eq!(server_says("reddit", "/data/events/0/type/tracking_type"), json!("PURCHASE"));

    let page = &seen["tiktok"];
    assert_eq!(
        call(page, "ttq.identify", &[])[0],
        person("tiktok", "email", "phone_number", "external_id").await
    );
    assert_eq!(
        call(page, "ttq.instance(C4ABCDEF).track", &["Purchase"])[1..],
        [
            plain(&json!({"value": 129.9, "currency": "EUR", "order_id": number, "contents": [
                {"content_id": "MUG-01", "quantity": 2, "price": 9.9},
                {"content_id": "POT-11", "quantity": 1, "price": 110.1}]})),
            json!({"event_id": id}),
        ]
    );

    let page = &seen["ga4"];
    let google = async |platform: &str| {
        let mut google = person(platform, "sha256_email_address", "sha256_phone_number", "").await;
        google["address"] = json!({
            "sha256_first_name": digest(platform, "first_name", "Erika").await,
            "sha256_last_name": digest(platform, "last_name", "Mustermann").await,
        });
        google
    };
    assert_eq!(call(page, "gtag", &["set", "user_data"])[2], google("ga4").await);
    assert_eq!(
        call(page, "gtag", &["event", "purchase"])[2],
        plain(&json!({"send_to": "G-ABC123", "transaction_id": number, "event_id": id,
            "value": 129.9, "currency": "EUR", "items": [
                {"item_id": "MUG-01", "quantity": 2, "price": 9.9},
                {"item_id": "POT-11", "quantity": 1, "price": 110.1}]}))
    );
    let page = &seen["google_ads"];
    assert_eq!(call(page, "gtag", &["set", "user_data"])[2], google("google_ads").await);
    assert_eq!(
        call(page, "gtag", &["event", "conversion"])[2],
        plain(&json!({"send_to": "AW-123456789/AbC-D_efG", "transaction_id": number,
            "value": 129.9, "currency": "EUR"}))
    );
    call(page, "gtag", &["config", "AW-123456789"]);

    let page = &seen["pinterest"];
    assert_eq!(call(page, "pintrk", &["load"])[1], "2612345678901");
    assert_eq!(
        call(page, "pintrk", &["set"])[1],
        person("pinterest", "em", "", "external_id").await
    );
    assert_eq!(
        call(page, "pintrk", &["track", "checkout"])[2],
        plain(&json!({"event_id": id, "value": 129.9, "currency": "EUR", "order_id": number,
            "order_quantity": 3, "line_items": [
                {"product_id": "MUG-01", "product_quantity": 2, "product_price": 9.9},
                {"product_id": "POT-11", "product_quantity": 1, "product_price": 110.1}]}))
    );

    let page = &seen["snapchat"];
    let init = call(page, "snaptr", &["init", "11111111-2222-3333-4444-555555555555"]);
    assert_eq!(
        init[2],
        person("snapchat", "user_hashed_email", "user_hashed_phone_number", "").await
    );
    assert_eq!(
        call(page, "snaptr", &["track", "PURCHASE"])[2],
        plain(&json!({"client_dedup_id": id, "price": 129.9, "currency": "EUR",
            "transaction_id": number, "item_ids": ["MUG-01", "POT-11"], "number_items": 3}))
    );

    let page = &seen["reddit"];
    let mut init = person("reddit", "email", "phoneNumber", "externalId").await;
    init["useDecimalCurrencyValues"] = json!(true);
    assert_eq!(call(page, "rdt", &["init", "a2_abcdef"])[2], init);
    assert_eq!(
        call(page, "rdt", &["track", "Purchase"])[2],
        plain(&json!({"conversionId": id, "value": 129.9, "currency": "EUR", "itemCount": 3,
            "products": [{"id": "MUG-01"}, {"id": "POT-11"}]}))
    );

    let page = &seen["linkedin"];
    assert_eq!(call(page, "partner", &[])[0], json!(["123456"]));
    assert_eq!(
        call(page, "lintrk", &["track"])[1],
        plain(&json!({"conversion_id": 7_654_321, "event_id": id, "conversion_value": 129.9,
            "currency": "EUR"}))
    );
}

#[tokio::test]
async fn two_accounts_share_a_page_and_a_snippet_may_come_late() {
    let shop = shop_with_tags().await;
    let c = customer(&shop).await;
    let order = order_with_items(&shop, c).await;
    let site = Site::start().await;
    let page = async |destination: &str, base: bool| {
        let loader = site.vendor(destination);
        let arguments = format!(", base => {base}, nonce => '{NONCE}', loader => '{loader}'");
        snippet(&shop, destination, order, &arguments).await
    };
    let first = page(DESTINATION, true).await;
    let second = page("tag-meta", false).await;
    assert_eq!(second.matches("<script").count(), 1, "{second}");
    site.put("accounts", &format!("{first}{second}"), true);
    let google = format!("{}{}", page("tag-ga4", true).await, page("tag-google_ads", true).await);
    site.put("google", &google, true);
    // As a single-page application puts it in: the text comes from the server, as JSON.
    let text = json!(first).to_string().replace('<', "\\u003c");
    let late = format!(
        "<script nonce=\"{NONCE}\">document.body.append(document.createRange().createContextualFragment({text}))</script>"
    );
    site.put("late", &late, true);
    let seen = site.seen().await;
    for (name, page) in &seen {
        assert_eq!(page["errors"], json!([]), "{name}: {page}");
    }
    for pixel in ["1234567890", "2222222222"] {
        call(&seen["accounts"], "fbq", &["trackSingle", pixel, "Purchase"]);
    }
    call(&seen["late"], "fbq", &["trackSingle", "1234567890", "Purchase"]);
    call(&seen["google"], "gtag", &["event", "purchase"]);
    call(&seen["google"], "gtag", &["event", "conversion"]);
}

#[tokio::test]
async fn hostile_values_execute_nothing() {
    const HOSTILE: [&str; 8] = [
        "</script><script>alert(1)//",
        "<!--<script>alert(1)</script>-->",
        "\"});alert(1);({\"a\":\"",
        "'-alert(1)-'${alert(1)}`",
        "\u{2028}alert(1)\u{2029}//",
        "\\\");alert(1);//\\",
        "<img src=/stolen onerror=alert(1)>]]>&lt;/script&gt;",
        "__proto__",
    ];
    let shop = shop_with_tags().await;
    let site = Site::start().await;
    for (n, hostile) in HOSTILE.iter().enumerate() {
        let value = quoted(hostile);
        for (platform, _) in tags() {
            let name = if ["ga4", "google_ads", "linkedin"].contains(&platform) {
                "'Purchase'"
            } else {
                "'Z' || v"
            };
            let sql = format!(
                "select capi.pixel_snippet('tag-{platform}', p, loader => '{}')
                from (select {name} as event_name, '1' || v as event_id, now() as event_time,
                    'website' as action_source, 'https://shop.example.com/' as event_source_url,
                    5 as value, 'EUR' as currency, true as consent, v as external_id, v as email,
                    'o' || v as order_id, v as content_name, v as content_category, v as search_string,
                    jsonb_build_array(jsonb_build_object('id', 'i' || v, 'title', v, 'category', v,
                        'brand', v, v, v)) as contents,
                    jsonb_build_object(v, v) as custom
                from (values ({value})) x (v)) p",
                site.vendor(platform)
            );
            let page = match shop.ask(&sql).await {
                Ok(rows) => rows[0][0].clone().expect("a snippet"),
                Err(refusal) => panic!("{platform}: {refusal:?}"),
            };
            site.put(&format!("{platform}-{n}"), &page, false);
        }
    }
    // A template that trusts its values shows that what would be executed would be seen.
    site.put("control", &format!("<script>window.x=\"{}\"</script>", HOSTILE[0]), false);
    let mut seen = site.seen().await;
    let control = seen.remove("control").expect("the control page");
    assert_eq!(control["called"], json!([["alert", "1"]]));
    assert_eq!(seen.len(), HOSTILE.len() * tags().len());
    let mut fired = 0;
    for (name, page) in &seen {
        assert_eq!(page["called"], json!([]), "{name}: {page}");
        assert_eq!(page["errors"], json!([]), "{name}: {page}");
        assert_eq!(page["text"], TEXT, "{name}");
        // Ours before and after; the snippet's two, unless it is a comment.
        let scripts = page["scripts"].as_u64().expect("a number");
        assert!(scripts == 4 || scripts == 2, "{name}: {page}");
        let (platform, n) = name.rsplit_once('-').expect("a name");
        if scripts == 4 {
            fired += 1;
            let hostile = HOSTILE[n.parse::<usize>().expect("a number")];
            let texts = page["calls"].to_string();
            let quoted = |prefix: &str| json!(format!("{prefix}{hostile}")).to_string();
            let id = if platform == "google_ads" { quoted("o") } else { quoted("1") };
            assert!(texts.contains(&id), "{name}: the value arrives as it is: {texts}");
        }
    }
    // Names that capture does not take, such as one with U+2028, are the comments.
    assert!(fired >= 50, "{fired}");
    assert_eq!(site.strangers(), [""; 0]);
}

#[tokio::test]
async fn a_beacon_says_that_the_browsers_half_ran() {
    let shop = shop_with_tags().await;
    let c = customer(&shop).await;
    let (first, second) = (order_with_items(&shop, c).await, order_with_items(&shop, c).await);
    let coverage = "select server_events, both_halves, browser_only, percent_covered
        from capi.pixel_coverage where destination = 'meta-eu'";
    assert_eq!(shop.line(coverage).await, "2|0|0|0.0");
    let site = Site::start().await;
    let arguments =
        format!(", nonce => '{NONCE}', beacon => '/beacon', loader => '{}'", site.vendor("meta"));
    site.put("first", &snippet(&shop, DESTINATION, first, &arguments).await, true);
    let browser = site.open();
    let body = site.beacons(1).await.remove(0);
    drop(browser);

    shop.run("select capi.allow_page('app')").await;
    let app = shop.connect_as("app").await;
    let hand_in =
        async |body: &str| app.get(&format!("select capi.beacon({})", quoted(body))).await;
    assert_eq!(hand_in(&body).await, "t", "{body}");
    assert_eq!(hand_in(&body).await, "t", "a reload");
    assert_eq!(shop.line(coverage).await, "2|1|0|50.0");
    // Nobody else can say it: not for another order, another destination, nor with junk.
    let other = body.replace(&format!("order-{first}"), &format!("order-{second}"));
    assert_ne!(other, body);
    for forged in [
        other.as_str(),
        &body.replace(DESTINATION, "tag-meta"),
        &body.replace(DESTINATION, "nobody"),
        "",
        "[]",
        "{}",
        "null",
        "[",
        "[null,null,null,null]",
        "[[],{},1,\"\"]",
        "\u{1}",
        "[\"\\u0000\"]",
        &"[".repeat(3000),
    ] {
        assert_eq!(hand_in(forged).await, "f", "{forged}");
    }
    assert_eq!(app.get("select capi.beacon(null)").await, "f");
    assert_eq!(shop.count("select count(*) from capi.pixel_hit").await, 1);
    // Hits age out, as the view looks no further.
    shop.run("update capi.pixel_hit set fired_at = now() - interval '31 days'").await;
    while shop.get("select capi.maintain() ->> 'more'").await == "true" {}
    assert_eq!(shop.count("select count(*) from capi.pixel_hit").await, 0);
}

#[tokio::test]
async fn a_page_without_consent_runs_nothing() {
    let shop = shop_with_tags().await;
    let site = Site::start().await;
    for (name, consent) in [("refused", "false"), ("unknown", "null")] {
        let c = customer_with(&shop, consent).await;
        let order = order_with_items(&shop, c).await;
        let arguments = format!(", beacon => '/beacon', loader => '{}'", site.vendor("meta"));
        let page = snippet(&shop, DESTINATION, order, &arguments).await;
        assert_eq!(page, format!("<!-- pg_capi fires nothing: consent_{name} -->"));
        site.put(name, &page, false);
    }
    for (name, page) in site.seen().await {
        assert_eq!((&page["scripts"], &page["calls"]), (&json!(2), &json!([])), "{name}");
    }
}

#[tokio::test]
async fn what_the_server_no_longer_sends_the_page_does_not_fire() {
    let shop = tracked_shop().await;
    let c = customer(&shop).await;
    let (first, second) = (order_with_items(&shop, c).await, order_with_items(&shop, c).await);
    assert_eq!(captured(&shop).await, 2);
    let reason = async |order: i64, arguments: &str| {
        let page = snippet(&shop, DESTINATION, order, arguments).await;
        let reason = page.strip_prefix("<!-- pg_capi fires nothing: ");
        reason.and_then(|r| r.strip_suffix(" -->")).unwrap_or("fires").to_owned()
    };
    assert_eq!(reason(first, "").await, "destination_paused");
    resume(&shop).await;
    assert_eq!(reason(first, "").await, "fires");
    assert_eq!(reason(first, ", within => '0'").await, "too_old");
    shop.run(&format!("select capi.withdraw('shop.orders', '{first}', '{{meta}}')")).await;
    assert_eq!(reason(first, "").await, "withdrawn");
    assert_eq!(reason(second, "").await, "fires");
    shop.run(&format!("select capi.forget('shop.orders', '{second}')")).await;
    assert_eq!(
        reason(second, "").await,
        "withdrawn",
        "a page tells nobody that somebody was forgotten"
    );
    // A copy of the database, such as the one for tests of the shop.
    let copy = shop.clone_by_template().await;
    let page = snippet(&copy, DESTINATION, first, "").await;
    assert_eq!(page, "<!-- pg_capi fires nothing: copy_of_a_database -->");
}

#[tokio::test]
async fn a_key_of_several_columns_is_found_among_the_withdrawn() {
    let shop = tracked_shop().await;
    resume(&shop).await;
    shop.run(
        "create table shop.visit (shop text, number int, primary key (shop, number));
        create view shop.visited as select v.shop, v.number, 'Lead' as event_name,
            capi.event_id('Lead', v.shop, v.number::text) as event_id, now() as event_time,
            'website' as action_source, 'https://shop.example.com/' as event_source_url,
            'a@example.com' as email, true as consent from shop.visit v;
        select capi.track('shop.visit', conversions => 'shop.visited', destinations => '{meta-eu}');
        insert into shop.visit values ('north', 7)",
    )
    .await;
    let key = shop.get("select key from capi.outbox").await;
    let page = "select capi.pixel_snippet('meta-eu', p) from shop.visited p";
    assert!(shop.get(page).await.starts_with("<script>"));
    shop.run(&format!("select capi.withdraw('shop.visit', {})", quoted(&key))).await;
    assert!(shop.get(page).await.ends_with("withdrawn -->"), "{key}");
}

#[tokio::test]
async fn a_role_of_the_shop_is_let_in_for_pages_and_no_further() {
    let shop = shop_with_tags().await;
    let app = shop.connect_as("app").await;
    let c = customer(&app).await;
    let order = order_with_items(&app, c).await;
    let page = format!(
        "select capi.pixel_snippet('meta-eu', p) from shop.purchases p where p.id = {order}"
    );
    assert_eq!(app.refused(&page).await.code, "42501");
    let admin = shop.connect_as("admin").await;
    admin.run("select capi.allow_page('app')").await;
    // It stays with the next set-up.
    shop.run("select capi.setup()").await;
    assert!(app.get(&page).await.starts_with("<script>"));
    assert_eq!(
        app.get(&format!("select capi.event_id(p) from shop.purchases p where p.id = {order}"))
            .await,
        format!("order-{order}")
    );
    assert_eq!(app.get("select capi.browser('_ttp=abc', '/?gclid=Cj0') ->> 'gclid'").await, "Cj0");
    let readable = app
        .column(
            "select oid::regclass from pg_class where relnamespace = 'capi'::regnamespace
                and relkind in ('r', 'p', 'v', 'S')
                and (has_table_privilege(oid, 'select, insert, update, delete, truncate'))",
        )
        .await;
    assert_eq!(readable, [""; 0]);
    for call in [
        "preview('meta-eu', null::shop.purchases)",
        "digest('email', 'a@example.com')",
        "status()",
        "allow_page('nobody')",
        "_pixel_mac(1, 'Purchase', 'order-1')",
        "_pixel_snippet('m', 'meta', '{}', '{}', '{}', '{}', null)",
    ] {
        assert_eq!(app.refused(&format!("select capi.{call}")).await.code, "42501", "{call}");
    }
    let nobody = shop.connect_as("nobody").await;
    assert_eq!(nobody.refused("select capi.beacon('')").await.code, "42501");
    assert_eq!(admin.refused("select capi.allow_page('no_such_role')").await.code, "42704");
}

#[tokio::test]
async fn wrong_calls_say_what_is_wrong() {
    let shop = shop_with_tags().await;
    let c = customer(&shop).await;
    let order = order_with_items(&shop, c).await;
    shop.run(
        "select capi.create_destination('hook', 'webhook', '{\"endpoint\": \"https://a.example.com/\"}', 'NONE'),
            capi.create_destination('pin', 'pinterest', '{\"ad_account_id\": \"1\"}', 'NONE');
        select capi.resume('hook'), capi.resume('pin')",
    )
    .await;
    for (destination, arguments, message) in [
        ("hook", "", "no browser tag for platform webhook"),
        ("pin", "", "setting tag: must hold the id of the tag: {\"tag\": {\"id\": …}}"),
        ("nobody", "", "no destination named \"nobody\""),
        ("meta-eu", ", nonce => 'a\"b'", "nonce: must be base64"),
        (
            "meta-eu",
            ", loader => 'javascript:alert(1)'",
            "loader: must be https://…, http:// on loopback, or a path of this site such as /x",
        ),
        (
            "meta-eu",
            ", beacon => '//evil.example.com'",
            "beacon: must be https://…, http:// on loopback, or a path of this site such as /x",
        ),
    ] {
        let sql = format!(
            "select capi.pixel_snippet('{destination}', p {arguments}) from shop.purchases p where p.id = {order}"
        );
        let refusal = shop.refused(&sql).await;
        assert_eq!(refusal.message, message);
        assert_ne!(refusal.hint, "", "{message}");
    }
    let refusal = shop.refused("select capi.pixel_snippet('meta-eu', o) from shop.orders o").await;
    assert_eq!(refusal.message, "pixel_snippet must be given a row of a conversion view");
    // The tag of a destination is checked where settings are.
    let create = |tag: &str| {
        format!(
            "select capi.create_destination('t', 'meta', '{{\"pixel_id\": \"1\", \"tag\": {tag}}}', 'META_TOKEN')"
        )
    };
    let refusal = shop.refused(&create("{\"id\": \"<\"}")).await;
    assert_eq!(refusal.message, "setting tag.id: must be letters, digits, dashes and underscores");
    shop.run(&create("{\"id\": \"22\"}")).await;
    shop.run("select capi.resume('t')").await;
    assert!(snippet(&shop, "t", order, "").await.contains("fbq(\"init\",\"22\""));
}

#[tokio::test]
async fn a_web_request_becomes_the_browser_of_an_order() {
    let shop = tracked_shop().await;
    shop.run("select capi.allow_page('app')").await;
    let app = shop.connect_as("app").await;
    let c = customer(&app).await;
    app.run(&format!(
        "insert into shop.orders (customer_id, currency, total, checkout_url, browser, status, paid_at)
        select {c}, 'EUR', 10, 'https://shop.example.com/', capi.browser(
            cookies => '_fbp=fb.1.1789900000000.7654321; _ga=GA1.1.123.1789900000',
            url => 'https://shop.example.com/?fbclid=IwAR0_a-B',
            ip => '203.0.113.7, 10.0.0.1', user_agent => 'Agent/1.0'), 'paid', clock_timestamp()"
    ))
    .await;
    let kept = shop
        .line(
            "select facts ->> 'fbp', facts ->> 'fbc' ~ '^fb\\.1\\.\\d{13}\\.IwAR0_a-B$',
            facts ->> 'client_ip_address', facts ->> 'client_user_agent', facts ->> 'ga_client_id', dropped
            from capi.outbox",
        )
        .await;
    assert_eq!(kept, "fb.1.1789900000000.7654321|t|203.0.113.7|Agent/1.0|123.1789900000|{}");
    let same = shop
        .get(
            "select capi.browser('_ttp=a-1; x=y', '/', at => 'epoch')
                = capi.browser('{\"_ttp\": \"a-1\", \"x\": [\"y\"]}'::jsonb, '/', at => 'epoch')
            and capi.browser(null::text) = '{}' and capi.browser(null::jsonb) = '{}'",
        )
        .await;
    assert_eq!(same, "t");
    let clicked =
        "select capi.browser('', '/?fbclid=abc', at => '2026-11-24 12:00:00.123456+00') ->> 'fbc'";
    assert_eq!(shop.get(clicked).await, "fb.1.1795521600123.abc");
}

#[tokio::test]
async fn event_ids_are_what_capture_takes_and_made_ones_are_stable() {
    let shop = Database::adopted().await;
    let of = async |id: &str| {
        shop.get(&format!(
            "select coalesce(capi.event_id(p), '-') from (select {id} as event_id) p"
        ))
        .await
    };
    for (given, id) in [
        ("'order-1'", "order-1"),
        ("42", "42"),
        ("' kept '", " kept "),
        ("null::text", "-"),
        ("' '", "-"),
        ("E'a\\nb'", "-"),
        ("chr(133)", "-"),
        ("repeat('x', 256)", &"x".repeat(256)),
        ("repeat('ä', 129)", "-"),
    ] {
        assert_eq!(of(given).await, id, "{given}");
    }
    assert_eq!(
        shop.get("select coalesce(capi.event_id(p), '-') from (select 1 as x) p").await,
        "-"
    );
    let made = shop.get("select capi.event_id('Purchase', '42')").await;
    // sha256 of `8:Purchase2:42`, as any other program can make it.
    let expected = "select overlay(overlay(left(encode(sha256('8:Purchase2:42'), 'hex'), 32) placing '8' from 13)
        placing '8' from 17)::uuid::text";
    assert_eq!(made, shop.get(expected).await);
    let distinct = "select count(distinct capi.event_id(n, variadic k)) from (values
        ('Purchase', array['42']), ('Lead', array['42']), ('Purchase', array['4', '2']), ('Purchase', array['42', '']),
        ('Purchase', array['shop', '42']), ('Purchaseshop', array['42'])) x (n, k)";
    assert_eq!(shop.count(distinct).await, 6);
    for null in ["null, '1'", "'a', null", "'a', '1', null"] {
        assert_eq!(
            shop.get(&format!("select coalesce(capi.event_id({null}), '-')")).await,
            "-",
            "{null}"
        );
    }
}
