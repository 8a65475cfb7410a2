//! The vectors of `core` through SQL: both halves give the same answer on every row.

#[path = "../../core/vectors/mapping.rs"]
mod mapping;

use capi_core::identity::Context;
use capi_core::identity::rules::{FieldValue, normalize_field};
use capi_tests::database::Database;
use mapping::Subject;
use serde::Deserialize;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, Statement};

const FILES: [&str; 2] = [
    include_str!("../../core/vectors/meta-vectors.jsonl"),
    include_str!("../../core/vectors/platform-vectors.jsonl"),
];

#[derive(Deserialize)]
struct Vector {
    platform: Option<String>,
    field: String,
    input: String,
    sha256: Option<String>,
}

/// `capi.normalize` and `capi.digest`, prepared once.
struct Functions<'a> {
    client: &'a Client,
    normalize: Statement,
    digest: Statement,
}

impl<'a> Functions<'a> {
    async fn of(client: &'a Client) -> Self {
        let normalize = client.prepare("select capi.normalize($1, $2, $3, $4)");
        let digest = client.prepare("select capi.digest($1, $2, $3, $4)");
        let normalize = normalize.await.expect("the function is there");
        let digest = digest.await.expect("the function is there");
        Self { client, normalize, digest }
    }

    /// What SQL makes of a value: its text and its digest, or the error of either.
    async fn answer(
        &self,
        field: &str,
        value: &str,
        platform: &str,
        country: Option<&str>,
    ) -> [Result<Option<String>, SqlState>; 2] {
        let mut answers = [const { Ok(None) }; 2];
        for (answer, statement) in answers.iter_mut().zip([&self.normalize, &self.digest]) {
            let row =
                self.client.query_one(statement, &[&field, &value, &platform, &country]).await;
            *answer = row.map(|row| row.get(0)).map_err(|error| code(&error));
        }
        answers
    }
}

fn code(error: &Error) -> SqlState {
    error.code().expect("the server answers").clone()
}

/// What Rust makes of a value, in the same words.
fn ours(
    field: &str,
    value: &str,
    platform: &str,
    country: Option<&str>,
) -> [Result<Option<String>, SqlState>; 2] {
    let context = Context { country, ..Context::default() };
    let value = normalize_field(field, value, platform, &context).ok();
    let digest = if capi_core::identity::rules::is_hashed(field, platform) {
        let digest = value.as_ref().and_then(|value| value.digest().ok());
        Ok(digest.map(|digest| digest.as_str().to_owned()))
    } else {
        Err(SqlState::INVALID_PARAMETER_VALUE)
    };
    [Ok(value.map(FieldValue::into_string)), digest]
}

#[tokio::test]
async fn sql_and_rust_agree_on_every_vector() {
    let mut database = Database::adopted().await;
    let functions = Functions::of(database.driver()).await;
    let mut rows = 0;
    let mut wrong = Vec::new();
    for line in FILES.iter().flat_map(|file| file.lines()) {
        let vector: Vector = serde_json::from_str(line).expect("a vector");
        let platform = mapping::platform(vector.platform.as_deref());
        let input = &vector.input;
        rows += 1;
        let (field, expected) = match mapping::subject(&vector.field) {
            Subject::Field(field) => (field, None),
            // Nothing is left to normalise, so that hashing alone is what is seen.
            Subject::Hash => {
                let digest = Ok(vector.sha256.clone());
                ("external_id", Some([Ok(Some(input.clone())), digest]))
            }
            Subject::NoField => {
                let refused = Err(SqlState::INVALID_PARAMETER_VALUE);
                (vector.field.as_str(), Some([refused.clone(), refused]))
            }
        };
        for country in [None, Some("de")] {
            let expected = match &expected {
                Some(expected) => expected.clone(),
                // Postgres' texts hold no zero byte; no such value reaches a rule.
                None if input.contains('\0') => {
                    [const { Err(SqlState::CHARACTER_NOT_IN_REPERTOIRE) }; 2]
                }
                None => ours(field, input, platform, country),
            };
            let answers = functions.answer(field, input, platform, country).await;
            if answers != expected {
                wrong.push(format!("{platform} {field} {input:?}: {answers:?}, not {expected:?}"));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert_eq!(rows, FILES.iter().map(|file| file.lines().count()).sum::<usize>());
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
