//! The identifiers that have rules of their own.

/// A personal identifier with a rule of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Identifier {
    Email,
    Phone,
    FirstName,
    LastName,
    Gender,
    DateOfBirth,
    City,
    State,
    Zip,
    Country,
    ExternalId,
}

impl Identifier {
    /// Every identifier, in the order of the rules page.
    pub const ALL: [Self; 11] = [
        Self::Email,
        Self::Phone,
        Self::FirstName,
        Self::LastName,
        Self::Gender,
        Self::DateOfBirth,
        Self::City,
        Self::State,
        Self::Zip,
        Self::Country,
        Self::ExternalId,
    ];

    /// The standard field name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::FirstName => "first_name",
            Self::LastName => "last_name",
            Self::Gender => "gender",
            Self::DateOfBirth => "date_of_birth",
            Self::City => "city",
            Self::State => "state",
            Self::Zip => "zip",
            Self::Country => "country",
            Self::ExternalId => "external_id",
        }
    }

    /// Reads a standard field name; exact.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|identifier| identifier.as_str() == name)
    }
}
