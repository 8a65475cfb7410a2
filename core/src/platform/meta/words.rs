//! Words of Meta's that several files go by.

/// The platform's name.
pub(super) const NAME: &str = "meta";

/// Keys of the request beside `data`, for telling whose fault an error is.
pub(super) const REQUEST_KEYS: &[&str] = &[
    "access_token",
    "test_event_code",
    "partner_agent",
    "namespace_id",
    "upload_id",
    "upload_tag",
    "upload_source",
];

/// Keys of an event, for naming the one that an error is about.
pub(super) const EVENT_KEYS: &[&str] = &[
    "event_name",
    "event_time",
    "event_id",
    "action_source",
    "event_source_url",
    "referrer_url",
    "opt_out",
    "customer_segmentation",
    "messaging_channel",
    "user_data",
    "custom_data",
    "app_data",
    "original_event_data",
    "attribution_data",
    "data_processing_options",
    "data_processing_options_country",
    "data_processing_options_state",
];

/// A byte of a request id or a test code.
pub(super) fn is_code_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// Whether this is Meta's number of a state.
pub(super) fn is_state(number: i64) -> bool {
    STATES.contains(&number)
}

/// States of the USA by Meta's numbers: California, Colorado, Connecticut, Florida, Oregon, Texas,
/// Montana, Delaware, Nebraska, New Hampshire, New Jersey, Minnesota, Maryland, Rhode Island.
const STATES: std::ops::RangeInclusive<i64> = 1_000..=1_013;
