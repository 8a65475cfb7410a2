//! Examples of `custom_data` and of Limited Data Use.

use serde_json::{Value, json};

use super::super::purchase;
use super::{Examples, with, without};

pub(super) fn customs(examples: &mut Examples) {
    let base = &purchase();
    let absent = || json!("absent");
    let lead = &with(base, "event_name", json!("Lead"));
    let custom = |key: &str| format!("custom_data.{key}");
    let path = &custom("currency");
    let good = [json!("EUR"), json!("usd"), json!("Krw")];
    examples.rows("custom.currency", base, path, good, [absent(), json!("")]);
    examples.rows("custom.currency", base, "custom_data", [], [absent(), json!({})]);
    examples.rows("custom.currency", lead, "custom_data", [absent(), json!({})], []);
    let good = [json!(0), json!(12.5), json!(-1)];
    examples.rows("custom.value", base, &custom("value"), good, [absent(), Value::Null]);
    examples.good("custom.value", without(lead, "custom_data.value"));
    examples.rows(
        "custom.currency.code",
        lead,
        path,
        [absent()],
        [json!("ABC"), json!("EURO"), json!("€"), json!("XAU"), json!("XXX"), json!("HRK")],
    );
    let number = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let good = [json!(0.1 + 0.2), json!(1e40), number("12345678901234567890.123456789")];
    let bad = [json!("19.99"), json!([1]), json!(true), number("1e400")];
    examples.rows("custom.value.type", base, &custom("value"), good, bad);
    for key in ["predicted_ltv", "net_revenue"] {
        examples.rows("custom.numbers", base, &custom(key), [json!(0.5)], [json!("0.5")]);
    }
    let good = [json!(2), absent()];
    examples.rows(
        "custom.num_items",
        base,
        &custom("num_items"),
        good,
        [json!(2.5), json!("2"), json!(-1)],
    );
    for key in [
        "content_name",
        "content_category",
        "order_id",
        "search_string",
        "status",
        "item_number",
        "event_source",
        "lead_event_source",
    ] {
        examples.rows("custom.texts", base, &custom(key), [json!("x")], [json!(7)]);
    }
    let good = [json!(["a", "b"]), json!([])];
    examples.rows(
        "custom.content_ids",
        base,
        &custom("content_ids"),
        good,
        [json!([1]), json!("a")],
    );
    let good = [json!("product"), json!("product_group")];
    examples.rows("custom.content_type", base, &custom("content_type"), good, [json!("thing")]);
    examples.rows(
        "custom.contents",
        base,
        &custom("contents"),
        [json!([{"id": "a"}]), json!([{"id": "a", "own": 1}]), json!([])],
        [json!([{"quantity": 1}]), json!({"id": "a"}), json!(["a"]), json!([{"id": 1}])],
    );
    let item = |key: &str, value: Value| {
        let mut item = json!({"id": "a"});
        item[key] = value;
        with(&purchase(), "custom_data.contents", json!([{"id": "b"}, item]))
    };
    for value in [json!(2), json!("2")] {
        examples.row(
            "custom.contents.types",
            item("quantity", value),
            item("quantity", json!(0.5)),
        );
    }
    for key in ["item_price", "price"] {
        examples.row("custom.contents.types", item(key, json!(0.5)), item(key, json!("0.5")));
    }
    for key in ["title", "description", "brand", "category"] {
        examples.row("custom.contents.types", item(key, json!("x")), item(key, json!(7)));
    }
    for category in ["in_store", "curbside", "home_delivery"] {
        let path = &custom("delivery_category");
        examples.rows("custom.delivery", base, path, [json!(category)], [json!("drone")]);
        let good = item("delivery_category", json!(category));
        examples.row("custom.delivery", good, item("delivery_category", json!("drone")));
    }
    examples.rows(
        "custom.store",
        base,
        &custom("store_data"),
        [json!({"store_page_id": "1", "brand_page_id": 2, "store_code": "x"})],
        [json!({"store": "1"}), json!({"store_code": true}), json!("x")],
    );
}

pub(super) fn processing(examples: &mut Examples) {
    let base = &purchase();
    let place = |options: Value, country: Value, state: Value| {
        let event = with(base, "data_processing_options", options);
        let event = with(&event, "data_processing_options_country", country);
        with(&event, "data_processing_options_state", state)
    };
    let ldu = |country: i64, state: i64| place(json!(["LDU"]), json!(country), json!(state));
    let absent = || json!("absent");
    examples.good("ldu.options", ldu(0, 0));
    examples.good("ldu.options", place(json!([]), absent(), absent()));
    examples.good("ldu.options", place(json!([]), json!(0), json!(0)));
    for options in [json!("LDU"), json!(["ldu"]), json!(["LDU", "LDU"]), Value::Null] {
        examples.bad("ldu.options", place(options, json!(0), json!(0)));
    }
    for state in [1000, 1013] {
        examples.good("ldu.place", ldu(1, state));
    }
    for bad in [ldu(1, 0), ldu(0, 1000), place(json!(["LDU"]), absent(), absent())] {
        examples.bad("ldu.place", bad);
    }
    examples.bad("ldu.place", place(json!(["LDU"]), json!(1), absent()));
    let address = "user_data.client_ip_address";
    examples.row("ldu.address", without(&ldu(1, 1000), address), without(&ldu(0, 0), address));
    examples.row("ldu.codes", ldu(1, 1005), ldu(1, 1014));
    examples.bad("ldu.codes", ldu(2, 0));
    examples.bad("ldu.codes", place(json!(["LDU"]), json!("0"), json!(0)));
    examples.row("ldu.alone", base.clone(), place(absent(), absent(), json!(1000)));
    examples.bad("ldu.alone", place(absent(), json!(0), json!(0)));
}
