//! Each argument of the sidecar's functions in turn missing, unknown or out of range, in a call that would
//! otherwise do something: what is refused names the argument, and no error quotes a row.

use capi_tests::database::{Database, Session};
use capi_tests::shop::{buy, customer, track};

/// Stands in every text among the arguments: a row that an error quotes has it.
const MARK: &str = "qxargument";

/// What each argument is replaced by; a text only where one may stand.
const WRONG: [&str; 4] = ["null", "'EL'", "''", "-1"];

/// A call with its arguments, and what comes behind it.
struct Call {
    function: &'static str,
    arguments: Vec<String>,
    from: &'static str,
}

fn call(function: &'static str, arguments: &[&str], from: &'static str) -> Call {
    let arguments = arguments.iter().map(|argument| argument.replace('~', MARK)).collect();
    Call { function, arguments, from }
}

/// The number of the only event.
const EVENT: &str = "1";

const CLAIM: &str = "from capi.claim(1, 'qxargument', interval '1 minute', 100) c";

fn calls() -> Vec<Call> {
    let record = |decision, rest: [&'static str; 8]| {
        let mut arguments =
            vec!["c.batch", "c.token", "c.attempt", "400", "'~'", "'~'", "'{\"~\": 1}'"];
        arguments.push(decision);
        arguments.extend(rest);
        call("record", &arguments, CLAIM)
    };
    vec![
        call("claim", &["1", "'~'", "interval '1 minute'", "100"], ""),
        record(
            "'each'",
            ["c.events", "'{refused}'", "'{~}'", "'{}'", "interval '0'", "null", "'{}'", "false"],
        ),
        record(
            "'each'",
            [
                "c.events",
                "'{delivered}'",
                "'{null}'",
                "'{}'",
                "interval '0'",
                "null",
                "'{}'",
                "false",
            ],
        ),
        record(
            "'retry'",
            ["'{}'", "'{}'", "'{}'", "c.events", "interval '1 s'", "null", "'{}'", "true"],
        ),
        record(
            "'accepted'",
            ["'{}'", "'{}'", "'{}'", "'{}'", "interval '1 s'", "'~'", "c.events", "false"],
        ),
        record(
            "'blocked'",
            ["'{}'", "'{}'", "'{}'", "c.events", "interval '1 s'", "null", "'{}'", "true"],
        ),
        call("release", &["c.batch", "c.token"], CLAIM),
        call("test_open", &["1", EVENT, "'~'"], ""),
        call(
            "test_close",
            &["t.attempt", "'each'", "200", "'~'", "'~'", "'{\"~\": 1}'"],
            "from capi.test_open(1, 1, 'qxargument') t",
        ),
        call("audience_open", &["'buyers'", "'~'"], ""),
        call(
            "audience_batch",
            &["s.sync", "'add'", "null", "10"],
            "from capi.audience_open('buyers', 'qxargument') s",
        ),
        call(
            "audience_record",
            &["s.sync", "'add'", "'{00000000-0000-0000-0000-000000000001}'", "0", "200", "'~'"],
            "from capi.audience_open('buyers', 'qxargument') s",
        ),
        call(
            "audience_close",
            &["s.sync", "'~'", "400", "'~'"],
            "from capi.audience_open('buyers', 'qxargument') s",
        ),
        call("unblock", &["1", "1", "'~'"], ""),
        call("hasten", &["1"], ""),
        call("alert_told", &["1", "'~'", "false"], ""),
        finding("none"),
        finding("kind"),
        finding("subject"),
        finding("step"),
        finding("detail"),
    ]
}

/// An alert, sound but for this field, which `@` stands for.
fn finding(field: &'static str) -> Call {
    let value = |name: &str, sound: &'static str| if name == field { "@" } else { sound };
    let text = format!(
        r#"'[{{"kind": {}, "subject": {}, "step": {}, "detail": {}}}]'"#,
        value("kind", r#""backlog""#),
        value("subject", r#""~""#),
        value("step", r#""~""#),
        value("detail", r#"{"~": 1}"#),
    );
    call("alert_note", &[&text], "")
}

/// The statements of a call: as it is, and with each argument replaced.
fn statements(call: &Call) -> Vec<String> {
    let whole = |arguments: &[String]| {
        format!(
            "select * from (select capi.{}({}) {}) x",
            call.function,
            arguments.join(", "),
            call.from
        )
    };
    if let Some(argument) = call.arguments.iter().find(|argument| argument.contains('@')) {
        return ["null", "\"EL\"", "\"\"", "-1", "[1]"]
            .iter()
            .map(|wrong| whole(&[argument.replace('@', wrong)]))
            .collect();
    }
    let mut all = vec![whole(&call.arguments)];
    for place in 0..call.arguments.len() {
        for wrong in WRONG {
            let mut arguments = call.arguments.clone();
            wrong.clone_into(&mut arguments[place]);
            all.push(whole(&arguments));
        }
    }
    all
}

async fn prepared() -> (Database, Session) {
    let shop = Database::adopted().await;
    track(&shop, "https://graph.example.com").await;
    let somebody = customer(&shop).await;
    buy(&shop, somebody).await;
    shop.run(
        "create view shop.people as select id::text as external_id, email, true as consent from shop.customers;
        alter view shop.people owner to shop_owner;
        select capi.create_audience('buyers', 'meta-eu', 'shop.people', '{\"audience_id\": \"1234\"}');
        select capi.resume('meta-eu');
        select capi.alert_note('[{\"kind\": \"sweep\", \"subject\": \"shop.orders\", \"step\": \"late\"}]');
        create role hx_sidecar login in role capi_sidecar",
    )
    .await;
    assert_eq!(shop.column("select id::text from capi.outbox").await, [EVENT]);
    let sidecar = shop.connect_as("hx_sidecar").await;
    (shop, sidecar)
}

#[tokio::test]
async fn a_wrong_argument_of_the_sidecar_is_named_and_no_row_is_quoted() {
    let (_shop, sidecar) = prepared().await;
    let mut wrong = Vec::new();
    for call in calls() {
        let (mut done, mut first) = (0, None);
        for statement in statements(&call) {
            sidecar.run("begin").await;
            match sidecar.ask(&statement).await {
                Ok(_) => done += 1,
                Err(refusal) => {
                    let told = format!("{refusal:?}");
                    first.get_or_insert_with(|| told.clone());
                    // Types are compared by Postgres itself, before the function is called.
                    let is_ours = !["22P02", "42883", "42804", "22007", "42725"]
                        .contains(&refusal.code.as_str());
                    if told.contains(MARK)
                        || told.contains("failing row")
                        || is_ours && refusal.hint.is_empty()
                    {
                        wrong.push(format!("{statement}: {told}"));
                    }
                }
            }
            sidecar.run("rollback").await;
        }
        assert!(
            done > 0 || call.arguments[0].contains('@'),
            "capi.{} was always refused: {first:?}",
            call.function
        );
    }
    assert!(wrong.is_empty(), "{} of them: {wrong:#?}", wrong.len());
}
