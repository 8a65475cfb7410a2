//! Examples of the event: its own keys, what each action source asks for, events about events.

use serde_json::{Value, json};

use super::super::{now, purchase};
use super::{
    DAY, Examples, of_app, of_attribution, of_conversation, of_crm, of_whatsapp, with, without,
};

pub(super) fn events(examples: &mut Examples) {
    let base = &purchase();
    let (now, absent) = (now(), || json!("absent"));
    examples.rows(
        "event.name",
        &without(base, "custom_data"),
        "event_name",
        // Standard names in another case are custom events, so this is no Purchase.
        [json!("Own event"), json!("purchase")],
        [absent(), json!(7)],
    );
    examples.rows(
        "event.time",
        base,
        "event_time",
        [json!(now)],
        [absent(), json!(now.to_string()), json!(now as f64 + 0.5)],
    );
    let age = |days: i64, seconds: i64| json!(now - days * DAY + seconds);
    examples.rows("event.time.age", base, "event_time", [age(7, 60)], [age(7, -60), json!(0)]);
    let store = without(&with(base, "action_source", json!("physical_store")), "event_source_url");
    examples.rows("event.time.store", &store, "event_time", [age(62, 60)], [age(62, -60)]);
    let ahead = [json!(now + 3700), json!(now * 1000), json!(i64::MAX)];
    examples.rows("event.time.future", base, "event_time", [json!(now + 3500)], ahead);
    for source in ["email", "website", "phone_call", "chat", "physical_store", "other"] {
        examples.good("event.source", with(base, "action_source", json!(source)));
    }
    for event in [of_app(), of_whatsapp(), of_crm()] {
        examples.good("event.source", event);
    }
    examples.rows(
        "event.source",
        base,
        "action_source",
        [],
        [absent(), json!("web"), json!("Website")],
    );
    examples.rows(
        "event.user_data",
        base,
        "user_data",
        [json!({"external_id": "4"})],
        [absent(), json!([]), json!("jo")],
    );
    examples.good("event.objects", of_attribution());
    for key in ["custom_data", "app_data", "original_event_data", "attribution_data"] {
        examples.bad("event.objects", with(&of_attribution(), key, json!("text")));
    }
    examples.rows("event.id", base, "event_id", [json!("x"), absent()], [json!(7)]);
    examples.rows(
        "event.url",
        base,
        "event_source_url",
        [json!("https://a.example/?b")],
        [absent()],
    );
    examples.good(
        "event.url",
        without(&with(base, "action_source", json!("chat")), "event_source_url"),
    );
    examples.rows(
        "event.url.scheme",
        base,
        "event_source_url",
        [json!("http://a.example"), json!("HTTPS://a.example/b")],
        [json!("a.example"), json!("ftp://a.example"), json!("https://"), json!("https:///b")],
    );
    for key in ["referrer_url", "advanced_measurement_table"] {
        examples.rows("event.texts", base, key, [json!("https://a.example")], [json!(1)]);
    }
    examples.rows("event.opt_out", base, "opt_out", [json!(true), json!(false)], [json!("no")]);
    let mut segments = vec!["customer_in_loyalty_program".to_owned()];
    for what in ["business", "business_line", "product_area", "medium"] {
        segments
            .extend([format!("new_customer_to_{what}"), format!("existing_customer_to_{what}")]);
    }
    for path in ["customer_segmentation", "custom_data.customer_segmentation"] {
        for segment in &segments {
            examples.good("event.segmentation", with(base, path, json!(segment)));
        }
        examples.bad("event.segmentation", with(base, path, json!("new_customer")));
    }
    examples.row("event.keys", base.clone(), with(base, "colour", json!("red")));
    examples.row("event.keys", base.clone(), with(base, "event_Id", json!("x")));
    examples.good("event.empty", without(base, "event_id"));
    for (path, value) in [
        ("event_id", Value::Null),
        ("event_id", json!(" ")),
        ("event_source_url", json!("")),
        ("custom_data", Value::Null),
        ("custom_data.order_id", json!("")),
        ("user_data.client_user_agent", json!("")),
        ("user_data.em", Value::Null),
    ] {
        examples.bad("event.empty", with(base, path, value));
    }
}

pub(super) fn sources(examples: &mut Examples) {
    let base = &of_app();
    let absent = || json!("absent");
    examples.row("app.data", base.clone(), without(base, "app_data"));
    for key in ["advertiser_tracking_enabled", "application_tracking_enabled"] {
        let path = &format!("app_data.{key}");
        let good = [json!(0), json!(1), json!(true)];
        examples.rows("app.flags", base, path, good, [absent(), json!(2), json!("1")]);
    }
    let slots = |change: fn(&mut Vec<Value>)| {
        let mut slots = base["app_data"]["extinfo"].as_array().expect("slots").clone();
        change(&mut slots);
        json!(slots)
    };
    examples.rows(
        "app.extinfo",
        base,
        "app_data.extinfo",
        [slots(|slots| slots[9] = json!(1080)), slots(|slots| slots[8] = Value::Null)],
        [
            absent(),
            json!("i2"),
            slots(|slots| drop(slots.pop())),
            slots(|slots| slots.push(json!(""))),
            slots(|slots| slots[8] = json!({})),
            slots(|slots| slots[8] = json!(true)),
        ],
    );
    examples.rows(
        "app.extinfo.version",
        base,
        "app_data.extinfo",
        [slots(|slots| slots[0] = json!("a2"))],
        [slots(|slots| slots[0] = json!("")), slots(|slots| slots[0] = Value::Null)],
    );
    examples.rows(
        "app.extinfo.os",
        base,
        "app_data.extinfo",
        [slots(|slots| slots[4] = json!("14"))],
        [slots(|slots| slots[4] = json!("")), slots(|slots| slots[4] = Value::Null)],
    );
    for key in [
        "install_referrer",
        "installer_package",
        "vendor_id",
        "windows_attribution_id",
        "receipt_data",
    ] {
        examples.rows("app.types", base, &format!("app_data.{key}"), [json!("x")], [json!(1)]);
    }
    for key in ["campaign_ids", "url_schemes"] {
        let good = [json!("x"), json!(["x", "y"])];
        examples.rows("app.types", base, &format!("app_data.{key}"), good, [json!(1)]);
    }
    for key in ["consider_views", "include_dwell_data", "include_video_data"] {
        examples.rows("app.types", base, &format!("app_data.{key}"), [json!(true)], [json!("x")]);
    }
    examples.row("app.keys", base.clone(), with(base, "app_data.colour", json!("red")));

    let base = &of_whatsapp();
    examples.row("messaging.channel", base.clone(), without(base, "messaging_channel"));
    let good = with(&purchase(), "messaging_channel", json!("messenger"));
    examples.row("messaging.channel.value", good, with(base, "messaging_channel", json!("sms")));
    for name in ["LeadSubmitted", "Purchase", "AddToCart", "InitiateCheckout", "ViewContent"] {
        examples.good("messaging.event", with(base, "event_name", json!(name)));
    }
    for name in ["Lead", "PageView", "purchase", "Own event"] {
        examples.bad("messaging.event", with(base, "event_name", json!(name)));
    }
    let channels: [(&str, &str, [&str; 2]); 3] = [
        ("messaging.whatsapp", "whatsapp", ["page_id", "ctwa_clid"]),
        ("messaging.messenger", "messenger", ["page_id", "page_scoped_user_id"]),
        ("messaging.instagram", "instagram", ["ig_account_id", "ig_sid"]),
    ];
    for (rule, channel, ids) in channels {
        let user = json!({ids[0]: "7", ids[1]: "8", "external_id": "9"});
        let event = of_conversation(channel, user);
        for id in ids {
            examples.row(rule, event.clone(), without(&event, &format!("user_data.{id}")));
        }
    }
    // The fault of the test is about this page.
    examples.row("messaging.page", base.clone(), with(base, "user_data.page_id", json!("666")));

    let base = &of_crm();
    examples.row("crm.name", base.clone(), without(base, "custom_data.lead_event_source"));
    examples.row("crm.source", base.clone(), with(base, "action_source", json!("chat")));
}

pub(super) fn attributions(examples: &mut Examples) {
    let base = &of_attribution();
    let absent = || json!("absent");
    let named = &with(base, "event_name", json!("Lead"));
    for key in ["event_name", "order_id", "event_id"] {
        let path = &format!("original_event_data.{key}");
        examples.rows("original.types", base, path, [json!("x"), absent()], [json!(1)]);
    }
    let path = "original_event_data.event_time";
    examples.rows("original.types", base, path, [absent()], [json!("today")]);
    examples.row("original.keys", base.clone(), with(base, "original_event_data.value", json!(1)));
    for key in [
        "scope",
        "ad_id",
        "adset_id",
        "campaign_id",
        "attribution_source",
        "touchpoint_type",
        "decline_reason",
        "auditing_token",
        "linkage_key",
        "touchpoint_id",
        "partner_client_id",
    ] {
        let path = &format!("attribution_data.{key}");
        examples.rows("attribution.texts", named, path, [json!("x"), absent()], [json!(1)]);
    }
    for key in ["attribution_share", "attribution_value", "total_credit"] {
        let path = &format!("attribution_data.{key}");
        examples.rows("attribution.numbers", named, path, [json!(0.5), absent()], [json!("1")]);
    }
    for key in ["visit_time", "attr_window", "touchpoint_ts"] {
        let path = &format!("attribution_data.{key}");
        examples.rows("attribution.numbers", named, path, [json!(7), absent()], [json!(0.5)]);
    }
    let path = "attribution_data.attribution_model";
    for model in [
        "customized_multi_touch",
        "first_touch",
        "last_click",
        "last_touch",
        "linear",
        "position_based",
        "time_decay",
        "unknown",
    ] {
        examples.rows("attribution.model", base, path, [json!(model)], [json!("LINEAR")]);
    }
    let path = "attribution_data.attribution_method";
    for method in ["ard", "deeplink", "gpir", "invalid_response", "mir", "srn"] {
        examples.rows("attribution.method", base, path, [json!(method)], [json!("guess")]);
    }
    let path = "attribution_data.attribution_setting";
    let good = [json!({"inactivity_window_hours": 1, "reattribution_window_hours": 2}), json!({})];
    let bad = [json!({"inactivity_window_hours": "1"}), json!({"hours": 1}), json!(1)];
    examples.rows("attribution.setting", base, path, good, bad);
    examples.row(
        "attribution.keys",
        base.clone(),
        with(base, "attribution_data.colour", json!("x")),
    );
    for key in ["ad_id", "touchpoint_ts", "attribution_share", "attribution_value"] {
        let path = &format!("attribution_data.{key}");
        examples.row("append.needs", without(named, path), without(base, path));
    }
    examples.bad("append.needs", without(base, "attribution_data"));
    examples.rows("append.original", base, "original_event_data", [], [absent(), json!({})]);
    examples.good("append.original", without(named, "original_event_data"));
    let hours = |hours: i64| json!(now() - hours * 3600);
    let path = "original_event_data.event_time";
    examples.rows("append.window", base, path, [hours(47)], [hours(49)]);
    examples.good("append.window", with(named, path, hours(49)));
}
