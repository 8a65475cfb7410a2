//! One rule per identifier (`docs/identifiers.md`), one file per rule.
//!
//! Each identifier is a type that only parsing can build, with a method per form that platforms
//! want. Destinations choose a form; they never trim, lower or hash. This file is what the rest
//! of the project calls: one value in one form ([`normalize`]), or a column in every form
//! ([`hash_all`]).

pub mod city;
pub mod click_id;
pub mod country;
pub mod date_of_birth;
pub mod email;
pub mod external_id;
pub mod gender;
pub mod ip;
pub mod name;
pub mod phone;
mod placeholder;
mod reason;
pub mod state;
mod text;
pub mod zip;

use std::borrow::Cow;
use std::fmt;

use crate::hash::Digest;

pub use click_id::{fbc, fbc_from_fbclid, fbp, opaque_id};
pub use country::country_code;
pub use ip::{client_ip, user_agent};
pub use reason::DropReason;

/// Keeps clear text out of logs and panics.
macro_rules! opaque_debug {
    ($type:ident $(<$lifetime:lifetime>)?) => {
        impl std::fmt::Debug for $type $(<$lifetime>)? {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($type), "(..)"))
            }
        }
    };
}
use opaque_debug;

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

    /// The platforms whose form differs from Meta's, those with the same form together.
    fn forms(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Email => &[&["ga4"], &["google_ads"], &["reddit"]],
            Self::Phone => &[&["ga4", "google_ads", "reddit", "tiktok"]],
            Self::FirstName | Self::LastName => {
                &[&["ga4"], &["google_ads"], &["pinterest"], &["snapchat"], &["tiktok"]]
            }
            Self::State => &[&["pinterest"]],
            Self::Zip => &[&["pinterest"], &["tiktok"]],
            Self::ExternalId => &[ALL_BUT_META],
            Self::Gender | Self::DateOfBirth | Self::City | Self::Country => &[],
        }
    }
}

/// Platforms by their names in SQL. Meta comes first: its form is stored, the others' where they
/// differ.
pub const PLATFORMS: [&str; 9] = [
    "meta",
    "google_ads",
    "ga4",
    "tiktok",
    "pinterest",
    "snapchat",
    "reddit",
    "linkedin",
    "webhook",
];

const ALL_BUT_META: &[&str] = PLATFORMS.split_at(1).1;

/// What the rules of one value may need to know of its row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// The row's country, else the source's default: ISO alpha-2 in lower case.
    pub country: Option<&'a str>,
    /// The country of the phone where it has one of its own: ISO alpha-2.
    pub phone_country: Option<&'a str>,
    /// The row's postal code as it is.
    pub zip: Option<&'a str>,
    /// The last day that can be a date of birth: the event's.
    pub latest_birth: Option<time::Date>,
}

/// A value in the form of one platform.
#[derive(Clone, PartialEq, Eq)]
pub enum Normalized {
    /// The text that is hashed.
    Text(String),
    /// The value was a digest already.
    Digest(Digest),
}

impl Normalized {
    /// The digest that travels.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Text(text) => Digest::of(text),
            Self::Digest(digest) => digest.clone(),
        }
    }

    /// The normalised text; the 64 hex digits of a value that was a digest already.
    pub fn into_string(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Digest(digest) => digest.into(),
        }
    }
}

impl fmt::Debug for Normalized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text(_) => "Text(..)",
            Self::Digest(_) => "Digest(..)",
        })
    }
}

/// Normalises one value in the form of one platform, which is one of [`PLATFORMS`].
pub fn normalize(
    identifier: Identifier,
    value: &str,
    platform: &str,
    context: &Context<'_>,
) -> Result<Normalized, DropReason> {
    debug_assert!(PLATFORMS.contains(&platform));
    let parsed = Parsed::parse(identifier, value, context)?;
    match parsed {
        Parsed::Digest(digest) if serves_digest(identifier, platform) => {
            Ok(Normalized::Digest(digest))
        }
        Parsed::Digest(_) => Err(DropReason::DigestOfOtherForm),
        parsed => parsed.form(identifier, platform).map(|text| Normalized::Text(text.into_owned())),
    }
}

/// All forms of a list of values.
#[derive(Clone, Debug, Default)]
pub struct Hashed {
    /// Meta's form.
    pub digests: Vec<Digest>,
    /// The platforms whose digests differ from Meta's; an empty list means that the platform's
    /// rule drops them.
    pub forms: Vec<(&'static str, Vec<Digest>)>,
    /// Why values were dropped in Meta's form.
    pub dropped: Vec<DropReason>,
}

/// Hashes a list of values in all forms; each is parsed once, duplicates go, the order stays.
pub fn hash_all(identifier: Identifier, values: &[&str], context: &Context<'_>) -> Hashed {
    let mut hashed = Hashed::default();
    let mut parsed = Vec::with_capacity(values.len());
    for value in values {
        match Parsed::parse(identifier, value, context) {
            Ok(value) => {
                push(&mut hashed.digests, value.digest());
                parsed.push(value);
            }
            Err(reason) => hashed.dropped.push(reason),
        }
    }
    for platforms in identifier.forms() {
        let first = platforms[0];
        if parsed.iter().all(|value| value.has_metas_form(identifier, first)) {
            continue;
        }
        let mut digests = Vec::with_capacity(parsed.len());
        for digest in parsed.iter().filter_map(|value| value.digest_for(identifier, first)) {
            push(&mut digests, digest);
        }
        hashed.forms.extend(platforms.iter().map(|platform| (*platform, digests.clone())));
    }
    hashed
}

fn push(digests: &mut Vec<Digest>, digest: Digest) {
    if !digests.contains(&digest) {
        digests.push(digest);
    }
}

/// Whether a platform takes a digest that the source made: it is one of the plain form, which
/// for an external id is the id as it is and for the others Meta's.
fn serves_digest(identifier: Identifier, platform: &str) -> bool {
    identifier == Identifier::ExternalId
        || !identifier.forms().iter().any(|platforms| platforms.contains(&platform))
}

/// A value of any identifier.
enum Parsed<'a> {
    Email(email::Email<'a>),
    Phone(phone::Phone),
    Name(name::Name<'a>),
    Gender(gender::Gender),
    DateOfBirth(date_of_birth::DateOfBirth),
    City(city::City<'a>),
    State(state::State<'a>),
    Zip(zip::Zip<'a>),
    Country(country::Country),
    ExternalId(external_id::ExternalId<'a>),
    Digest(Digest),
}

impl<'a> Parsed<'a> {
    fn parse(
        identifier: Identifier,
        value: &'a str,
        context: &Context<'_>,
    ) -> Result<Self, DropReason> {
        if let Some(digest) = Digest::recognise(value) {
            return if placeholder::is_digest_of_none(&digest) {
                Err(DropReason::Placeholder)
            } else {
                Ok(Self::Digest(digest))
            };
        }
        let parsed = match identifier {
            Identifier::Email => Self::Email(email::Email::parse(value)?),
            Identifier::Phone => {
                let country = context.phone_country.or(context.country);
                Self::Phone(phone::Phone::parse(value, country)?)
            }
            Identifier::FirstName => Self::Name(name::Name::parse_first(value)?),
            Identifier::LastName => Self::Name(name::Name::parse_last(value)?),
            Identifier::Gender => Self::Gender(gender::Gender::parse(value)?),
            Identifier::DateOfBirth => Self::DateOfBirth(date_of_birth::DateOfBirth::parse(
                value,
                None,
                context.latest_birth,
            )?),
            Identifier::City => Self::City(city::City::parse(value, context.zip)?),
            Identifier::State => Self::State(state::State::parse(value, context.country)?),
            Identifier::Zip => Self::Zip(zip::Zip::parse(value, context.country)?),
            Identifier::Country => Self::Country(country::Country::parse(value)?),
            Identifier::ExternalId => Self::ExternalId(external_id::ExternalId::parse(value)?),
        };
        // `N-O-N-E` is a placeholder once its hyphens are gone.
        if placeholder::is_placeholder(identifier, parsed.metas_form()) {
            return Err(DropReason::Placeholder);
        }
        Ok(parsed)
    }

    fn metas_form(&self) -> &str {
        match self {
            Self::Email(email) => email.as_str(),
            Self::Phone(phone) => phone.digits(),
            Self::Name(name) => name.as_str(),
            Self::Gender(gender) => gender.as_str(),
            Self::DateOfBirth(day) => day.as_str(),
            Self::City(city) => city.as_str(),
            Self::State(state) => state.as_str(),
            Self::Zip(zip) => zip.as_str(),
            Self::Country(country) => country.as_str(),
            Self::ExternalId(id) => id.as_str(),
            Self::Digest(digest) => digest.as_str(),
        }
    }

    /// The text of a platform's form, which is no placeholder either: `Mr. Unknown` is one for
    /// Google only.
    fn form(&self, identifier: Identifier, platform: &str) -> Result<Cow<'_, str>, DropReason> {
        let form = match (self, platform) {
            (Self::Email(email), "ga4") => email.ga4(),
            (Self::Email(email), "google_ads") => email.google_ads(),
            (Self::Email(email), "reddit") => email.reddit(),
            (Self::Phone(phone), "ga4" | "google_ads" | "reddit" | "tiktok") => {
                Ok(Cow::Borrowed(phone.e164()))
            }
            (Self::Name(name), "ga4") => name.ga4(),
            (Self::Name(name), "google_ads") => name.google_ads(),
            (Self::Name(name), "pinterest") => name.pinterest(),
            (Self::Name(name), "snapchat") => name.snapchat(),
            (Self::Name(name), "tiktok") => name.tiktok(),
            (Self::State(state), "pinterest") => state.pinterest(),
            (Self::Zip(zip), "pinterest") => zip.pinterest(),
            (Self::Zip(zip), "tiktok") => zip.tiktok(),
            (Self::ExternalId(id), platform) if platform != "meta" => {
                return Ok(Cow::Borrowed(id.verbatim()));
            }
            _ => return Ok(Cow::Borrowed(self.metas_form())),
        }?;
        if placeholder::is_placeholder(identifier, &form) {
            return Err(DropReason::Placeholder);
        }
        Ok(form)
    }

    fn digest(&self) -> Digest {
        match self {
            Self::Digest(digest) => digest.clone(),
            _ => Digest::of(self.metas_form()),
        }
    }

    fn digest_for(&self, identifier: Identifier, platform: &str) -> Option<Digest> {
        match self {
            Self::Digest(digest) => serves_digest(identifier, platform).then(|| digest.clone()),
            _ => self.form(identifier, platform).ok().map(|text| Digest::of(&text)),
        }
    }

    /// Whether nothing needs to be stored for this platform.
    fn has_metas_form(&self, identifier: Identifier, platform: &str) -> bool {
        match self {
            Self::Digest(_) => serves_digest(identifier, platform),
            _ => self.form(identifier, platform).is_ok_and(|text| text == self.metas_form()),
        }
    }
}

#[cfg(test)]
mod tests;
