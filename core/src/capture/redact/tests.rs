//! The guard's tables: what goes, and what stays.

use super::*;
use crate::capture::person::{PHONE, holds_mail};
use crate::capture::{Captured, Options, Row, capture};
use crate::field::FIELDS;
use crate::time::Timestamp;
use serde_json::json;

#[test]
fn email_addresses_are_found() {
    for text in [
        "jane@example.com",
        "to jane.doe+x@mail.example.co.uk!",
        "<jane@example.com>",
        "jane%40example.com",
        "jane%2540example.com",
        "jane＠example.com",
        "ä@ö.example",
    ] {
        assert!(holds_mail(text), "{text}");
    }
    for text in ["@handle", "a @ b.c", "3 @ 4.50", "12@4.5", "x@y", "%40", "100%", "%4"] {
        assert!(!holds_mail(text), "{text}");
    }
}

#[test]
fn properties_lose_what_is_a_person() {
    let given = json!({
        "Email": "jane@example.com", "em": "x", "note": "ask jane@example.com", "n": 1,
        "customer": {"email": "j", "lastName": "Doe", "tier": "gold"}, "only": {"ph": 1},
        "list": ["a", "jane@example.com", {"fn": "Jane", "x": 1}], "empty": {}, "url": "/a",
        "mobile": true, "jane@example.com": {"id": 1}, "billingEmail": "j", "none": null,
        "full_name": "j", "phone2": 1, "call": "at +49 151 12345678", "delivery": {"name": "DHL"},
        "recipient": {"name": "j", "gift": true}, "from": "https://h.example/?email=j&x=1",
    });
    let mut dropped = BTreeMap::new();
    let kept = fact("custom", given, &mut dropped).expect("something is left");
    assert_eq!(
        kept,
        json!({"n": 1, "customer": {"tier": "gold"}, "list": ["a", {"x": 1}], "empty": {},
            "url": "/a", "mobile": true, "none": null, "delivery": {"name": "DHL"},
            "recipient": {"gift": true}, "from": "https://h.example/?x=1"})
    );
    assert_eq!(
        json!(dropped),
        json!({
            "custom.Email": "identifier_in_custom", "custom.em": "identifier_in_custom",
            "custom.email": "identifier_in_custom", "custom.*": "email_address_in_custom",
            "custom.*.email": "identifier_in_custom", "custom.*.ph": "identifier_in_custom",
            "custom.*.lastName": "identifier_in_custom",
            "custom.*[]": "email_address_in_custom",
            "custom.*[].fn": "identifier_in_custom", "custom.name": "identifier_in_custom",
            "custom.phone": "identifier_in_custom", "custom.*.name": "identifier_in_custom",
            "custom.*.query": "query_held_an_identifier",
        })
    );
}

#[test]
fn urls_lose_what_is_a_person() {
    const MAIL: &str = "query_held_an_email_address";
    const NAME: &str = "query_held_an_identifier";
    const PHONE: &str = "query_held_a_phone_number";
    let path = [("path", "path_held_an_email_address")];
    for (given, left, cut) in [
        ("https://jane:pw@h.example/x", "https://h.example/x", &[("user", "user_in_url")][..]),
        ("https://jane%40x.de:p@h.example", "https://h.example", &[("user", "user_in_url")]),
        ("//jane@h.example/x", "//h.example/x", &[("user", "user_in_url")]),
        ("https://h/u/jane@example.com/x?utm_source=a", "https://h/u/?utm_source=a", &path),
        ("https://h/u/jane%40example.com", "https://h/u/", &path),
        ("mailto:jane@example.com", "", &path),
        (
            "https://h/?phone=49&utm_source=a&fbclid=B",
            "https://h/?utm_source=a&fbclid=B",
            &[("query", NAME)],
        ),
        ("https://h/?Customer%5BEmail%5D=x", "https://h/", &[("query", NAME)]),
        ("https://h/?a=1;fn=Jane;b=2", "https://h/?a=1&b=2", &[("query", NAME)]),
        ("https://h/?u=jane%2540x.de&gclid=1#top", "https://h/?gclid=1#top", &[("query", MAIL)]),
        ("https://h/?em=1&q=a@b", "https://h/", &[("query", NAME)]),
        ("https://h/#/done?email=x", "https://h/", &[("fragment", NAME)]),
        ("https://h/#jane@example.com", "https://h/", &[("fragment", MAIL)]),
        (
            "https://h/?name=Jane&vorname=J&telefono=1&msisdn=2&b=1",
            "https://h/?b=1",
            &[("query", NAME)],
        ),
        ("https://h/?Full%20Name=Jane", "https://h/", &[("query", NAME)]),
        ("https://h/?a=%2B4915112345678&b=1", "https://h/?b=1", &[("query", PHONE)]),
        ("https://h/?a=+4915112345678", "https://h/", &[("query", PHONE)]),
        ("https://h/#+4915112345678", "https://h/", &[("fragment", PHONE)]),
        ("https://h/u/+4915112345678/x", "https://h/u/", &[("path", "path_held_a_phone_number")]),
    ] {
        assert_eq!(url(given), (left.to_owned(), cut.to_vec()), "{given}");
    }
    for same in [
        "https://h.example/@handle/a?utm_source=x&utm_campaign=y;z&fbclid=AbC_-#a/b=c",
        "/a/b",
        "https://h",
        "https://h?",
        "https://h/#",
        "",
        "https://h//x",
        "https://ü.de/%",
        "android-app://com.example/x",
        "https://h/?gclid=a&value=3&url=b",
        "https://h/?q=red+12345678901&product_name=x&utm_campaign=a+b&sku=4006381333931",
    ] {
        assert_eq!(url(same), (same.to_owned(), vec![]), "{same}");
    }
}

#[test]
fn phone_numbers_with_their_country_are_found_and_other_numbers_are_not() {
    for text in [
        "+4915112345678",
        "%2B4915112345678",
        "call +49 151 12345678!",
        "tel:+1-650-555-1212",
        "(+44) 20 7946 0958".trim_start_matches('('),
        "+44 20 7946 0958, mornings",
        "\u{ff0b}4915112345678",
        "[\"+33612345678\", \"x\"]",
        "order-+33612345678",
    ] {
        assert_eq!(person_in(text), Some(PHONE), "{text}");
    }
    for text in [
        "4006381333931",
        "order 0049151123456",
        "2026-09-21T12:00:00+02:00",
        "2026-09-21 12:00:00+0200",
        "1790000000000+12",
        "a+12345678901",
        "+12345678",
        "+1 000 000 downloads",
        "+10 000 000",
        "+20 %",
        "+ 500 bonus points",
        "++4915112345678",
        "+123456789012345678",
        "C++ 2026",
        "S+ 4915112345678",
        "+4915112345678a",
        "Mozilla/5.0 (+http://www.example.com/bot.html)",
        "fb.1.1790000000000.IwAR0_a-B+",
    ] {
        assert_eq!(person_in(text), None, "{text}");
    }
}

/// Every way in which a value can hold a text, as a value of its own, in lists and objects, behind a
/// known key and an unknown one, and as a key.
fn plants(text: &str) -> Vec<Value> {
    let keys = [
        "id",
        "title",
        "order_id",
        "event_id",
        "vendor_id",
        "install_referrer",
        "ad_id",
        "store_code",
        "url_schemes",
        "user_agent",
        "gclid",
        "ttclid",
        "app_data",
        "x",
    ];
    let mut plants =
        vec![json!(text), json!([text]), json!(["a", text]), json!({text: 1}), json!([[text]])];
    for key in keys {
        plants.push(json!({key: text}));
        plants.push(json!({key: [text]}));
        plants.push(json!([{"id": "a", key: text}]));
        plants.push(json!([{"id": "a", "own": {key: [text, {key: text}]}}]));
        plants.push(json!({"own": {"deeper": [{key: {"deepest": text}}]}}));
        plants.push(json!({"own": {text: {key: 1}}}));
        plants.push(json!([{"id": "a", text: 1}]));
        plants.push(json!({"app_data": {key: text}}));
        plants.push(json!({key: format!("https://h.example/{text}?x={text}#{text}")}));
    }
    let extinfo: Vec<&str> = (0..16).map(|slot| if slot == 0 { "i2" } else { text }).collect();
    plants.push(json!({"extinfo": extinfo}));
    plants.push(json!(format!("https://h.example/a/{text}/b?x=1&y={text}#{text}")));
    plants
}

#[test]
fn no_field_keeps_a_person_at_any_depth() {
    const NOW: Timestamp = Timestamp(1_790_000_000_000_000);
    let options = Options { consent_not_required: true, ..Options::default() };
    let mut events = 0;
    for field in FIELDS {
        for (text, trace) in [
            ("jane.roe@example.com", "jane"),
            ("to jane.roe%40example.com now", "jane"),
            ("+4915112345678", "15112345678"),
            ("at +49 151 12345678", "12345678"),
        ] {
            for plant in plants(text) {
                let mut row = json!({
                    "event_name": "Lead", "event_id": "l", "event_time": NOW.0, "action_source": "website",
                });
                row[field.name] = plant.clone();
                for consent in [json!(true), json!(false), json!({"meta": true})] {
                    if field.name != "consent" {
                        row["consent"] = consent;
                    }
                    let row = Row::from_object(row.as_object().expect("an object").clone());
                    let Captured::Event(new) = capture(row, &options, NOW) else { continue };
                    events += 1;
                    let kept =
                        format!("{:?}", (&new.event, &new.refused, &new.dropped)).to_lowercase();
                    assert!(!kept.contains(trace), "{}: {plant}: {kept}", field.name);
                }
            }
        }
    }
    assert!(events > 10_000, "{events}");
}
