//! Consent: given, refused or not yet known, for all destinations or for some.

use serde_json::Value;

/// What the customer has said about the use of this event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Every destination may have the event.
    Given,
    /// No destination may have it: recorded without identifiers, never sent.
    Refused,
    /// These platforms or destinations may not have it; the others may.
    RefusedFor(Vec<String>),
    /// Nobody has asked yet: the event waits for its row to change.
    Unknown,
}

/// The value says neither yes nor no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("consent is true, false, null, granted, denied, or an object of those by platform")]
pub struct NotConsent;

impl Consent {
    /// Reads a boolean, a word, null, or an object of those by platform or destination name.
    ///
    /// In an object, `"*"` speaks for those that are not named. A platform whose consent is not
    /// yet known counts as refused when another one's is known: waiting would hold back both.
    pub fn parse(value: &Value) -> Result<Self, NotConsent> {
        let Value::Object(map) = value else {
            return Ok(match word(value)? {
                Some(true) => Self::Given,
                Some(false) => Self::Refused,
                None => Self::Unknown,
            });
        };
        let mut refused = Vec::new();
        let mut known = false;
        for (name, value) in map {
            let answer = word(value)?;
            known |= answer.is_some();
            if answer != Some(true) {
                refused.push(name.trim().to_lowercase());
            }
        }
        refused.sort();
        Ok(match (known, refused.is_empty()) {
            (false, _) => Self::Unknown,
            (true, true) => Self::Given,
            (true, false) if refused.len() == map.len() => Self::Refused,
            (true, false) => Self::RefusedFor(refused),
        })
    }

    /// The outbox form: names that refused, `*` for all.
    pub fn refused(&self) -> Vec<String> {
        match self {
            Self::Given | Self::Unknown => Vec::new(),
            Self::Refused => vec!["*".to_owned()],
            Self::RefusedFor(names) => names.clone(),
        }
    }
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
        let some = Consent::parse(&json!({"meta": true, "tiktok": false, "ga4": null}));
        assert_eq!(some, Ok(Consent::RefusedFor(vec!["ga4".into(), "tiktok".into()])));
        assert_eq!(Consent::parse(&json!({"meta": false, "*": false})), Ok(Consent::Refused));
        assert_eq!(Consent::parse(&json!({"meta": null})), Ok(Consent::Unknown));
        assert_eq!(Consent::parse(&json!({})), Ok(Consent::Unknown));
    }
}
