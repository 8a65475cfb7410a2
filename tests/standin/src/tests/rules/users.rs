//! Examples of changes of custom audiences, and what they come to.

use serde_json::{Value, json};

use super::super::{DEMO_TOKEN, DIGEST, Local};
use super::{Call, Examples, with, without};

const EDGE: &str = "/v26.0/6001/users";

/// Another digest for each letter of `a` to `f`.
fn digest(letter: &str) -> String {
    letter.repeat(64)
}

fn change(session: u64, data: &Value) -> Value {
    json!({
        "payload": {"schema": ["EMAIL", "FN", "LOOKALIKE_VALUE"], "data": data},
        "session": {"session_id": session, "batch_seq": 1, "last_batch_flag": true,
            "estimated_num_total": 1},
    })
}

fn one(session: u64) -> Value {
    change(session, &json!([[DIGEST, "", 44.5]]))
}

fn call(body: &Value) -> Call {
    Call { path: EDGE.to_owned(), ..Call::body(body) }
}

pub(super) fn users(examples: &mut Examples) {
    let to = |path: &str, session| Call { path: path.to_owned(), ..Call::body(&one(session)) };
    examples.row("users.audience", to("/v26.0/7/users", 1), to("/v26.0/act_7/users", 2));
    let token = |token| Call { token, ..call(&one(3)) };
    examples.row("users.token", token(Some(DEMO_TOKEN)), token(Some("wrong")));
    examples.bad("users.token", token(None));

    let form = json!({"schema": "EMAIL_SHA256", "data": [DIGEST]}).to_string();
    let session = json!({"session_id": "4", "batch_seq": 1, "last_batch_flag": true}).to_string();
    let fields = [("payload", form.as_str()), ("session", session.as_str())];
    examples.good("users.payload", Call { path: EDGE.to_owned(), ..Call::form(&fields) });
    examples.good("users.payload", call(&with(&one(5), "payload.is_raw", json!(true))));
    for bad in [
        without(&one(6), "payload"),
        with(&one(6), "payload", json!([])),
        without(&one(6), "payload.schema"),
        without(&one(6), "payload.data"),
        with(&one(6), "payload.is_raw", json!("yes")),
    ] {
        examples.bad("users.payload", call(&bad));
    }
    examples.good("users.keys", call(&with(&one(7), "namespace", json!("crm"))));
    for path in ["data", "payload.datas", "session.total"] {
        examples.bad("users.keys", call(&with(&one(8), path, json!(1))));
    }
    let schema = |session, schema: Value, row: Value| {
        let body = with(&change(session, &json!([row])), "payload.schema", schema);
        call(&body)
    };
    let all = json!([
        "EMAIL",
        "PHONE",
        "GEN",
        "DOBY",
        "DOBM",
        "DOBD",
        "LN",
        "FN",
        "FI",
        "CT",
        "ST",
        "ZIP",
        "COUNTRY",
        "MADID",
        "EXTERN_ID",
        "PAGEUID",
        "LOOKALIKE_VALUE"
    ]);
    let mut row = vec![json!(""); 16];
    row.push(json!(0));
    row[0] = json!(DIGEST);
    examples.good("users.schema", schema(9, all, json!(row)));
    examples.good("users.schema", schema(10, json!("PHONE_SHA256"), json!(DIGEST)));
    for bad in [
        json!(["email"]),
        json!("EMAIL"),
        json!([]),
        json!({}),
        json!(["EMAIL", "EMAIL", "FN"]),
        json!(["LOOKALIKE_VALUE"]),
    ] {
        examples.bad("users.schema", schema(11, bad, json!([DIGEST, "", 1])));
    }
    let many = |session, rows: usize| change(session, &json!(vec![json!([DIGEST, "", 1]); rows]));
    examples.row("users.limit", call(&many(12, 10_000)), call(&many(13, 10_001)));
    examples.bad("users.limit", call(&many(13, 0)));
    examples.good("users.rows", call(&one(14)));
    for bad in [json!([DIGEST]), json!([[DIGEST, ""]]), json!([{"EMAIL": DIGEST}]), json!("x")] {
        examples.bad("users.rows", call(&change(15, &bad)));
    }
    examples.good("users.session", call(&without(&one(16), "session.estimated_num_total")));
    for bad in [
        without(&one(17), "session"),
        without(&one(17), "session.session_id"),
        without(&one(17), "session.batch_seq"),
        without(&one(17), "session.last_batch_flag"),
        with(&one(17), "session.session_id", json!(0)),
        with(&one(17), "session.session_id", json!(u64::MAX)),
        with(&one(17), "session.batch_seq", json!(0)),
        with(&one(17), "session.last_batch_flag", json!("true")),
        with(&one(17), "session.estimated_num_total", json!(-1)),
    ] {
        examples.bad("users.session", call(&bad));
    }
    let turn = |id: u64, sequence: u64, last: bool| {
        let body = with(&one(id), "session.batch_seq", json!(sequence));
        call(&with(&body, "session.last_batch_flag", json!(last)))
    };
    examples.good("users.session.order", turn(18, 1, false));
    examples.good("users.session.order", turn(18, 2, true));
    examples.good("users.session.order", turn(19, 1, false));
    for bad in [turn(18, 3, true), turn(19, 1, false), turn(19, 3, false), turn(20, 2, true)] {
        examples.bad("users.session.order", bad);
    }
    examples.good("users.session.change", turn(21, 1, false));
    examples.bad("users.session.change", Call { method: "DELETE", ..turn(21, 2, true) });
    // A later clock makes the bad example; the test below moves it.
    examples.good("users.session.age", turn(22, 1, false));
    examples.bad("users.session.age", turn(22, 1, false));
}

#[tokio::test]
async fn a_session_lasts_90_minutes() {
    let local = Local::default();
    let part = |sequence: u64| with(&one(1), "session.batch_seq", json!(sequence));
    let open = |body: Value| with(&body, "session.last_batch_flag", json!(false));
    assert_eq!(local.post(EDGE, &open(part(1))).await.0, 200);
    local.state.advance_clock(89 * 60);
    assert_eq!(local.post(EDGE, &open(part(2))).await.0, 200);
    local.state.advance_clock(2 * 60);
    let (status, answer) = local.post(EDGE, &open(part(3))).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(100)));
}

#[tokio::test]
async fn wrong_rows_are_counted_and_the_others_taken() {
    let local = Local::default();
    let nothing = super::super::super::meta::DIGEST_OF_NOTHING;
    let rows = json!([
        [DIGEST, digest("a"), 1],
        ["", digest("a"), 0],
        [digest("a").to_uppercase(), "", 1],
        ["erika@example.com", "", 1],
        [nothing, "", 1],
        ["", "", 1],
        [digest("b"), "", -1],
        [digest("b"), "", "12"],
        [null, digest("a"), 1],
    ]);
    let (status, answer) = local.post(EDGE, &change(77, &rows)).await;
    assert_eq!(status, 200);
    assert_eq!(answer["num_received"], 9);
    assert_eq!(answer["num_invalid_entries"], 7);
    assert_eq!((&answer["audience_id"], &answer["session_id"]), (&json!("6001"), &json!("77")));
    let shown = local.get("/_standin/audiences").await;
    assert_eq!(shown["6001"]["members"], 2);
    let requests = local.get("/_standin/requests").await;
    assert_eq!(requests["requests"][0]["path"], EDGE);
}

#[tokio::test]
async fn a_removal_finds_whoever_has_one_of_its_identifiers() {
    let local = Local::default();
    let people = |session: u64, rows: Value| {
        let body = change(session, &rows);
        with(&body, "payload.schema", json!(["EMAIL", "PHONE"]))
    };
    let (a, b, c, d) = (digest("a"), digest("b"), digest("c"), digest("d"));
    let add = people(1, json!([[a, b], ["", c], [d, ""], [a, b]]));
    assert_eq!(local.post(EDGE, &add).await.0, 200);
    assert_eq!(
        local.get("/_standin/audiences").await["6001"]["members"],
        3,
        "added twice, in once"
    );
    let removal = people(2, json!([["", b], [c, ""]]));
    let removal = Call { method: "DELETE", ..call(&removal) };
    assert_eq!(local.call(removal.request()).await.0, 200);
    let left = local.get("/_standin/audiences").await;
    let rows = json!([{"EMAIL": "", "PHONE": c}, {"EMAIL": d, "PHONE": ""}]);
    assert_eq!(left["6001"]["rows"], rows);
    assert_eq!(left["6001"]["rows_removed"], 2);
}
