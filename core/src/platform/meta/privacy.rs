//! Limited Data Use: a list and two whole numbers that must fit together.
//!
//! Meta's page on data processing options, read 2026-09-12. An event that asks for it in a way
//! that Meta would not understand is never sent: it would count as one that does not ask.

use serde_json::Value;

use super::settings::Settings;
use super::words::is_state;
use crate::event::Event;

const OPTIONS: &str = "data_processing_options";
const COUNTRY: &str = "data_processing_options_country";
const STATE: &str = "data_processing_options_state";

/// The USA, the only country with states.
const USA: i64 = 1;

/// What goes into the event.
#[derive(Debug, PartialEq)]
pub(super) struct DataProcessing {
    pub(super) options: Vec<&'static str>,
    pub(super) country: Option<i64>,
    pub(super) state: Option<i64>,
}

impl DataProcessing {
    /// The arguments by which the pixel is told the same: options, country, state.
    pub(super) fn arguments(self) -> Vec<Value> {
        let numbers = [self.country, self.state];
        let numbers = numbers.into_iter().flatten().map(Value::from);
        std::iter::once(self.options.into()).chain(numbers).collect()
    }
}

/// The restriction of an event, or why it must not be sent.
pub(super) fn of(
    event: &Event,
    settings: &Settings,
) -> Result<Option<DataProcessing>, &'static str> {
    let (country, state) = (
        number(event, COUNTRY, "invalid_data_processing_options_country")?,
        number(event, STATE, "invalid_data_processing_options_state")?,
    );
    let named = country.is_some_and(|n| n != 0) || state.is_some_and(|n| n != 0);
    let limited = match event.facts.get(OPTIONS) {
        None | Some(Value::Null) if settings.limited_data_use => true,
        None | Some(Value::Null) if named => return Err("missing_data_processing_options"),
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(options)) if options.is_empty() => false,
        Some(Value::Array(options)) if *options == ["LDU"] => true,
        Some(_) => return Err("invalid_data_processing_options"),
    };
    if !limited {
        // An empty list says that it is off and needs no place.
        return Ok(Some(DataProcessing { options: Vec::new(), country: None, state: None }));
    }
    let default = settings.limited_data_use_state.map_or((0, 0), |state| (USA, state));
    let (country, state) = match (country, state) {
        (None, None) => default,
        (Some(0), None) | (None, Some(0)) => (0, 0),
        (Some(country), Some(state)) => (country, state),
        (Some(_), None) => return Err("missing_data_processing_options_state"),
        (None, Some(_)) => return Err("missing_data_processing_options_country"),
    };
    match (country, state) {
        // By the address alone can Meta tell the place.
        (0, 0) if event.facts.text("client_ip_address").is_none() => {
            return Err("missing_data_processing_options_state");
        }
        (0, 0) => {}
        (USA, 0) => return Err("missing_data_processing_options_state"),
        (USA, state) if is_state(state) => {}
        (0 | USA, _) if country == USA || !is_state(state) => {
            return Err("invalid_data_processing_options_state");
        }
        _ => return Err("invalid_data_processing_options_country"),
    }
    Ok(Some(DataProcessing { options: vec!["LDU"], country: Some(country), state: Some(state) }))
}

fn number(event: &Event, field: &str, reason: &'static str) -> Result<Option<i64>, &'static str> {
    match event.facts.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_i64().map(Some).ok_or(reason),
    }
}
