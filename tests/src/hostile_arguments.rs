//! The search among arguments: every function of the library and the schema, as whoever may call it and
//! as whoever may not, with arguments that nobody means well.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::chance::Chance;
use crate::database::{Database, Session, Trouble, quoted};

/// Stands in every address among the arguments and nowhere else.
pub const MARK: &str = "qxhostile";

/// What makes the odd relations, and somebody for every right.
const PLACE: &str = r#"
create schema hostile authorization shop_owner;
grant usage on schema hostile to public;
set role shop_owner;
create domain hostile.positive as integer check (value > 0);
create type hostile.pair as (a integer, b text);
create table hostile.odd ("o'dd ""name"" 😀" integer[], b hostile.positive, c hostile.pair, d json, e tsrange, f bytea, g "char", h numeric);
insert into hostile.odd values ('[3:4]={1,null}', 1, row(1, 'x'), '{"a": "\ud83d"}', 'empty', '\x00', 'x', 'NaN');
create view hostile."Vi""ew 😀" as select * from hostile.odd;
create table hostile.empty ();
insert into hostile.empty default values;
create view hostile.wrong as select 'x'::text as id, 7 as event_name, array[1, 2] as event_id, 'infinity'::timestamptz as event_time,
    null::text as action_source, '{"a": [[[1]]]}'::jsonb as browser, 'NaN'::numeric as value, '€' as currency, array[[true], [false]] as consent,
    array['qxhostile1@example.com', null] as email;
create view hostile.plenty as select o.id, 'Purchase' as event_name, 'plenty-' || o.id as event_id, o.paid_at as event_time, 'website' as action_source,
    1e300::float8 as value, 'EUR' as currency, true as consent, array(select 'qxhostile' || g || '@example.com' from generate_series(1, 2000) g) as email,
    repeat('é', 100000) as search_string, '-infinity'::timestamptz as fbclid_at from shop.orders o;
create view hostile.people as select 'qxhostile2@example.com' as email, '+49 30 1234567' as phone;
grant select on all tables in schema hostile to public;
reset role;
create role hx_page login;
create role hx_tenant login;
create role "hx ""quoted"" 😀" login;
select capi.set_tenant('shop.orders', 'shop-a'), capi.grant_tenant('hx_tenant', 'shop-a'), capi.allow_page('hx_page');
select capi.create_emitter('carts', destinations => '{meta-eu}');
select capi.create_destination('ga4', platform => 'ga4', settings => '{"measurement_id": "G-ABC123"}', credential => 'GA4_TOKEN');
select capi.create_audience('buyers', 'meta-eu', 'hostile.people', '{"audience_id": "1234"}');
"#;

/// Who calls; the superuser is never one of them.
const ROLES: [&str; 12] = [
    "capi_owner",
    "capi_sidecar",
    "capi_analyst",
    "capi_admin",
    "capi_emitter",
    "capi_tenant",
    "hx_tenant",
    "hx_page",
    "nobody",
    "app",
    "shop_owner",
    "hx \"quoted\" 😀",
];

/// Their rights are for others to change, and that is what they are for.
const RIGHTS_CHANGE: [&str; 4] = ["allow_page", "grant_tenant", "revoke_tenant", "setup"];

/// A call ends within this time, or when it is cancelled then.
const LIMIT: Duration = Duration::from_secs(2);

/// Arguments that name something in the database, or are SQL: errors quote them.
const NAMES: [&str; 15] = [
    "",
    "name",
    "destination",
    "audience",
    "emitter",
    "role",
    "tenant",
    "relation",
    "source",
    "credential",
    "instance",
    "only_if",
    "column",
    "id_column",
    "ids",
];

/// What somebody who knows the function would give as these arguments.
const LIKELY: [(&str, &str); 17] = [
    ("destination", "'meta-eu'"),
    ("name", "'meta-eu'"),
    ("source", "'shop.orders'"),
    ("conversions", "'shop.purchases'"),
    ("audience", "'buyers'"),
    ("destinations", "'{meta-eu}'"),
    ("platform", "'meta'"),
    ("field", "'email'"),
    ("country", "'DE'"),
    ("key", "'1'"),
    ("keys", "'{1}'"),
    ("value", "'jane@example.com'"),
    ("relation", "'shop.purchases'"),
    ("settings", "'{\"pixel_id\": \"1234567890\"}'"),
    ("people", "'hostile.people'"),
    ("role", "'nobody'"),
    ("tenant", "'shop-a'"),
];

/// How much later the end may come.
const LATER: Duration = Duration::from_secs(3);

/// A function that can be called.
#[derive(Debug, Clone)]
struct Function {
    name: String,
    /// Name with its schema, quoted.
    called: String,
    /// Names and types of its arguments.
    arguments: Vec<(String, String)>,
    is_procedure: bool,
    /// Members of [`ROLES`] that may call it.
    callers: Vec<usize>,
}

/// A database with everything in it that can be called.
pub struct Place {
    database: Database,
    functions: Vec<Function>,
    sessions: Vec<Session>,
}

/// What one call has brought to light.
#[derive(Debug)]
pub struct Found {
    /// What kind of thing is wrong, and with which function.
    pub label: String,
    /// Who called what, and what came of it.
    pub more: String,
}

/// How often each function was called, and how often it was not refused.
pub type Tally = BTreeMap<String, (u64, u64)>;

impl Place {
    /// Makes it of a tracked shop.
    pub async fn make(database: Database) -> Self {
        database.run("set jit = off").await;
        for statement in PLACE.split_inclusive(";\n") {
            // An audience or a view that is refused is one thing less to be called with.
            let _ = database.attempt(statement).await;
        }
        let roles: Vec<String> = ROLES.iter().map(|role| format!("({})", quoted(role))).collect();
        let rows = database
            .rows(&format!(
                "select p.proname, quote_ident(n.nspname) || '.' || quote_ident(p.proname),
                    array_to_string(array(select coalesce(p.proargnames[n], '') || '=' || format_type(t, null)
                        from unnest(p.proargtypes) with ordinality x (t, n) order by n), '|'),
                    p.prokind = 'p',
                    (select string_agg((r.n - 1)::text, ',') from unnest(array[{}]) with ordinality r (name, n)
                     where has_function_privilege(r.name, p.oid, 'execute') and has_schema_privilege(r.name, n.oid, 'usage'))
                from pg_proc p join pg_namespace n on n.oid = p.pronamespace
                where n.nspname like '%capi%' and 'internal'::regtype <> all (p.proargtypes::oid[])
                order by 2, 3",
                roles.join(", ").replace(['(', ')'], "")
            ))
            .await;
        let functions = rows
            .into_iter()
            .map(|row| {
                let mut row = row.into_iter().map(Option::unwrap_or_default);
                let mut next = || row.next().expect("a column");
                let list = |text: &str, by| {
                    text.split(by)
                        .filter(|t: &&str| !t.is_empty())
                        .map(str::to_owned)
                        .collect::<Vec<_>>()
                };
                Function {
                    name: next(),
                    called: next(),
                    arguments: list(&next(), '|')
                        .iter()
                        .map(|one| one.split_once('=').expect("name and type"))
                        .map(|(name, of)| (name.to_owned(), of.to_owned()))
                        .collect(),
                    is_procedure: next() == "t",
                    callers: list(&next(), ',')
                        .iter()
                        .map(|n| n.parse().expect("a number"))
                        .collect(),
                }
            })
            .collect();
        let mut place = Self { database, functions, sessions: Vec::new() };
        for role in 0..ROLES.len() {
            let session = place.session(role).await;
            place.sessions.push(session);
        }
        place
    }

    /// The superuser's session.
    pub fn superuser(&self) -> &Session {
        &self.database
    }

    async fn session(&self, role: usize) -> Session {
        let session = self.database.connect().await;
        session
            .run(&format!(
                "set jit = off; set statement_timeout = {}; set session authorization \"{}\"",
                LIMIT.as_millis(),
                ROLES[role].replace('"', "\"\"")
            ))
            .await;
        session
    }

    /// One call; the same chance makes the same call. Gives what is wrong.
    pub async fn call(
        &mut self,
        mut chance: Chance,
        avoided: &[String],
        tally: &mut Tally,
    ) -> Option<Found> {
        let chance = &mut chance;
        let function = &self.functions[chance.below(self.functions.len() as u64) as usize];
        if avoided.contains(&function.name) {
            return None;
        }
        let role = match function.callers.len() {
            0 => chance.below(ROLES.len() as u64) as usize,
            _ if chance.percent(8) => chance.below(ROLES.len() as u64) as usize,
            _ => chance.of(&function.callers),
        };
        let arguments: Vec<String> = function
            .arguments
            .iter()
            .map(|(name, of)| {
                let name = name.strip_prefix("p_").unwrap_or(name);
                if let Some((_, value)) = LIKELY.iter().find(|(likely, _)| *likely == name)
                    && of != "anyelement"
                    && !of.starts_with("oid")
                    && chance.percent(55)
                {
                    return format!("{value}::{of}");
                }
                let value = argument(chance, of, avoided);
                // The owner calls what nobody else can, with what others have looked at.
                let is_name = NAMES.contains(&name) || ROLES[role] == "capi_owner";
                if is_name { value.replace(MARK, "nobody") } else { value }
            })
            .collect();
        let (arguments, called) = (arguments.join(", "), function.called.clone());
        let found =
            |label: &str, more: String| Some(Found { label: format!("{label} of {called}"), more });
        let call = if function.is_procedure {
            format!("call {called}({arguments})")
        } else {
            format!("select {called}({arguments})")
        };
        // What the owner does to his own tables is nobody's attack.
        let keeps = chance.percent(30)
            && ROLES[role] != "capi_owner"
            && !RIGHTS_CHANGE.contains(&&*function.name);
        let counted = tally.entry(function.name.clone()).or_default();
        counted.0 += 1;
        let session = &self.sessions[role];
        let start = Instant::now();
        if !function.is_procedure && session.attempt("begin").await.is_err() {
            return found("a session is lost by a call", format!("before {call}"));
        }
        let pid = session.pid().await;
        let answer = tokio::time::timeout(LIMIT + LATER, session.attempt(&call)).await;
        let said = format!("as {}: {}", ROLES[role], shortened(&call));
        let wrong = match answer {
            Err(_) => {
                // Neither its own time nor, perhaps, a superuser ends it.
                let ended = format!("select pg_terminate_backend({pid}, 10000)");
                let ended = self.database.attempt(&ended).await;
                let ends = matches!(ended, Ok(rows) if rows[0][0].as_deref() == Some("t"));
                let how = if ends { "only a termination ends it" } else { "nothing ends it" };
                self.sessions[role] = self.session(role).await;
                return found("a call without an end", format!("{how}: {said}"));
            }
            Ok(Ok(_)) => {
                counted.1 += 1;
                None
            }
            Ok(Err(Trouble::Lost)) => return found("a session is lost by a call", said),
            Ok(Err(Trouble::Refused(refusal))) => {
                let text = format!("{refusal:?}");
                let signs = ["panicked", ".rs:", "backtrace", "unwrap"];
                if refusal.code.starts_with("XX") || signs.iter().any(|sign| text.contains(sign)) {
                    found("an internal error", format!("{said}: {}", shortened(&text)))
                } else if text.to_lowercase().contains(MARK) {
                    found("a value in an error", format!("{said}: {}", shortened(&text)))
                } else {
                    None
                }
            }
        };
        if wrong.is_none() && start.elapsed() > LIMIT + LATER / 2 {
            return found("a call without an end", format!("{:?}: {said}", start.elapsed()));
        }
        let end = if keeps && wrong.is_none() { "commit" } else { "rollback" };
        if !function.is_procedure {
            match session.attempt(end).await {
                Ok(_) => {}
                Err(Trouble::Lost) => {
                    return found("a session is lost by a call", format!("at the end of {said}"));
                }
                Err(Trouble::Refused(refusal)) => {
                    let _ = session.attempt("rollback").await;
                    return wrong
                        .or_else(|| found("a refused end", format!("{end}: {said}: {refusal:?}")));
                }
            }
        }
        if session.get("select current_user = session_user").await != "t" {
            return found("another role after a call", said);
        }
        wrong
    }
}

/// So much of a text as anybody reads.
fn shortened(text: &str) -> String {
    if text.chars().count() > 1_500 {
        format!("{}…", text.chars().take(1_500).collect::<String>())
    } else {
        text.to_owned()
    }
}

/// An expression of a type.
fn argument(chance: &mut Chance, of: &str, avoided: &[String]) -> String {
    let takes_null = !avoided.iter().any(|kind| kind == "null");
    if takes_null && chance.percent(8) {
        return if of == "anyelement" { "null::text".to_owned() } else { format!("null::{of}") };
    }
    if let Some(element) = of.strip_suffix("[]") {
        let mut item = || argument(chance, element, avoided);
        let (one, two) = (item(), item());
        return match chance.below(8) {
            0 => format!("array[]::{of}"),
            1 if takes_null => format!("array[null]::{of}"),
            2 => format!("array[array[{one}, {two}], array[{two}, {one}]]::{of}"),
            // Where the server takes it: an item is no expression of a set.
            3 => format!("array_fill({one}, array[2], array[-5])"),
            4 => format!("array_fill({one}, array[2000])"),
            5 if takes_null => format!("array[{one}, null, {one}]::{of}"),
            _ => format!("array[{one}, {two}]::{of}"),
        };
    }
    let list: Vec<String> = match of {
        "text" | "name" | "character varying" | "unknown" => return text(chance, of),
        "jsonb" | "json" => return format!("({})::{of}", json(chance, avoided)),
        "boolean" => vec!["true".into(), "false".into()],
        "smallint" => numbers(&["0", "1", "-1", "32767", "-32768"]),
        "integer" => numbers(&["0", "1", "2", "-1", "100", "2147483647", "-2147483648", "1000000"]),
        "bigint" | "xid8" => {
            if of == "xid8" {
                numbers(&["'0'", "'1'", "'18446744073709551615'"])
            } else {
                numbers(&[
                    "0",
                    "1",
                    "2",
                    "-1",
                    "9223372036854775807",
                    "'-9223372036854775808'",
                    "1e15",
                ])
            }
        }
        "numeric" => numbers(&[
            "0",
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "1e100000",
            "-1e-100",
            "0.1",
            "12.5",
        ]),
        "double precision" | "real" => {
            numbers(&["0", "'NaN'", "'Infinity'", "'-Infinity'", "1e30", "-0.0", "1e-30"])
        }
        "timestamp with time zone" | "timestamp without time zone" | "date" => numbers(&[
            "'infinity'",
            "'-infinity'",
            "'4713-01-01 BC'",
            "'294276-12-31'",
            "'now'",
            "'epoch'",
            "'0001-01-01'",
            "'2026-11-01'",
        ]),
        "interval" => numbers(&[
            "'0'",
            "'-1 day'",
            "'178000000 years'",
            "'-178000000 years'",
            "'1 month'",
            "'1 microsecond'",
            "'1 hour'",
            "'10 days'",
        ]),
        "uuid" => numbers(&["'00000000-0000-0000-0000-000000000000'", "gen_random_uuid()"]),
        "bytea" => numbers(&["''", "'\\x00'", "'\\xff00ff'", "decode(repeat('ab', 50000), 'hex')"]),
        "regclass" | "oid" => {
            let names = [
                "shop.orders",
                "shop.purchases",
                "shop.leads",
                "shop.customers",
                "shop.orders_pkey",
                "hostile.odd",
                "hostile.\"Vi\"\"ew 😀\"",
                "hostile.empty",
                "hostile.wrong",
                "hostile.plenty",
                "hostile.people",
                "pg_catalog.pg_class",
                "pg_catalog.pg_authid",
                "capi.outbox",
                "capi.delivery",
                "pg_catalog.pg_statistic",
            ];
            let mut list: Vec<String> =
                names.iter().map(|name| quoted(name) + "::regclass").collect();
            list.extend(["0", "4294967295", "16384", "1"].map(|n| format!("{n}::oid")));
            list
        }
        "regtype" => numbers(&["'integer'", "'hostile.pair'", "0"]),
        "anyelement" => {
            let rows = [
                "(select p from shop.purchases p limit 1)",
                "null::shop.purchases",
                "(select o from shop.orders o limit 1)",
                "(select w from hostile.wrong w)",
                "(select w from hostile.plenty w limit 1)",
                "(select o from hostile.odd o)",
                "(select v from hostile.\"Vi\"\"ew 😀\" v)",
                "row(1, 'a'::text)",
                "1",
                "'x'::text",
                "array[1, 2]",
                "'{\"id\": 1}'::jsonb",
                "(select c from pg_catalog.pg_class c limit 1)",
                "(select e from hostile.empty e)",
                "null::capi.outbox",
                "'(,)'::point",
            ];
            return chance.of(&rows[..rows.len() - 1]).to_owned();
        }
        // Types of our own: none is meant to be made by hand.
        _ => vec!["null".into()],
    };
    format!("({})::{of}", chance.of(&list.iter().map(String::as_str).collect::<Vec<_>>()))
}

fn numbers(list: &[&str]) -> Vec<String> {
    list.iter().map(|n| (*n).to_owned()).collect()
}

/// Names of what is there, and texts that break what does not quote, count or end.
fn text(chance: &mut Chance, of: &str) -> String {
    const WORDS: [&str; 47] = [
        "",
        " ",
        "meta-eu",
        "ga4",
        "buyers",
        "carts",
        "shop.orders",
        "shop.purchases",
        "shop.enquiries",
        "shop-a",
        "meta",
        "tiktok",
        "google_ads",
        "webhook",
        "1",
        "0",
        "-1",
        "01",
        "1.0",
        "1e5",
        "[\"1\"]",
        "[[",
        "{\"a\": 1}",
        "{",
        "null",
        "true",
        "email",
        "phone",
        "consent",
        "event_time",
        "DE",
        "EL",
        "dmy",
        "record",
        "abort",
        "required",
        "not_required",
        "false",
        "META_TOKEN",
        "capi_owner",
        "postgres",
        "public",
        "pg_read_all_data",
        "'; drop schema capi cascade; --",
        "\"o'dd\" 😀 \u{202e}",
        "%s%I%L%n$1\\",
        "id; select 1",
    ];
    match chance.below(12) {
        0 | 1 => format!("'{MARK}{}@example.com'::{of}", chance.below(1000)),
        2 => format!(
            "repeat({}, 20000)::{of}",
            quoted(chance.of(&["x", "é", "😀", "[", "\"", "a.", "((", "1"]))
        ),
        3 => format!("(E'\\x01\\x02' || chr({}))::{of}", 1 + chance.below(50_000)),
        _ => format!("{}::{of}", quoted(chance.of(&WORDS))),
    }
}

/// JSON as text, of every size and depth.
fn json(chance: &mut Chance, avoided: &[String]) -> String {
    const SIMPLE: [&str; 13] = [
        "{}",
        "[]",
        "null",
        "1",
        "\"x\"",
        "true",
        "[null, {}]",
        "{\"pixel_id\": \"1234567890\"}",
        "{\"pixel_id\": 1e400}",
        "{\"shop.payments\": \"order_id\"}",
        "{\"shop.payments\": [1]}",
        "{\"\": null, \"a\": {\"a\": {\"a\": []}}}",
        "{\"endpoint\": \"http://[::1].evil.example:99999/\"}",
    ];
    let fields = [
        "email",
        "phone",
        "zip",
        "custom",
        "contents",
        "browser",
        "consent",
        "value",
        "event_time",
        "event_id",
        "search_string",
    ];
    let event = |rest: String| {
        format!(
            "'{{\"event_name\": \"Lead\", \"event_id\": \"e1\", \"event_time\": \"' || now() || '\", \"action_source\": \"website\", \"consent\": true, ' || {rest} || '}}'"
        )
    };
    let field = chance.of(&fields);
    match chance.below(10) {
        0 if !avoided.iter().any(|kind| kind == "deep json") => {
            let depth = chance.of(&["200", "2000", "6000"]);
            let shape = chance.of(&["repeat('[', {}) || repeat(']', {})", "repeat('{\"a\": ', {}) || '1' || repeat('}', {})"]);
            let deep = shape.replace("{}", depth);
            if chance.percent(50) { deep } else { event(format!("'\"{field}\": ' || {deep}")) }
        }
        1 => "'{' || (select string_agg('\"k' || g || '\": ' || g, ', ') from generate_series(1, 5000) g) || '}'".to_owned(),
        2 => event(format!("'\"{field}\": \"{MARK}3@example.com\"'")),
        3 if !avoided.iter().any(|kind| kind == "many values") => {
            let n = chance.of(&["100", "5000", "40000"]);
            event(format!("'\"{field}\": [' || (select string_agg('\"+49 30 23' || g || '\"', ', ') from generate_series(1, {n}) g) || ']'"))
        }
        4 => event(format!("'\"{field}\": ' || {}", quoted(chance.of(&["1e400", "-0", "[[1]]", "{\"a\": null}", "\"\\ud83d\\ude00\"", "1e-400", "\"infinity\""])))),
        5 => "(select jsonb_agg(jsonb_build_object('kind', 'blocked', 'subject', g::text, 'step', null, 'detail', g)) from generate_series(1, 50) g)::text".to_owned(),
        _ => quoted(chance.of(&SIMPLE)),
    }
}
