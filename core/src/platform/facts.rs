//! What is known of a platform whatever the settings of its destinations.

use std::time::Duration;

use serde_json::Value;

use crate::destination::filter::Takes;
use crate::destination::{Destination, SettingsError, Spec, Unfit};
use crate::event::Event;

/// One platform: how its destinations are made, and what is known of it whatever the settings.
pub(crate) struct Platform {
    /// Name in SQL.
    pub(crate) name: &'static str,
    /// Name for people.
    pub(crate) title: &'static str,
    /// Limits, credential and documentation.
    pub(crate) spec: &'static Spec,
    /// Settings of an example, as JSON: every event that needs an id has one, and the tag too.
    pub(crate) sample: &'static str,
    /// Which of its settings is the id of its tag as well.
    pub(crate) tag_id: Option<&'static str>,
    /// The vendor's own endpoints, the one that is used unless the settings name another first.
    pub(crate) endpoints: &'static [&'static str],
    /// Makes a destination of its settings.
    pub(crate) build: fn(&Value) -> Result<Box<dyn Destination>, SettingsError>,
    /// Oldest age of an event.
    pub(crate) max_age: fn(&Event) -> Duration,
    /// Why it can never take an event.
    pub(crate) unfit: fn(&Event) -> Option<Unfit>,
    /// What a reason of its own means.
    pub(crate) explain: fn(&str) -> Option<&'static str>,
    /// What it has a place for.
    pub(crate) takes: Takes,
}
