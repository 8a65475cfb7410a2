//! What is kept in clear holds no email address and no phone number, on every path and at every
//! depth: keys, ids, facts, custom properties, URLs, names in a consent map.

use capi_tests::database::Database;
use capi_tests::leaks::{found_in, relations_with};
use capi_tests::shop::{captured, errors, tracked_shop};

const MAIL: &str = "jane.roe@example.com";
const PHONE: &str = "+4915112345678";

fn traces() -> Vec<String> {
    ["jane.roe", "4915112345678"].map(str::to_owned).to_vec()
}

/// A table with a key of this type, and a view of it with these columns besides the usual ones.
async fn tracked(key: &str, event_id: &str, columns: &str) -> Database {
    let shop = tracked_shop().await;
    shop.run(&format!(
        "create schema own;
        create table own.sale (id {key} primary key, note text, mail text, tel text);
        create function own.found(name text) returns text language sql stable as 'select null::text';
        create view own.conversion as
        select s.id, 'Lead' as event_name, {event_id} as event_id, now() as event_time,
            'website' as action_source, true as consent{columns}
        from own.sale s;
        select capi.track('own.sale', conversions => 'own.conversion', destinations => '{{meta-eu}}')"
    ))
    .await;
    shop
}

#[tokio::test]
async fn an_event_id_that_is_a_person_is_refused_and_not_kept() {
    let shop = tracked("bigint", "s.note", "").await;
    for (id, note) in [(1, MAIL), (2, PHONE), (3, "order-0049151123456")] {
        shop.run(&format!("insert into own.sale values ({id}, '{note}')")).await;
    }
    assert_eq!(captured(&shop).await, 1);
    assert_eq!(
        errors(&shop).await,
        ["1 22023 email_address event_id open", "2 22023 phone_number event_id open"]
    );
    assert_eq!(relations_with(&shop, &traces()).await, [""; 0]);
    let finding = "select finding from capi.check_view('own.conversion', source => 'own.sale')
        where severity = 'error' and field = 'event_id' and finding like '%email_address%'";
    assert!(shop.get(finding).await.starts_with("1 of 3 rows"));
}

#[tokio::test]
async fn a_key_that_is_a_person_is_refused_and_not_kept() {
    let shop = tracked("text", "md5(s.id)", "").await;
    shop.run(&format!("insert into own.sale values ('{MAIL}'), ('{PHONE}'), ('fine')")).await;
    assert_eq!(captured(&shop).await, 1);
    assert_eq!(errors(&shop).await, ["- 22023 email_address key open"], "one for all of them");
    // What fails for another reason is recorded by its key, too.
    shop.run(
        "create or replace view own.conversion as
        select s.id, 'Lead' as event_name, md5(s.id) as event_id, now() as event_time,
            (array['website'])[1 + 1 / (length(s.id) - length(s.id))]::text as action_source, true as consent
        from own.sale s",
    )
    .await;
    shop.run(&format!("insert into own.sale values ('2{MAIL}')")).await;
    assert_eq!(errors(&shop).await.len(), 1);
    assert_eq!(relations_with(&shop, &traces()).await, [""; 0]);
    assert_eq!(found_in(shop.cluster().log().as_bytes(), &traces()[..1]), [""; 0]);
    // Trying again does not stumble over the record.
    shop.run("select * from capi.recapture('own.sale')").await;
    shop.run("select capi.sweep('own.sale')").await;
    let refusal = shop.refused(&format!("select capi.withdraw('own.sale', '{MAIL}')")).await;
    assert_eq!(refusal.code, "22023", "{refusal:?}");
    assert!(!format!("{refusal:?}").contains("jane"));
    assert_eq!(relations_with(&shop, &traces()).await, [""; 0]);
}

#[tokio::test]
async fn no_fact_of_a_row_keeps_a_person_however_deep() {
    let plant = ", s.mail as order_id, 'to ' || s.mail || ' please' as search_string,
        'call ' || s.tel as content_name, s.mail as gclid, s.mail as ga_client_id, s.mail as anon_id,
        s.mail as subscription_id, s.mail as lead_event_source, s.mail as page_id,
        array['A', s.mail] as content_ids,
        'https://shop.example.com/u/' || s.tel || '?full_name=' || s.note || '&utm_source=a' as event_source_url,
        jsonb_build_array(jsonb_build_object('id', 'MUG', 'title', s.mail, 'recipient_email', s.note,
            'more', jsonb_build_object('deep', jsonb_build_array(s.mail)))) as contents,
        jsonb_build_object('user_agent', 'X ' || s.mail, 'ttclid', s.mail,
            'app_data', jsonb_build_object('vendor_id', s.mail)) as browser,
        jsonb_build_object('full_name', s.note, 'phone2', s.tel, 'tier', 'gold',
            'gift', jsonb_build_object('billing_name', s.note, 'n', 1),
            'landing', 'https://a.example/?email=' || s.note || '&x=1') as custom";
    let shop = tracked("bigint", "'s-' || s.id", plant).await;
    shop.run(&format!("insert into own.sale values (1, 'jane.roe', '{MAIL}', '{PHONE}')")).await;
    assert_eq!(captured(&shop).await, 1);
    assert_eq!(relations_with(&shop, &traces()).await, [""; 0]);
    let facts = shop.get("select facts - 'contents' - 'custom' from capi.outbox").await;
    assert_eq!(
        facts,
        r#"{"content_ids": ["A"], "event_source_url": "https://shop.example.com/u/?utm_source=a"}"#
    );
    let rest = "select facts ->> 'contents', facts ->> 'custom' from capi.outbox";
    assert_eq!(
        shop.line(rest).await,
        r#"[{"id": "MUG"}]|{"gift": {"n": 1}, "tier": "gold", "landing": "https://a.example/?x=1"}"#
    );
    let dropped = "select string_agg(k || ' ' || v, ', ' order by k) from capi.outbox o, jsonb_each_text(o.dropped) d (k, v)
        where k in ('order_id', 'content_name', 'contents[].title', 'event_source_url.path', 'custom.phone')";
    assert_eq!(
        shop.get(dropped).await,
        "content_name phone_number, contents[].title email_address, custom.phone identifier_in_custom, \
         event_source_url.path path_held_a_phone_number, order_id email_address"
    );
    let share = "select dropped ->> 'email_address' from capi.check_view('own.conversion', source => 'own.sale')
        where field = 'order_id'";
    assert_eq!(shop.get(share).await, "1.0000");
}

#[tokio::test]
async fn names_of_a_consent_map_are_those_that_a_destination_can_have() {
    let shop = tracked_shop().await;
    shop.run("select capi.create_emitter('shop.carts', destinations => '{meta-eu}')").await;
    let emit = |id: &str, consent: &str| {
        format!(
            "select capi.emit(jsonb_build_object('event_name', 'Lead', 'event_id', '{id}',
                'action_source', 'website', 'consent', '{consent}'::jsonb)) ->> 'status'"
        )
    };
    let of_a_person =
        format!(r#"{{"{MAIL}": false, "{PHONE}": true, "meta": true, "a b": false}}"#);
    assert_eq!(shop.get(&emit("1", &of_a_person)).await, "captured");
    assert_eq!(shop.get("select refused from capi.outbox").await, "{*,!meta}");
    assert_eq!(relations_with(&shop, &traces()).await, [""; 0]);
    // A refusal by a name that nobody knows yet is one for a destination that comes later.
    assert_eq!(shop.get(&emit("2", r#"{"*": true, "meta-us": false}"#)).await, "captured");
    assert_eq!(shop.get("select refused from capi.outbox where event_id = '2'").await, "{meta-us}");
    let many = "select capi.emit(jsonb_build_object('event_name', 'Lead', 'event_id', '3',
        'action_source', 'website', 'consent',
        (select jsonb_object_agg('n' || g, true) from generate_series(1, 300000) g))) - 'event_id'";
    assert_eq!(
        shop.get(many).await,
        r#"{"field": "consent", "reason": "too_many", "status": "failed"}"#
    );
}

#[tokio::test]
async fn a_note_keeps_no_person_and_no_error_shows_one() {
    let shop = tracked_shop().await;
    // Not that of the others: Postgres logs the statements that fail here, and the log is shared.
    let note = "asked by john.noted@example.com";
    for call in [
        format!("capi.withdraw('shop.orders', '1', note => '{note}')"),
        format!("capi.forget('shop.orders', '1', '{note}')"),
        format!("capi.forget_person('phone', '+4915198765432', note => '{note}')"),
        format!("capi.replay('meta-eu', '{{1}}', '{note}')"),
        format!("capi.pause('meta-eu', '{note}')"),
    ] {
        let refusal = shop.refused(&format!("select {call}")).await;
        assert!(
            refusal.message.ends_with("holds an email address or a phone number"),
            "{refusal:?}"
        );
        assert_eq!((refusal.code.as_str(), refusal.detail.as_str()), ("22023", ""), "{call}");
    }
    // A violated constraint would quote the row.
    for call in ["capi.withdraw('shop.orders', null)", "capi.forget('shop.orders', null, 'case 7')"]
    {
        let refusal = shop.refused(&format!("select {call}")).await;
        assert_eq!(refusal.message, "key must not be null", "{call}");
        assert_eq!(refusal.detail, "", "{call}");
    }
    assert_eq!(relations_with(&shop, &["john.noted".to_owned()]).await, [""; 0]);
}

#[tokio::test]
async fn a_key_to_forget_that_is_a_person_is_refused_and_not_kept() {
    let shop = tracked("bigint", "md5(s.id::text)", "").await;
    shop.run("select capi.create_emitter('carts', destinations => '{meta-eu}')").await;
    for key in ["to.forget@example.com", "+4915198765432"] {
        for source in ["carts", "own.sale"] {
            let refusal = shop.refused(&format!("select capi.forget('{source}', '{key}')")).await;
            assert_eq!(
                (refusal.code.as_str(), refusal.hint.is_empty()),
                ("22023", false),
                "{refusal:?}"
            );
        }
    }
    assert_eq!(
        relations_with(&shop, &["to.forget".to_owned(), "4915198765432".to_owned()]).await,
        [""; 0]
    );
}

#[tokio::test]
async fn a_name_that_a_function_puts_together_of_a_person_is_not_shown() {
    let shop = tracked("bigint", "md5(s.id::text)", ", own.found(s.note) as city").await;
    shop.run("insert into own.sale values (1, 'to.forget@example.com')").await;
    shop.run("create view own.people as select own.found(s.note) as email, true as consent from own.sale s").await;
    let trials = [
        "select problem from capi.revalidate()",
        "select trouble from capi.sweep()",
        "select trouble from capi.recapture()",
    ];
    let mut said = Vec::new();
    for code in ["42P01", "42883", "42501"] {
        shop.run(&format!(
            "create or replace function own.found(name text) returns text language plpgsql stable
                set search_path = pg_catalog, pg_temp as $$
            declare x text;
            begin
                if '{code}' = '42P01' then execute 'select x from ' || quote_ident(name) into x;
                elsif '{code}' = '42883' then execute 'select ' || quote_ident(name) || '()' into x;
                else raise exception '%', name using errcode = '{code}'; end if;
                return x;
            end $$"
        ))
        .await;
        shop.run("update own.sale set tel = 'x'").await;
        for trial in trials {
            said.extend(
                shop.ask(trial)
                    .await
                    .map(|rows| format!("{rows:?}"))
                    .unwrap_or_else(|r| format!("{r:?}"))
                    .lines()
                    .map(str::to_owned),
            );
        }
        let audience =
            "select capi.create_audience('a', 'meta-eu', 'own.people', '{\"audience_id\": \"1\"}')";
        said.push(format!("{:?}", shop.ask(audience).await));
    }
    said.extend(shop.column("select coalesce(stale_reason, '') from capi.sources").await);
    assert!(said.iter().all(|line| !line.contains("forget@")), "{said:#?}");
    let kept = relations_with(&shop, &["to.forget".to_owned(), "4915198765432".to_owned()]).await;
    assert!(kept.iter().all(|relation| relation.starts_with("own.")), "{kept:?}");
}
