//! Owns Limited Data Use: what the sender allows to be done with the event.

use serde_json::Value;

use super::shape::Fields;
use crate::refusal::Checked;

const OPTIONS: &str = "data_processing_options";
const COUNTRY: &str = "data_processing_options_country";
const STATE: &str = "data_processing_options_state";

/// States of the USA that have a code: California to Rhode Island.
const STATES: std::ops::RangeInclusive<i64> = 1000..=1013;

/// Judges the options, and the place where they apply.
pub(super) fn check(event: Fields<'_>, user: Fields<'_>) -> Checked<()> {
    let country = place(event, COUNTRY, |code| matches!(code, 0 | 1))?;
    let state = place(event, STATE, |code| code == 0 || STATES.contains(&code))?;
    let Some(options) = event.value(OPTIONS) else {
        return match country.or(state) {
            Some(_) => Err(event.refuse(OPTIONS, "is required with a country or state")),
            None => Ok(()),
        };
    };
    let options = options
        .as_array()
        .filter(|options| options.len() <= 1 && options.iter().all(|option| option == "LDU"))
        .ok_or_else(|| event.refuse(OPTIONS, "must be [] or [\"LDU\"]"))?;
    if options.is_empty() {
        return Ok(());
    }
    match (country, state) {
        (Some(0), Some(0)) if user.has("client_ip_address") => Ok(()),
        (Some(0), Some(0)) => Err(event.refuse(STATE, "must be given without an IP address")),
        (Some(1), Some(state)) if STATES.contains(&state) => Ok(()),
        _ => Err(event.refuse(OPTIONS, "needs country 0 and state 0, or country 1 and a state")),
    }
}

fn place(event: Fields<'_>, key: &str, is_known: impl Fn(i64) -> bool) -> Checked<Option<i64>> {
    match event.value(key).map(Value::as_i64) {
        None => Ok(None),
        Some(Some(code)) if is_known(code) => Ok(Some(code)),
        Some(_) => Err(event.refuse(key, "must be one of the documented codes")),
    }
}
