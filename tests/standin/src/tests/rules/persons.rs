//! Examples of `user_data`.

use serde_json::{Value, json};

use super::super::{DIGEST, now, purchase};
use super::{DAY, Examples, with};
use crate::meta::DIGEST_OF_NOTHING;

pub(super) fn persons(examples: &mut Examples) {
    let base = &purchase();
    let user = |user: Value| with(&purchase(), "user_data", user);
    let digests = |keys: &[&str]| {
        let digests = keys.iter().map(|key| ((*key).to_owned(), json!(DIGEST)));
        user(Value::Object(digests.collect()))
    };
    let groups: [&[&str]; 4] = [
        &["ct", "country", "st", "zp", "ge", "client_user_agent"],
        &["db", "client_user_agent"],
        &["fn", "ge"],
        &["ln", "ge"],
    ];
    for group in groups {
        examples.row("user.identity", digests(&[group, &["em"]].concat()), digests(group));
        examples.row("user.identity", digests(&["fn", "ln"]), digests(&group[..1]));
    }
    // Members of two groups are enough.
    examples.good("user.identity", digests(&["db", "ge"]));
    examples.good("user.identity", user(json!({"client_ip_address": "203.0.113.7"})));
    examples.bad("user.identity", user(json!({})));
    for nothing in [json!(""), json!([]), json!([" "]), Value::Null, json!([DIGEST_OF_NOTHING])] {
        let broad = user(json!({"em": nothing, "ct": DIGEST}));
        examples.row("user.identity.empty", user(json!({"em": DIGEST, "ct": DIGEST})), broad);
        examples.bad("user.identity.empty", user(json!({ "external_id": nothing })));
    }
    let upper = DIGEST.to_uppercase();
    let appended = format!("{DIGEST}.AQQCAQIB");
    for key in ["em", "ph", "fn", "ln", "db", "ge", "ct", "st", "zp", "country"] {
        let path = &format!("user_data.{key}");
        examples.rows(
            "user.hashed",
            &with(base, "user_data.external_id", json!("4")),
            path,
            [json!(DIGEST), json!([DIGEST, appended])],
            [
                json!("jo@example.com"),
                json!(upper),
                json!(&DIGEST[..32]),
                json!([DIGEST, "jo"]),
                json!(""),
                json!(format!(" {DIGEST}")),
            ],
        );
        let bad = [json!([]), json!(7), json!([7]), json!({})];
        examples.rows("user.hashed.type", base, path, [json!([DIGEST])], bad);
        let nothing = [json!([DIGEST, DIGEST_OF_NOTHING])];
        examples.rows("user.hashed.nothing", base, path, [json!(DIGEST)], nothing);
    }
    for key in ["f5first", "f5last", "fi", "dobd", "dobm", "doby", "app_user_id"] {
        let path = &format!("user_data.{key}");
        examples.rows("user.hashed.single", base, path, [json!(DIGEST)], [json!("1997")]);
        examples.rows("user.hashed.type", base, path, [json!(DIGEST)], [json!([DIGEST])]);
    }
    for (good, bad) in [("AQ", "ABC"), ("AQQCAQIB", ""), ("_-", "AQQCAQI="), ("Bg", "AQ.AQ")] {
        let append = |appendix: &str| json!(format!("{DIGEST}.{appendix}"));
        examples.rows("user.hashed.appendix", base, "user_data.em", [append(good)], [append(bad)]);
    }
    examples.rows(
        "user.external_id",
        base,
        "user_data.external_id",
        [json!("a"), json!(["a", DIGEST])],
        [json!(42), json!([42]), json!([]), json!([""])],
    );
    examples.rows(
        "user.ip",
        base,
        "user_data.client_ip_address",
        [
            json!("203.0.113.7"),
            json!("2001:db8::7"),
            json!("203.0.113.7.AQ"),
            json!("2001:db8::7.AQQCAQIB"),
        ],
        [
            json!("203.0.113.7:443"),
            json!("[2001:db8::7]:443"),
            json!(" 203.0.113.7"),
            json!("203.0.113.7, 203.0.113.8"),
            json!("203.0.113"),
            json!("203.0.113.7.11"),
            json!("localhost"),
            json!(["203.0.113.7"]),
        ],
    );
    let ms = (now() - 3600) * 1000;
    let id = |text: String| json!(text);
    examples.rows(
        "user.fbc",
        base,
        "user_data.fbc",
        [
            id(format!("fb.1.{ms}.IwAR_x-9")),
            id(format!("fb.0.{ms}.IwAR.AQ")),
            id(format!("fb.9.{ms}.IwAR.AQQCAQIB")),
        ],
        [
            id(format!("fb.1.{ms}")),
            id(format!("fb.1.{ms}.")),
            id(format!("fb.1.{ms}.IwAR.ABC")),
            id(format!("fb.1.{ms}.fb.1.{ms}.IwAR")),
            id(format!("fb.1.{}.IwAR", ms / 1000)),
            id(format!("fb.10.{ms}.IwAR")),
            id(format!("fb.1.{ms}.Iw AR")),
            id("IwAR".to_owned()),
            json!(7),
        ],
    );
    let click = |seconds: i64| json!(format!("fb.1.{}.IwAR", (now() - 60 - seconds) * 1000));
    let path = "user_data.fbc";
    examples.rows("user.fbc.age", base, path, [click(90 * DAY - 60)], [click(90 * DAY + 60)]);
    let good = [click(1), click(-60)];
    examples.rows("user.fbc.future", base, path, good, [click(-2 * 3600)]);
    let old = (now() - 91 * DAY) * 1000;
    examples.rows(
        "user.fbp",
        base,
        "user_data.fbp",
        [id(format!("fb.1.{old}.2147483646")), id(format!("fb.2.{ms}.1.AQ"))],
        [id(format!("fb.1.{ms}.abc")), id("GA1.1.123.456".to_owned()), json!(7)],
    );
    examples.rows(
        "user.lead_id",
        base,
        "user_data.lead_id",
        [
            json!(123_456_789_012_345_i64),
            json!("1234567890123456"),
            json!(12_345_678_901_234_567_i64),
        ],
        [json!(12_345_678_901_234_i64), json!("123456789012345678"), json!("l:123456789012345")],
    );
    let good = [json!(12), json!("12")];
    examples.rows(
        "user.fb_login_id",
        base,
        "user_data.fb_login_id",
        good,
        [json!("x"), json!(1.5)],
    );
    for key in [
        "client_user_agent",
        "subscription_id",
        "anon_id",
        "madid",
        "page_id",
        "page_scoped_user_id",
        "ctwa_clid",
        "ig_account_id",
        "ig_sid",
        "whatsapp_business_account_id",
    ] {
        let path = &format!("user_data.{key}");
        let good = [json!("x"), json!("absent")];
        examples.rows("user.texts", base, path, good, [json!(7), json!(["x"])]);
    }
    examples.row("user.keys", base.clone(), with(base, "user_data.email", json!(DIGEST)));
}
