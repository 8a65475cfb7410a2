use super::*;
use proptest::prelude::{any, proptest};

const NOW: Timestamp = Timestamp(1_790_000_000_000_000);

/// An order with everything that a tag takes, and what must stay off the page.
fn order() -> Value {
    json!({
        "event_name": "Purchase",
        "event_id": "order-42",
        "event_time": NOW.0 - 60_000_000,
        "action_source": "website",
        "event_source_url": "https://shop.example.com/thanks",
        "value": "129.90",
        "currency": "EUR",
        "email": "Jane.Doe+Promo@gmail.com",
        "phone": "030 23125 123",
        "first_name": "Jane",
        "last_name": "Doe",
        "city": "Berlin",
        "zip": "10115",
        "country": "DE",
        "external_id": "C-1",
        "client_ip_address": "203.0.113.7",
        "client_user_agent": "Agent/1.0",
        "fbp": "fb.1.1789900000000.7654321",
        "gclid": "Cj0click",
        "order_id": "42",
        "net_revenue": "77.77",
        "contents": [
            {"id": "MUG-01", "quantity": 2, "item_price": "9.90", "title": "Mug <small>", "own": "kept back"},
            {"id": "POT-11", "quantity": 1, "item_price": "110.10", "category": "Pots"},
        ],
        "custom": {"margin_class": "secret"},
        "consent": true,
    })
}

fn with(changes: Value) -> Row {
    let (Value::Object(mut row), Value::Object(changes)) = (order(), changes) else {
        panic!("objects expected")
    };
    row.extend(changes);
    Row::from_object(row)
}

fn settings(platform: &str) -> Value {
    platform::sample(platform).unwrap_or_else(|| panic!("{platform} has no sample settings"))
}

fn page() -> Page {
    Page { base: true, within: Duration::from_secs(86_400), ..Page::default() }
}

fn made(platform: &str, row: Row, page: &Page) -> Result<String, PixelError> {
    let settings = settings(platform);
    let account = Account { name: "shop", platform, settings: &settings };
    snippet(account, row, &Options::default(), NOW, page)
}

fn of(platform: &str, changes: Value) -> String {
    made(platform, with(changes), &page()).expect("a snippet")
}

#[test]
fn snippets_of_every_platform() {
    for platform in platforms() {
        insta::assert_snapshot!(platform, of(platform, json!({})));
    }
    let page = Page {
        base: false,
        nonce: Some("bm9uY2U=".into()),
        beacon: Some(Beacon { url: "/beacon".into(), token: report("shop", "Lead", "l-1", "ff") }),
        ..page()
    };
    let lead = with(json!({"event_name": "Lead", "value": null, "contents": null}));
    insta::assert_snapshot!("meta_without_base", made("meta", lead, &page).expect("a snippet"));
}

#[test]
fn nothing_in_clear_and_nothing_that_is_the_servers_alone() {
    for platform in platforms() {
        let page = of(platform, json!({})).to_lowercase();
        assert!(page.contains("order-42") || page.contains("\"42\""), "{platform}");
        for clear in [
            "jane",
            "doe",
            "gmail",
            "23125",
            "berlin",
            "10115",
            "c-1",
            "203.0.113.7",
            "agent/1.0",
            "fb.1.",
            "cj0click",
            "77.77",
            "margin",
            "secret",
            "own",
            "kept back",
        ] {
            assert!(!page.contains(clear), "{platform}: {clear} in {page}");
        }
    }
}

#[test]
fn without_consent_nothing_is_fired() {
    for platform in platforms() {
        for (consent, reason) in [
            (json!(false), "consent_refused"),
            (json!(null), "consent_unknown"),
            (json!({platform: false, "*": true}), "consent_refused"),
            (json!({"shop": false, "*": true}), "consent_refused"),
            (json!({"somebody_else": true}), "consent_refused"),
            (json!("perhaps"), "consent: neither_yes_nor_no"),
        ] {
            let page = of(platform, json!({"consent": consent}));
            assert_eq!(page, format!("<!-- pg_capi fires nothing: {reason} -->"));
        }
        assert!(of(platform, json!({"consent": {platform: true}})).contains("<script"));
    }
}

#[test]
fn what_the_server_would_not_send_or_the_browser_should_not_is_a_comment() {
    let day = 86_400_000_000_i64;
    for (platform, changes, reason) in [
        ("meta", json!({"currency": null}), "currency: missing"),
        ("meta", json!({"event_source_url": null}), "missing_event_source_url"),
        ("meta", json!({"event_name": "purchase"}), "event_name_case"),
        ("meta", json!({"data_processing_options": "LDU"}), "invalid_data_processing_options"),
        ("tiktok", json!({"data_processing_options": ["LDU"]}), "limited_data_use"),
        ("tiktok", json!({"data_processing_options": "LDU"}), "limited_data_use"),
        ("meta", json!({"opt_out": true}), "opt_out"),
        ("meta", json!({"event_time": NOW.0 - day - 1}), "too_old"),
        ("meta", json!({"action_source": "phone_call"}), "not_on_a_website"),
        ("ga4", json!({"event_name": "Lead"}), "only_purchases_are_deduplicated"),
        ("google_ads", json!({"event_name": "Lead"}), "unmapped_event"),
        ("linkedin", json!({"event_name": "Lead"}), "unmapped_event"),
        ("snapchat", json!({"event_name": "Lead"}), "unmapped_event"),
        ("pinterest", json!({"event_name": "ViewContent"}), "unmapped_event"),
        ("tiktok", json!({"event_name": "PageView"}), "unmapped_event"),
    ] {
        let page = of(platform, changes);
        assert_eq!(page, format!("<!-- pg_capi fires nothing: {reason} -->"), "{platform}");
    }
    // The pixel knows the browser; the server alone would know nobody.
    let nobody = json!({"email": null, "phone": null, "first_name": null, "last_name": null,
        "city": null, "zip": null, "country": null, "external_id": null, "fbp": null,
        "client_ip_address": null, "client_user_agent": null});
    assert!(of("meta", nobody).contains("fbq(\"init\",\"1234567890\",{});"));
}

#[test]
fn names_are_the_vendors_and_the_settings_win() {
    for (platform, name, call) in [
        ("meta", "Lead", "fbq(\"trackSingle\",\"1234567890\",\"Lead\","),
        ("meta", "QuizDone", "fbq(\"trackSingleCustom\",\"1234567890\",\"QuizDone\","),
        ("tiktok", "Lead", "ttq.instance(\"C4ABCDEF\").track(\"Lead\","),
        ("pinterest", "QuizDone", "pintrk(\"track\",\"custom\","),
        ("snapchat", "AddToCart", "snaptr(\"track\",\"ADD_CART\","),
        ("reddit", "QuizDone", "rdt(\"track\",\"Custom\","),
    ] {
        let page = of(platform, json!({"event_name": name}));
        assert!(page.contains(call), "{page}");
    }
    assert!(
        of("reddit", json!({"event_name": "QuizDone"}))
            .contains("\"customEventName\":\"QuizDone\"")
    );
    let settings = json!({"pixel_id": "p", "tag": {"events": {"Lead": "CUSTOM_EVENT_1"}}});
    let account = Account { name: "s", platform: "snapchat", settings: &settings };
    let lead = with(json!({"event_name": "Lead"}));
    let page = snippet(account, lead, &Options::default(), NOW, &page()).expect("a snippet");
    assert!(page.contains("snaptr(\"track\",\"CUSTOM_EVENT_1\","), "{page}");
}

#[test]
fn limited_data_use_is_told_to_metas_pixel_first() {
    let limited = json!({"data_processing_options": ["LDU"],
        "data_processing_options_country": 1, "data_processing_options_state": 1000});
    let page = of("meta", limited);
    let told = page.find("fbq(\"dataProcessingOptions\",[\"LDU\"],1,1000);").expect("told");
    assert!(told < page.find("fbq(\"init\"").expect("init"), "{page}");
    let off = of("meta", json!({"data_processing_options": []}));
    assert!(off.contains("fbq(\"dataProcessingOptions\",[]);"), "{off}");
}

/// Settings with which both halves are made, and the event that is named anew for the platforms that
/// take names.
fn both(platform: &str) -> Value {
    let (own, named) = match platform {
        "google_ads" => (
            json!({"customer_id": "1", "events": {"Purchase": "2", "Lead": "3"},
                "tag": {"id": "AW-1", "events": {"Purchase": "AbC", "Lead": "DeF"}}}),
            false,
        ),
        "linkedin" => (
            json!({"events": {"Purchase": "2", "Lead": "3"},
                "tag": {"id": "1", "events": {"Purchase": "5", "Lead": "6"}}}),
            false,
        ),
        "pinterest" => (json!({"ad_account_id": "1", "tag": {"id": "2"}}), true),
        other => (settings(other), true),
    };
    let mut all = own;
    if named {
        all["events"] = json!({"OrderPlaced": "Purchase"});
    }
    all
}

/// Name, id, value and currency as the server sends them, or why it does not.
fn server_says(platform: &str, settings: &Value, event: &Event) -> Option<[String; 4]> {
    let built = platform::build(platform, settings).expect("settings");
    let body = built.plan(std::slice::from_ref(event)).requests.pop()?.body;
    let paths = match platform {
        "meta" | "pinterest" | "snapchat" => [
            "/data/0/event_name",
            "/data/0/event_id",
            "/data/0/custom_data/value",
            "/data/0/custom_data/currency",
        ],
        "tiktok" => [
            "/data/0/event",
            "/data/0/event_id",
            "/data/0/properties/value",
            "/data/0/properties/currency",
        ],
        "ga4" => [
            "/events/0/name",
            "/events/0/params/transaction_id",
            "/events/0/params/value",
            "/events/0/params/currency",
        ],
        "google_ads" => {
            ["", "/events/0/transactionId", "/events/0/conversionValue", "/events/0/currency"]
        }
        "reddit" => [
            "/data/events/0/type/tracking_type",
            "/data/events/0/metadata/conversion_id",
            "/data/events/0/metadata/value",
            "/data/events/0/metadata/currency",
        ],
        "linkedin" => [
            "",
            "/elements/0/eventId",
            "/elements/0/conversionValue/amount",
            "/elements/0/conversionValue/currencyCode",
        ],
        other => panic!("{other}"),
    };
    let mut said = paths.map(|path| text_at(&body, path));
    if said[0] == "CUSTOM" {
        said[0] += &text_at(&body, "/data/events/0/type/custom_event_name");
    }
    Some(said)
}

/// The same as the page says it, or why it does not.
fn page_says(platform: &str, settings: &Value, event: &Event) -> Result<[String; 4], Silent> {
    let account = Account { name: "shop", platform, settings };
    let (build, mut tag) = find(account).expect("a tag");
    let (shaped, own) = platform::for_page(platform, settings, event).expect("settings")?;
    tag.shape(&event.event_name, &shaped.event_name, own);
    let call = Value::Array(build(&shaped, &tag)?.calls.pop().expect("a call").arguments);
    let paths = match platform {
        "meta" => ["/2", "/4/eventID", "/3/value", "/3/currency"],
        "tiktok" => ["/0", "/2/event_id", "/1/value", "/1/currency"],
        "ga4" => ["/1", "/2/transaction_id", "/2/value", "/2/currency"],
        "google_ads" => ["", "/2/transaction_id", "/2/value", "/2/currency"],
        "pinterest" => ["/1", "/2/event_id", "/2/value", "/2/currency"],
        "snapchat" => ["/1", "/2/client_dedup_id", "/2/price", "/2/currency"],
        "reddit" => ["/1", "/2/conversionId", "/2/value", "/2/currency"],
        "linkedin" => ["", "/1/event_id", "/1/conversion_value", "/1/currency"],
        other => panic!("{other}"),
    };
    let mut said = paths.map(|path| text_at(&call, path));
    if said[0] == "Custom" {
        said[0] += &text_at(&call, "/2/customEventName");
    }
    Ok(said)
}

/// A text or number at a place, as text.
fn text_at(value: &Value, path: &str) -> String {
    match value.pointer(path) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

#[test]
fn both_halves_have_one_name_id_value_and_currency() {
    // Vendors write the names of their tags with other case and underscores than those of their APIs.
    let folded = |name: &str| name.replace('_', "").to_lowercase();
    let names = [
        "Purchase",
        "OrderPlaced",
        "Lead",
        "AddToCart",
        "AddToWishlist",
        "CompleteRegistration",
        "ViewContent",
        "InitiateCheckout",
        "PageView",
        "Search",
        "Subscribe",
        "StartTrial",
        "AddPaymentInfo",
        "ViewCategory",
        "QuizDone",
        "checkout",
        "PURCHASE",
        "CUSTOM_EVENT_2",
    ];
    for platform in platforms() {
        let settings = both(platform);
        let mut fired = Vec::new();
        for name in names {
            for order_id in [json!("42"), json!("4".repeat(101)), json!(null)] {
                let changes = json!({"event_name": name, "order_id": order_id,
                    "ga_client_id": "1098115397.1789900000"});
                let row = with(changes);
                let Captured::Event(captured) = capture(row, &Options::default(), NOW) else {
                    panic!("{name} is an event")
                };
                let event = captured.event;
                let Ok(page) = page_says(platform, &settings, &event) else { continue };
                let server = server_says(platform, &settings, &event);
                let server = server.unwrap_or_else(|| panic!("{platform}: {name} not sent"));
                assert_eq!(folded(&page[0]), folded(&server[0]), "{platform}: {name}");
                assert_eq!(page[1..], server[1..], "{platform}: {name}");
                assert_eq!(page[2..], ["129.90", "EUR"], "{platform}: {name}");
                let google = matches!(platform, "ga4" | "google_ads");
                let id = match &order_id {
                    Value::String(id) if google => id.as_str(),
                    _ => "order-42",
                };
                assert!(!page[1].is_empty() && id.starts_with(&page[1]), "{platform}: {name}");
                fired.push(name);
            }
        }
        assert!(fired.contains(&"Purchase"), "{platform}");
        let takes_names = !matches!(platform, "google_ads" | "linkedin");
        assert_eq!(fired.contains(&"OrderPlaced"), takes_names, "{platform}");
    }
}

#[test]
fn what_the_settings_keep_from_the_server_is_not_on_the_page() {
    let made = |more: Value, name: &str| {
        let mut settings = settings("tiktok");
        let (Value::Object(all), Value::Object(more)) = (&mut settings, more) else {
            panic!("objects expected")
        };
        all.extend(more);
        let account = Account { name: "s", platform: "tiktok", settings: &settings };
        let row = with(json!({"event_name": name}));
        snippet(account, row, &Options::default(), NOW, &page()).expect("a snippet")
    };
    let silent = |reason: &str| format!("<!-- pg_capi fires nothing: {reason} -->");
    assert_eq!(made(json!({"only": ["Lead"]}), "Purchase"), silent("not_in_only"));
    assert_eq!(made(json!({}), "Refund"), silent("refund"));
    assert_eq!(
        made(json!({"value_from": "net_revenue"}), "Purchase"),
        silent("value_is_the_servers")
    );
    assert!(made(json!({}), "Purchase").contains("\"phone_number\""));
    let omitted = made(json!({"omit": ["phone"], "value_from": "value"}), "Purchase");
    assert!(omitted.contains("\"email\"") && !omitted.contains("phone"), "{omitted}");
    // What the tag calls an event counts for it under its new name, too.
    let named =
        json!({"events": {"Order": "Purchase"}, "tag": {"events": {"Order": "PlaceAnOrder"}}});
    assert!(made(named, "Order").contains(".track(\"PlaceAnOrder\","));
}

#[test]
fn a_platform_without_tag_says_so() {
    for platform in ["webhook", "x", "microsoft", "nobody"] {
        let account = Account { name: "s", platform, settings: &json!({}) };
        let error = snippet(account, with(json!({})), &Options::default(), NOW, &page());
        let error = error.expect_err(platform).to_string();
        assert_eq!(error, format!("no browser tag for platform {platform}"));
    }
}

#[test]
fn arguments_that_could_be_more_are_refused() {
    let with_nonce = |nonce: &str| Page { nonce: Some(nonce.into()), ..page() };
    let with_loader = |loader: &str| Page { loader: Some(loader.into()), ..page() };
    let with_beacon =
        |url: &str| Page { beacon: Some(Beacon { url: url.into(), token: "t".into() }), ..page() };
    for nonce in ["", "a\"b", "a b", "'none'", "<"] {
        assert!(made("meta", with(json!({})), &with_nonce(nonce)).is_err(), "{nonce}");
    }
    for url in [
        "javascript:alert(1)",
        "data:text/javascript,alert(1)",
        "//evil.example.com/x.js",
        "http://evil.example.com/x.js",
        "http://127.0.0.1.evil.example.com/x.js",
        "http://localhost:x/",
        "https://",
        "https://user@evil.example.com/",
        "/\\evil.example.com",
        "x.js",
        "",
        "https://a.example.com/ b",
    ] {
        assert!(made("meta", with(json!({})), &with_loader(url)).is_err(), "{url}");
        let error = made("meta", with(json!({})), &with_beacon(url)).expect_err(url);
        assert!(error.to_string().starts_with("beacon: must be"), "{error}");
    }
    for url in
        ["https://cdn.example.com/x.js?a=1&b=2", "/x.js", "http://127.0.0.1:80/x", "http://[::1]/x"]
    {
        let page = made("tiktok", with(json!({})), &with_loader(url)).expect(url);
        assert!(page.contains(&format!("src=\"{}", attribute(url))), "{page}");
    }
    let page = made("tiktok", with(json!({})), &with_loader("/x.js?a=1")).expect("a snippet");
    assert!(page.contains("src=\"/x.js?a=1&amp;sdkid=C4ABCDEF&amp;lib=ttq\""), "{page}");
}

/// A page has the scripts that it is meant to have, and each ends where it should.
fn is_sound(page: &str) -> bool {
    let lower = page.to_ascii_lowercase();
    let inner = page.strip_prefix("<script>").and_then(|rest| rest.split_once("</script>"));
    let scripts = lower.matches("<script").count();
    let ends = lower.matches("</script").count();
    let is_script = inner.is_some_and(|(script, _)| !script.contains("<!--"));
    page.is_ascii() && ((scripts == 2 && ends == 2 && is_script) || page.starts_with("<!--"))
}

proptest! {
    #[test]
    fn no_value_leaves_its_place(text in any::<String>(), which in 0..8_usize) {
        let platform = platforms()[which];
        let hostile = format!("{text}</script><script>alert(1)//<!--\u{2028}\"'`");
        let changes = json!({
            "event_id": "order-42",
            "order_id": hostile,
            "content_name": hostile,
            "content_category": text,
            "search_string": hostile,
            "external_id": hostile,
            "email": hostile,
            "contents": [{"id": hostile, "title": hostile, "category": text, "brand": hostile, "quantity": 1}],
            "custom": {hostile.as_str(): hostile},
        });
        let page = of(platform, changes);
        proptest::prop_assert!(is_sound(&page), "{}", page);
    }

    #[test]
    fn no_name_and_no_id_leaves_its_place(name in any::<String>(), id in any::<String>(), which in 0..8_usize) {
        let platform = platforms()[which];
        let page = of(platform, json!({"event_name": format!("</script>{name}"), "event_id": format!("{id}-->\"")}));
        proptest::prop_assert!(is_sound(&page), "{}", page);
        proptest::prop_assert_eq!(page.matches("-->").count(), usize::from(page.starts_with("<!--")));
    }
}
