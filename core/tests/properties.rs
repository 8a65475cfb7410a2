//! The laws of every parser on values that look like those of its field.

mod laws;

use capi_core::identity::rules::BOOK;
use capi_core::identity::{Context, DateOrder, HashedPhone, Identifier};
use capi_core::time::Timestamp;
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};
use proptest::strategy::BoxedStrategy;
use proptest::test_runner::Config;
use serde_json::Value;

fn one_of(words: &[&'static str]) -> BoxedStrategy<String> {
    prop::sample::select(words.to_vec()).prop_map(str::to_owned).boxed()
}

/// Values of a field, most of which its rule accepts.
fn values(identifier: Identifier) -> BoxedStrategy<String> {
    match identifier {
        Identifier::Email => "[ ]?[A-Za-zÀ-ž0-9.+_'-]{1,12}@([a-z0-9-]{1,8}\\.|gmail\\.|[À-ž]{2}\\.){1,2}(com|de|co\\.uk)".boxed(),
        Identifier::Phone => prop_oneof![
            "(\\+|00)(1|33|44|49|39|81|55|52|54|7|65|380)[ -]?[0-9]{2,4}[0-9 ()./-]{5,10}( ?(ext|x|#) ?[0-9]{1,4})?",
            "0?[0-9]{2,4}[ ./-]?[0-9]{3,4}[ ./-]?[0-9]{2,5}",
            "1-8(00|77)-[A-Z]{5,9}",
        ]
        .boxed(),
        Identifier::FirstName | Identifier::LastName => prop_oneof![
            "[\\p{L}\\p{M}'’´ʼʻ−. -]{1,16}",
            "[Α-Ωα-ως '-]{1,16}",
            "((Mr|Mrs|Ms|Dr)\\.[ ]?){0,3}[A-Za-zÀ-ž '-]{0,12}(,? (Jr\\.?|Sr|III|PhD|2nd)){0,3}",
        ]
        .boxed(),
        Identifier::Gender => one_of(&["f", "F", " female", "Male\t", "m", "w", "ＭＡＬＥ", "x"]),
        Identifier::DateOfBirth => prop_oneof![
            "(18|19|20)[0-9]{2}[-/. ]?[01]?[0-9][-/. ]?[0-3]?[0-9]( 00:00:00)?",
            "[0-3]?[0-9][-/. ][0-3]?[0-9][-/. ](19|20)[0-9]{2}",
        ]
        .boxed(),
        Identifier::City => "[\\p{L}\\p{M} .'-]{1,14}[ -]?(94105|75001|[0-9]{0,5})".boxed(),
        Identifier::State => prop_oneof![
            one_of(&["California", "US-CA", "Québec", "ca-qc", "West Virginia, USA", "D.C.", "PR"]),
            "[\\p{L} '-]{1,14}(, ?(USA|Canada|CA))?",
        ]
        .boxed(),
        Identifier::Zip => prop_oneof![
            "[0-9]{5}([ –-]?[0-9]{4})?",
            "[A-Za-z0-9]{1,5}[ –-]?[A-Za-z0-9]{0,5}",
        ]
        .boxed(),
        Identifier::Country => prop_oneof![
            "[A-Za-z]{2,3}",
            one_of(&["USA", "the Netherlands", "Côte d'Ivoire", "Korea (Republic of)", "ENGLAND", "Türkiye"]),
        ]
        .boxed(),
        Identifier::ExternalId => prop_oneof!["[!-~]{1,40}", "[ A-Za-z0-9:|/_-]{1,90}", "\\PC{1,20}"].boxed(),
    }
}

/// Values of a field that travels in clear.
fn clear_values() -> BoxedStrategy<String> {
    prop_oneof![
        "fb\\.[0-9]\\.(16|17)[0-9]{11}\\.[A-Za-z0-9_-]{1,30}(\\.(AQ|AQQCAQIB))?",
        "fb\\.[0-9]\\.(16|17)[0-9]{11}\\.[0-9]{1,12}",
        "[A-Za-z0-9_.~-]{1,40}",
        "[ ]?([0-9]{1,3}\\.){3}[0-9]{1,3}(:[0-9]{1,5}|/[0-9]{1,2})?(, ([0-9]{1,3}\\.){3}[0-9]{1,3})?",
        "\\[?([0-9a-f]{0,4}:){2,7}[0-9a-f]{1,4}(\\]:[0-9]{1,5}|%eth0|/64)?",
        "[A-Za-z]{3}",
        "[+-]?[0-9]{0,9}(\\.[0-9]{0,4})?",
        "[0-9]{13,18}",
        "Mozilla/5\\.0 \\([ -~]{0,20}\\)",
        any::<String>(),
    ]
    .boxed()
}

fn context() -> impl Strategy<Value = Context<'static>> {
    let country = prop::sample::select(vec![
        None,
        Some("us"),
        Some("ca"),
        Some("fr"),
        Some("de"),
        Some("gb"),
        Some("it"),
        Some("jp"),
        Some("ar"),
        Some("br"),
        Some("mx"),
        Some("sg"),
        Some("au"),
        Some("ru"),
        Some("zz"),
    ]);
    let zip = prop::sample::select(vec![None, Some("94105-1234"), Some("75001"), Some("-")]);
    let order = prop::sample::select(vec![None, Some("dmy"), Some("mdy"), Some("ymd")]);
    let plus = any::<bool>();
    let click =
        prop_oneof![Just(None), (1_600_000_000_000_000..1_800_000_000_000_000_i64).prop_map(Some)];
    let later = 0..100 * 86_400_000_000_i64;
    (country, zip, order, plus, click, later).prop_map(
        |(country, zip, order, plus, click, later)| Context {
            country,
            zip,
            date_order: order.and_then(DateOrder::parse),
            hashed_phone: if plus { HashedPhone::Plus } else { HashedPhone::Digits },
            clicked_at: click.map(Timestamp),
            event_time: click.map(|click| Timestamp(click + later)),
            ..Context::default()
        },
    )
}

fn json_value() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        prop::sample::select(vec!["granted", "no", "", "pending", "1", " YES "])
            .prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
        any::<String>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
    ];
    let name = prop_oneof!["(meta|tiktok|\\*|ga4|!meta| Meta )", "\\PC{0,6}"];
    let words = prop::collection::btree_map(name, word.clone(), 0..4)
        .prop_map(|map| Value::Object(map.into_iter().collect()));
    prop_oneof![word, words]
}

macro_rules! identifier_laws {
    ($($name:ident: $identifier:ident,)*) => {
        proptest! {
            #![proptest_config(Config::with_cases(600))]
            $(
                #[test]
                fn $name(
                    value in prop_oneof![4 => values(Identifier::$identifier), 1 => any::<String>()],
                    context in context(),
                ) {
                    laws::identifier(Identifier::$identifier, &value, &context);
                }
            )*
        }
    };
}

identifier_laws! {
    email: Email,
    phone: Phone,
    first_name: FirstName,
    last_name: LastName,
    gender: Gender,
    date_of_birth: DateOfBirth,
    city: City,
    state: State,
    zip: Zip,
    country: Country,
    external_id: ExternalId,
}

proptest! {
    #![proptest_config(Config::with_cases(1_000))]

    #[test]
    fn clear_fields(value in clear_values(), context in context()) {
        let fields = BOOK.iter().filter(|rule| rule.identifier().is_none()).flat_map(|r| r.fields);
        for field in fields {
            laws::clear_field(field, &value, &context);
        }
    }

    #[test]
    fn countries(value in prop_oneof![values(Identifier::Country), any::<String>()]) {
        laws::country(&value);
    }

    #[test]
    fn web_requests(
        value in prop_oneof![
            "[?&]?(_fbp|_fbc|fbclid|_ga|_ga_A|_gcl_aw|_ttp|gclid)=[A-Za-z0-9.%$_-]{0,40}",
            any::<String>(),
        ],
        at in 0..4_000_000_000_000_000_i64,
    ) {
        laws::web_request(&value, Timestamp(at));
    }

    #[test]
    fn currencies(value in prop_oneof!["[ ]?[A-Za-z]{3}", any::<String>()]) {
        laws::currency(&value);
    }

    #[test]
    fn amounts(value in prop_oneof!["[ +-]?[0-9]{0,40}(\\.[0-9]{0,30})?", any::<String>()]) {
        laws::amount(&value);
    }

    #[test]
    fn timestamps(
        value in prop_oneof![
            "[0-9]{4}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-5][0-9]:[0-6][0-9](\\.[0-9]{1,9})?(Z|[+-][0-2][0-9]:[0-5][0-9])",
            any::<String>(),
        ],
    ) {
        laws::timestamp(&value);
    }

    #[test]
    fn consents(value in json_value()) {
        laws::consent(&value);
    }

    #[test]
    fn digests(value in prop_oneof!["[ ]?[0-9a-fA-F]{64}(\\.([A-Za-z0-9_-]{2}|[A-Za-z0-9_-]{8}))?", any::<String>()]) {
        laws::recognised(&value);
    }
}

/// The strategies above must reach the rules: a law about nothing holds always.
#[test]
fn most_values_are_accepted() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for identifier in Identifier::ALL {
        let strategy = values(identifier);
        let context = Context { country: Some("us"), ..Context::default() };
        let accepted = (0..400)
            .filter(|_| {
                let value = strategy.new_tree(&mut runner).expect("a value").current();
                capi_core::identity::normalize(identifier, &value, "meta", &context).is_ok()
            })
            .count();
        assert!(accepted > 40, "{identifier:?}: only {accepted} of 400");
    }
}
