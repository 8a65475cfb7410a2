//! One rule per identifier (`docs/reference/identifiers.md`), one file per rule.
//!
//! Each identifier is a type that only parsing can build, with a method per form that platforms
//! want. Destinations choose a form; they never trim, lower or hash. What the rest of the
//! project calls: one value in one form ([`normalize`]), or a column in every form
//! ([`hash_all`]).

pub mod city;
pub mod click_id;
pub mod country;
pub mod date_of_birth;
pub mod email;
pub mod external_id;
mod form;
pub mod gender;
pub mod identifier;
pub mod ip;
pub mod name;
mod normalize;
pub mod phone;
mod placeholder;
mod reason;
pub mod rules;
pub mod state;
pub mod zip;

pub use click_id::{event_id, fbc, fbc_from_fbclid, fbp, lead_id, numeric_id, opaque_id};
pub use country::country_code;
pub use date_of_birth::DateOrder;
pub use form::{Form, PLATFORMS};
pub use identifier::Identifier;
pub use ip::{client_ip, user_agent};
pub use normalize::{Context, Hashed, HashedPhone, MOST_VALUES, Normalized, hash_all, normalize};
pub use reason::DropReason;

#[cfg(test)]
mod tests;
