//! Consent: given, refused or not yet known, for all destinations or for some.

use serde_json::Value;

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

impl Consent {
    /// Reads a boolean, a word, null, or an object of those by platform or destination name.
    ///
    /// In an object, `"*"` speaks for those that are not named; without it they are refused. A
    /// platform whose consent is not yet known counts as refused when another one's is known:
    /// waiting would hold back both.
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
        for (name, value) in map {
            let answer = word(value)?;
            known |= answer.is_some();
            let name = name.trim().to_lowercase();
            // The mark of an exception in the outbox form; no platform or destination begins so.
            if name.starts_with('!') {
                return Err(NotConsent);
            }
            match answer {
                _ if name == EVERYBODY => others = answer == Some(true),
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
}
