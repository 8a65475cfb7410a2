//! Examples of the request: path, token, encodings and what stands beside the events.

use serde_json::{Value, json};

use super::super::{DEMO_TOKEN, DIGEST, EDGE, PIXEL, purchase};
use super::{Call, Examples, of_app, with, without};

pub(super) fn requests(examples: &mut Examples) {
    let call = Call::path;
    examples.good("path.edge", call(EDGE));
    examples.bad("path.edge", Call { method: "GET", ..call(EDGE) });
    examples.bad("path.edge", call(&format!("/v25.0/{PIXEL}/activities")));
    for version in 21..=26 {
        examples.good("path.version.unknown", call(&format!("/v{version}.0/{PIXEL}/events")));
    }
    for path in ["v99.0/7/events", "25/7/events", "v25/7/events", "7/events"] {
        examples.bad("path.version.unknown", call(&format!("/{path}")));
    }
    for version in ["v20.0", "v3.0"] {
        let expired = call(&format!("/{version}/{PIXEL}/events"));
        examples.row("path.version.expired", call("/v21.0/7/events"), expired);
    }
    examples.row("path.pixel", call("/v26.0/42/events"), call("/v26.0/act_42/events"));
    examples.row("path.gateway", call("/capi/42/events"), call("/capi/nobody/events"));

    let data = json!([purchase()]).to_string();
    let token = ("access_token", DEMO_TOKEN);
    let proof = ("appsecret_proof", DIGEST);
    let bare = |call: Call| Call { token: None, ..call };
    let in_json =
        json!({"data": [purchase()], "access_token": DEMO_TOKEN, "appsecret_proof": DIGEST});
    let in_query = format!("{EDGE}?access_token={DEMO_TOKEN}&appsecret_proof={DIGEST}");
    examples.good("token", bare(call(&in_query)));
    examples.good("token", bare(Call::body(&in_json)));
    examples.good("token", bare(Call::form(&[("data", &data), token, proof])));
    examples.good("token", call(EDGE));
    examples.bad("token", bare(call(EDGE)));
    examples.bad("token", bare(Call::form(&[("data", &data), ("access_token", "wrong")])));
    examples.bad("token", Call { token: Some("wrong"), ..call(EDGE) });
    examples.bad("token", Call { token: Some(""), ..call(EDGE) });

    let says = |content_type: &str, body: &str| Call {
        content_type: content_type.to_owned(),
        ..Call::body(&body)
    };
    let good = json!({"data": [purchase()]}).to_string();
    let part = |name: &str, value: &str| {
        format!("--x-7\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let multipart = format!("{}{}--x-7--\r\n", part("data", &data), part("test_event_code", "T1"));
    examples.good("body.encoding", says("application/json; charset=utf-8", &good));
    examples.good("body.encoding", says("multipart/form-data; boundary=\"x-7\"", &multipart));
    examples.good("body.encoding", Call::form(&[("data", &data), ("test_event_code", "T1")]));
    examples.bad("body.encoding", says("text/plain", &good));
    examples.bad("body.encoding", says("", &good));
    examples.bad("body.encoding", says("multipart/form-data", &multipart));
    examples.bad("body.encoding", says("multipart/form-data; boundary=x-7", &part("data", &data)));
    examples.good("body.json", says("APPLICATION/JSON", &good));
    for body in ["{", "[]", "", "null", "data=[]"] {
        examples.bad("body.json", Call::body(body));
    }
    // As the vendor's Python SDK does.
    let wrapped = json!([purchase().to_string()]).to_string();
    examples.good("body.data", Call::form(&[("data", &wrapped)]));
    examples.good("body.data", Call::form(&[("data", &data)]));
    examples.bad("body.data", Call::form(&[("data", "[\"no event\"]")]));
    examples.bad("body.data", Call::form(&[("data", "no list")]));
    examples.bad("body.data", Call::form(&[("upload_tag", "x")]));
    for data in
        [json!({}), json!(data), json!(purchase()), json!([purchase().to_string()]), json!([7])]
    {
        examples.bad("body.data", Call::body(&json!({ "data": data })));
    }
    examples.bad("body.data", Call::body("{}"));
    let many = |count: usize| Call::body(&json!({"data": vec![purchase(); count]}));
    examples.row("body.limit", many(1000), many(1001));
    examples.row("body.limit", many(1), many(0));
    let bad = with(&purchase(), "user_data.em", json!("jo@example.com"));
    let few = |events: [&Value; 2]| Call::body(&json!({ "data": events }));
    examples.row(
        "body.atomic",
        few([&purchase(), &of_app()]),
        few([&purchase(), &without(&bad, "event_time")]),
    );

    let beside = |key: &str, value: Value| {
        let mut body = json!({"data": [purchase()]});
        body[key] = value;
        Call::body(&body)
    };
    for agent in ["a name that is too long", "x1", "1-2"] {
        let good = beside("partner_agent", json!("a name of 22 character"));
        examples.row("body.partner_agent", good, beside("partner_agent", json!(agent)));
    }
    for key in ["test_event_code", "namespace_id", "upload_id", "upload_tag", "upload_source"] {
        examples.row("body.texts", beside(key, json!("T1")), beside(key, json!(1)));
    }
    let rows = [
        ("platforms", json!([{"name": "shop"}]), json!(["shop"])),
        ("progress", json!({"done": 1}), json!("all")),
        ("trace", json!(7), json!(-7)),
    ];
    for (key, good, bad) in rows {
        let text = good.to_string();
        examples.good("body.generated", Call::form(&[("data", &data), (key, &text)]));
        examples.row("body.generated", beside(key, good), beside(key, bad));
    }
    examples.bad("body.generated", Call::form(&[("data", &data), ("trace", "seven")]));
    examples.row("body.keys", call(EDGE), beside("colour", json!("red")));
}
