//! What the vectors' fields and platforms are called here: for the tests in Rust and in SQL.

/// What a row of the vectors is run through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The rule of a field.
    Field(&'static str),
    /// Hashing and recognising alone.
    Hash,
    /// No field of the project: a key that no documentation names.
    NoField,
}

/// The field of a vector.
pub(crate) fn subject(field: &str) -> Subject {
    Subject::Field(match field {
        "em" | "email" => "email",
        "ph" | "phone" => "phone",
        "fn" | "first_name" | "given_name" => "first_name",
        "ln" | "last_name" | "family_name" => "last_name",
        "ge" | "gender" => "gender",
        "db" => "date_of_birth",
        "ct" | "city" => "city",
        "st" | "state" => "state",
        "zp" | "zip" | "postal_code" => "zip",
        // Google's region code is the country.
        "country" | "region_code" => "country",
        "external_id" => "external_id",
        "currency" => "currency",
        "lead_id" => "lead_id",
        "ip_address" => "client_ip_address",
        // Reddit's name of the event id.
        "conversion_id" => "event_id",
        "raw_sha256" => return Subject::Hash,
        "f5first" | "f5last" | "fi" | "dobd" | "dobm" | "doby" => return Subject::NoField,
        other => panic!("no mapping for the vectors' field {other}"),
    })
}

/// The platform of a vector; the file of Meta's names none.
pub(crate) fn platform(name: Option<&str>) -> &str {
    match name {
        None => "meta",
        Some("google_data_manager") => "google_ads",
        Some("ga4_mp") => "ga4",
        Some("microsoft_uet") => "microsoft",
        Some(name) => name,
    }
}
