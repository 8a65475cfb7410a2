//! The vectors of `core` through SQL: both halves give the same answer on every row.

use capi_core::identity::{Context, Identifier, Normalized, normalize};
use capi_tests::database::Database;
use serde::Deserialize;

const FILES: [&str; 2] = [
    include_str!("../../core/vectors/meta-vectors.jsonl"),
    include_str!("../../core/vectors/platform-vectors.jsonl"),
];

#[derive(Deserialize)]
struct Vector {
    platform: Option<String>,
    field: String,
    input: String,
}

/// Field and platform in the project's words, where it has them.
fn known(vector: &Vector) -> Option<(Identifier, &'static str)> {
    let platform = match vector.platform.as_deref().unwrap_or("meta") {
        "google_data_manager" => "google_ads",
        "ga4_mp" => "ga4",
        "microsoft_uet" => "microsoft",
        name => name,
    };
    let platform = *capi_core::identity::PLATFORMS.iter().find(|known| **known == platform)?;
    let field = match vector.field.as_str() {
        "em" => "email",
        "ph" => "phone",
        "fn" | "given_name" => "first_name",
        "ln" | "family_name" => "last_name",
        "ge" => "gender",
        "db" => "date_of_birth",
        "ct" => "city",
        "st" | "region_code" => "state",
        "zp" | "postal_code" => "zip",
        name => name,
    };
    Some((Identifier::parse(field)?, platform))
}

#[tokio::test]
async fn sql_and_rust_agree_on_every_vector() {
    let mut database = Database::adopted().await;
    let statement = "select capi.normalize($1, $2, $3, $4), capi.digest($1, $2, $3, $4)";
    let client = database.driver();
    let statement = client.prepare(statement).await.expect("both functions are there");
    let mut rows = 0;
    let mut wrong = Vec::new();
    for line in FILES.iter().flat_map(|file| file.lines()) {
        let vector: Vector = serde_json::from_str(line).expect("a vector");
        let Some((identifier, platform)) = known(&vector) else { continue };
        // Postgres' texts hold no zero byte.
        if vector.input.contains('\0') {
            continue;
        }
        for country in [None, Some("de")] {
            let context = Context { country, ..Context::default() };
            let ours = normalize(identifier, &vector.input, platform, &context).ok();
            let digest = ours.as_ref().map(|form| form.digest().as_str().to_owned());
            let text = ours.map(Normalized::into_string);
            let field = identifier.as_str();
            let row = client
                .query_one(&statement, &[&field, &vector.input, &platform, &country])
                .await
                .expect("no vector raises an error");
            let sql: (Option<String>, Option<String>) = (row.get(0), row.get(1));
            rows += 1;
            if sql != (text.clone(), digest.clone()) {
                wrong.push(format!("{platform} {field} {:?}: {sql:?}", vector.input));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert!(rows > 5_000, "only {rows} rows");
}

#[tokio::test]
async fn what_capture_stores_is_what_the_functions_say() {
    let shop = capi_tests::shop::tracked_shop().await;
    shop.run("call shop.trade(200)").await;
    let fields = ["email", "phone", "first_name", "last_name", "city", "country"];
    for field in fields {
        let differences = shop
            .count(&format!(
                "select count(*) from capi.outbox o
                join shop.orders s on o.key = s.id::text and o.event_name = 'Purchase'
                join shop.customers c on c.id = s.customer_id
                where o.refused = '{{}}'
                    and (o.identity #>> '{{{field},0}}') is distinct from
                        capi.digest('{field}', c.{field}, 'meta', capi.normalize('country', c.country))"
            ))
            .await;
        assert_eq!(differences, 0, "{field}");
    }
    assert!(capi_tests::shop::captured(&shop).await > 100);
}

#[tokio::test]
async fn nulls_and_unknown_words_are_answered() {
    let database = Database::adopted().await;
    assert_eq!(database.get("select capi.digest('email', null) is null").await, "t");
    assert_eq!(database.get("select capi.digest('email', '  ') is null").await, "t");
    let refusal = database.refused("select capi.digest('emial', 'secret@example.com')").await;
    assert_eq!((refusal.code.as_str(), refusal.hint.as_str()), ("22023", "Did you mean email?"));
    assert!(!format!("{refusal:?}").contains("secret"), "{refusal:?}");
    let refusal = database.refused("select capi.digest('email', 'a@example.com', 'myspace')").await;
    assert!(refusal.hint.starts_with("Known are: meta"), "{refusal:?}");
}
