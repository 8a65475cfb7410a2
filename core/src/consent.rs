//! Consent: given, refused or not yet known, for all destinations or for some.
//!
//! Google knows two kinds, `ad_user_data` and `ad_personalization`. Without the first nothing is sent
//! to it; the second travels with the event.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// What the customer has said about the use of this event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Every destination may have the event.
    Given,
    /// No destination may have it: recorded without identifiers, never sent.
    Refused,
    /// Only these platforms or destinations may have it.
    GivenTo(Vec<String>),
    /// All but these platforms or destinations may have it.
    RefusedTo(Vec<String>),
    /// Nobody has asked yet: the event waits for its row to change.
    Unknown,
}

/// The value says neither yes nor no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("consent is true, false, null, granted, denied, or an object of those by platform")]
pub struct NotConsent;

/// Speaks for everybody who is not named.
const EVERYBODY: &str = "*";

/// Speaks for Google's platforms; one that is named itself counts more.
const GOOGLE: &str = "google";

/// Google's platforms.
const OF_GOOGLE: [&str; 2] = ["google_ads", "ga4"];

/// Whether Google may have the event.
pub const AD_USER_DATA: &str = "ad_user_data";

/// Whether Google may use the event to choose what the customer is shown.
pub const AD_PERSONALIZATION: &str = "ad_personalization";

/// The fact that holds Google's kinds of consent by platform, where the row tells them apart.
pub const FACT: &str = "consent";

/// Most names of a map: more than anybody has platforms and destinations.
pub const MOST_NAMES: usize = 100;

/// Whether a platform or a destination can have this name; `capi.create_destination` takes no
/// other. It may be one that is created later.
fn can_be_named(name: &str) -> bool {
    name == EVERYBODY
        || (name.len() <= 63
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| {
                b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-')
            }))
}

/// Whether a map has names that nobody can have: they say nothing, could be a person, and are not
/// kept.
pub fn has_other_names(value: &Value) -> bool {
    let is_other = |name: &String| !can_be_named(&name.trim().to_lowercase());
    value.as_object().is_some_and(|map| map.keys().any(is_other))
}

/// What a row says to each name, Google's platforms by their own; and `*`.
type Answers<'a> = BTreeMap<String, &'a Value>;

fn answers(map: &Map<String, Value>) -> Answers<'_> {
    let mut answers = Answers::new();
    for (name, value) in map {
        let name = name.trim().to_lowercase();
        if name != GOOGLE {
            answers.insert(name, value);
        }
    }
    let google = map.iter().find(|(name, _)| name.trim().eq_ignore_ascii_case(GOOGLE));
    for (platform, (_, value)) in
        OF_GOOGLE.iter().flat_map(|platform| google.map(|g| (platform, g)))
    {
        answers.entry((*platform).to_owned()).or_insert(value);
    }
    answers
}

/// The names that one in a withdrawal stands for, as in a consent map: `google` for both of its platforms.
pub fn named(name: &str) -> Vec<String> {
    match name.trim().to_lowercase() {
        name if name == GOOGLE => OF_GOOGLE.map(str::to_owned).to_vec(),
        name => vec![name],
    }
}

/// Yes, no or not known to a name; Google's may be an object of its two kinds.
fn answer(name: &str, value: &Value) -> Result<Option<bool>, NotConsent> {
    let Value::Object(kinds) = value else { return word(value) };
    let known = |kind: &String| kind == AD_USER_DATA || kind == AD_PERSONALIZATION;
    if !OF_GOOGLE.contains(&name) || !kinds.keys().all(known) {
        return Err(NotConsent);
    }
    if let Some(personal) = kinds.get(AD_PERSONALIZATION) {
        word(personal)?;
    }
    kinds.get(AD_USER_DATA).map_or(Ok(None), word)
}

/// Google's kinds of consent by platform, where a row tells them apart; they say nothing of a
/// person. A kind that is not known is left out.
pub fn kinds(value: &Value) -> Option<Value> {
    let map = value.as_object()?;
    let mut found = Map::new();
    for (name, value) in answers(map) {
        let Some(kinds) = value.as_object().filter(|_| OF_GOOGLE.contains(&name.as_str())) else {
            continue;
        };
        let known = [AD_USER_DATA, AD_PERSONALIZATION].into_iter().filter_map(|kind| {
            let answer = word(kinds.get(kind)?).ok().flatten()?;
            Some((kind.to_owned(), Value::Bool(answer)))
        });
        found.insert(name, Value::Object(known.collect()));
    }
    (!found.is_empty()).then_some(Value::Object(found))
}

impl Consent {
    /// Reads a boolean, a word, null, or an object of those by platform or destination name.
    ///
    /// In an object, `"*"` speaks for those that are not named; without it they are refused. A
    /// platform whose consent is not yet known counts as refused when another one's is known:
    /// waiting would hold back both. `google` speaks for `google_ads` and `ga4`, whose value may be
    /// an object of `ad_user_data`, which decides, and `ad_personalization`.
    pub fn parse(value: &Value) -> Result<Self, NotConsent> {
        let Value::Object(map) = value else {
            return Ok(match word(value)? {
                Some(true) => Self::Given,
                Some(false) => Self::Refused,
                None => Self::Unknown,
            });
        };
        let (mut given, mut refused) = (Vec::new(), Vec::new());
        let (mut known, mut others) = (false, false);
        for (name, value) in answers(map) {
            let answer = answer(&name, value)?;
            known |= answer.is_some();
            // The mark of an exception in the outbox form; no platform or destination begins so.
            if name.starts_with('!') {
                return Err(NotConsent);
            }
            match answer {
                _ if name == EVERYBODY => others = answer == Some(true),
                _ if !can_be_named(&name) => {}
                Some(true) => given.push(name),
                _ => refused.push(name),
            }
        }
        given.sort();
        refused.sort();
        Ok(match (known, others) {
            (false, _) => Self::Unknown,
            (true, true) if refused.is_empty() => Self::Given,
            (true, true) => Self::RefusedTo(refused),
            (true, false) if given.is_empty() => Self::Refused,
            (true, false) => Self::GivenTo(given),
        })
    }

    /// The outbox form: names that are refused; `*` for everybody, then `!name` for exceptions.
    pub fn refused(&self) -> Vec<String> {
        let everybody = || EVERYBODY.to_owned();
        match self {
            Self::Given | Self::Unknown => Vec::new(),
            Self::Refused => vec![everybody()],
            Self::RefusedTo(names) => names.clone(),
            Self::GivenTo(names) => {
                [everybody()].into_iter().chain(names.iter().map(|n| format!("!{n}"))).collect()
            }
        }
    }
}

/// Whether the outbox form refuses a destination, by its own name or its platform's.
/// `capi._refuses` says the same in SQL.
pub fn refuses(refused: &[String], platform: &str, destination: &str) -> bool {
    let named = |prefix: &str| {
        refused.iter().any(|r| {
            r.strip_prefix(prefix).is_some_and(|name| name == platform || name == destination)
        })
    };
    named("") || (refused.iter().any(|r| r == EVERYBODY) && !named("!"))
}

fn word(value: &Value) -> Result<Option<bool>, NotConsent> {
    match value {
        Value::Null => Ok(None),
        Value::Bool(answer) => Ok(Some(*answer)),
        Value::String(text) => match text.trim().to_lowercase().as_str() {
            "t" | "true" | "yes" | "y" | "1" | "granted" | "given" | "accepted" => Ok(Some(true)),
            "f" | "false" | "no" | "n" | "0" | "denied" | "refused" | "rejected" => Ok(Some(false)),
            "" | "unknown" | "pending" => Ok(None),
            _ => Err(NotConsent),
        },
        _ => Err(NotConsent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn three_states() {
        assert_eq!(Consent::parse(&json!(true)), Ok(Consent::Given));
        assert_eq!(Consent::parse(&json!("Denied")), Ok(Consent::Refused));
        assert_eq!(Consent::parse(&json!(null)), Ok(Consent::Unknown));
        assert_eq!(Consent::parse(&json!("maybe")), Err(NotConsent));
        assert_eq!(Consent::parse(&json!(1)), Err(NotConsent));
    }

    #[test]
    fn per_platform() {
        let of = |value| Consent::parse(&value).expect("consent");
        let some = of(json!({"meta": true, "tiktok": false, "ga4": null}));
        assert_eq!(some, Consent::GivenTo(vec!["meta".into()]));
        assert_eq!(of(json!({"meta": true, "*": false})), some);
        assert_eq!(of(json!({"meta": true})), some, "who is not named is not asked");
        let all_but = of(json!({"Meta": false, "*": "granted"}));
        assert_eq!(all_but, Consent::RefusedTo(vec!["meta".into()]));
        assert_eq!(of(json!({"meta": false, "*": false})), Consent::Refused);
        assert_eq!(of(json!({"meta": true, "*": true})), Consent::Given);
        assert_eq!(of(json!({"meta": null})), Consent::Unknown);
        assert_eq!(of(json!({})), Consent::Unknown);

        for (consent, meta, tiktok) in [
            (&some, false, true),
            (&all_but, true, false),
            (&Consent::Refused, true, true),
            (&Consent::Given, false, false),
        ] {
            let refused = consent.refused();
            assert_eq!(refuses(&refused, "meta", "meta-eu"), meta, "{consent:?}");
            assert_eq!(refuses(&refused, "tiktok", "tt"), tiktok, "{consent:?}");
        }
        let one_account = of(json!({"meta-us": true})).refused();
        assert!(
            refuses(&one_account, "meta", "meta-eu") && !refuses(&one_account, "meta", "meta-us")
        );
    }

    #[test]
    fn names_that_nobody_can_have_are_not_kept_and_refuse_nobody_else() {
        let of = |value| Consent::parse(&value).expect("consent");
        let given = of(json!({"jane@example.com": true, "+4915112345678": true, "meta": true}));
        assert_eq!(given, Consent::GivenTo(vec!["meta".into()]));
        assert_eq!(of(json!({"jane@example.com": true})), Consent::Refused);
        assert_eq!(of(json!({"jane@example.com": null})), Consent::Unknown);
        assert_eq!(of(json!({"*": true, "Jane Doe": false})), Consent::Given);
        let later = of(json!({"*": true, "meta-us.2": false}));
        assert_eq!(later, Consent::RefusedTo(vec!["meta-us.2".into()]));
        assert!(
            has_other_names(&json!({"a b": true})) && !has_other_names(&json!({"Meta": 1, "*": 1}))
        );
    }

    #[test]
    fn google_stands_for_both_of_its_platforms() {
        assert_eq!(named(" Google"), ["google_ads", "ga4"]);
        assert_eq!(named("ga4"), ["ga4"]);
        assert_eq!(named("Meta-EU"), ["meta-eu"]);
        // A withdrawal from the same name refuses what a map refuses.
        let mut map =
            Consent::parse(&json!({"google": false, "*": true})).expect("consent").refused();
        let mut names = named("google");
        map.sort();
        names.sort();
        assert_eq!(map, names);
    }

    #[test]
    fn google_has_two_kinds_and_the_first_decides() {
        let of = |value: &Value| Consent::parse(value).expect("consent").refused();
        let both = json!({"google": {"ad_user_data": true, "ad_personalization": "denied"}});
        assert_eq!(of(&both), ["*", "!ga4", "!google_ads"]);
        let of_each = json!({"ad_user_data": true, "ad_personalization": false});
        assert_eq!(kinds(&both), Some(json!({"google_ads": of_each, "ga4": of_each})));

        let one = json!({"*": true, "Google": {"ad_user_data": false, "ad_personalization": true}});
        assert_eq!(of(&one), ["ga4", "google_ads"], "no use without ad_user_data");
        let unknown = json!({"*": true, "google": {"ad_personalization": true}});
        assert_eq!(of(&unknown), ["ga4", "google_ads"]);
        let own = json!({"google": false, "ga4": {"ad_user_data": "granted"}});
        assert_eq!(of(&own), ["*", "!ga4"], "a platform's own name counts more");
        assert_eq!(kinds(&own), Some(json!({"ga4": {"ad_user_data": true}})));
        assert_eq!(of(&json!({"google": true})), ["*", "!ga4", "!google_ads"]);
        assert_eq!(kinds(&json!({"google": true, "meta": true})), None);
        assert_eq!(kinds(&json!(true)), None);

        for wrong in [
            json!({"meta": {"ad_user_data": true}}),
            json!({"*": {"ad_user_data": true}}),
            json!({"google": {"ad_user_data": "maybe"}}),
            json!({"google": {"ad_user_data": true, "ad_personalization": 1}}),
            json!({"google": {"ads": true}}),
        ] {
            assert_eq!(Consent::parse(&wrong), Err(NotConsent), "{wrong}");
        }
    }
}
