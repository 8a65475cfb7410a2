//! Google's numbering plans, loaded one calling code at a time.
//!
//! Every Postgres backend that places an order parses phones, and all plans at once cost 4 ms
//! and 5 MB there; one calling code costs half a millisecond and half a megabyte. So the metadata
//! is only indexed in place, and decoded for the codes that occur.
//!
//! `metadata.bin` is a copy of `src/generated/metadata/metadata.bin` of the crate
//! `rlibphonenumber`, version 2.2.15 (libphonenumber 9.0.42, Apache License 2.0). Update both
//! together.

use std::sync::{LazyLock, OnceLock};

use prost::Message;
use regex_lite::Regex;
use rlibphonenumber::{PhoneMetadata, PhoneMetadataCollection, PhoneNumberUtil};

/// A `PhoneMetadataCollection` message: a sequence of `PhoneMetadata` in field 1.
static METADATA: &[u8] = include_bytes!("metadata.bin");

/// The regions of one calling code.
pub(super) struct Plan {
    /// The calling code without `+`.
    pub(super) code: u16,
    regions: Vec<Region>,
    parser: OnceLock<PhoneNumberUtil>,
}

struct Region {
    /// Alpha-2 in upper case, or `001` for a plan without a country.
    name: &'static str,
    /// The regular expression of the prefix for dialling abroad, anchored at both ends.
    exit_code: &'static str,
    /// The regular expression of what stands before a national number, likewise anchored.
    trunk: &'static str,
    /// Whether the trunk prefix is rewritten, as in `9` for `15` in Argentina.
    is_rewritten: bool,
    /// Whether it stands for the calling code.
    is_main: bool,
    message: &'static [u8],
}

static PLANS: LazyLock<Vec<Plan>> = LazyLock::new(index);

impl Plan {
    /// Finds the plan of a country (alpha-2 in any case).
    pub(super) fn of_country(country: &str) -> Option<&'static Self> {
        PLANS.iter().find(|plan| plan.region(country).is_some())
    }

    /// Finds the plan of an international number and cuts its calling code. No code is the
    /// beginning of another.
    pub(super) fn of_digits(digits: &str) -> Option<(&'static Self, &str)> {
        if digits.starts_with('0') {
            return None;
        }
        (1..=3).find_map(|length| {
            let (code, rest) = digits.split_at_checked(length)?;
            let code: u16 = code.parse().ok()?;
            let found = PLANS.binary_search_by_key(&code, |plan| plan.code).ok()?;
            Some((&PLANS[found], rest))
        })
    }

    /// The parser that knows this calling code only.
    pub(super) fn parser(&self) -> &PhoneNumberUtil {
        self.parser.get_or_init(|| {
            let metadata = self
                .regions
                .iter()
                .map(|region| PhoneMetadata::decode(region.message))
                .collect::<Result<_, _>>()
                .expect("the bundled metadata is decoded by a test");
            PhoneNumberUtil::new_for_metadata(PhoneMetadataCollection { metadata })
                .expect("the bundled regions are known, see the test")
        })
    }

    /// Cuts the prefix for dialling abroad from digits dialled in `country`.
    pub(super) fn without_exit_code<'d>(&self, country: &str, digits: &'d str) -> Option<&'d str> {
        let pattern = self.region(country)?.exit_code.strip_suffix('$')?;
        // Nearly everywhere it is `00`, which the caller has tried already.
        if pattern == "^(?:00)" {
            return None;
        }
        let found = Regex::new(pattern).ok()?.find(digits)?;
        Some(&digits[found.end()..]).filter(|rest| !rest.is_empty())
    }

    /// Cuts the trunk prefix from digits dialled in `country`, or behind the calling code where
    /// that is none, if it is plain which digits are meant: the plan has an ordinary prefix or
    /// none, and the digits begin with no other.
    pub(super) fn national<'d>(&self, country: Option<&str>, digits: &'d str) -> Option<&'d str> {
        let region = match country {
            Some(country) => self.region(country)?,
            None => self.regions.iter().find(|region| region.is_main)?,
        };
        let trunk = match (region.trunk, region.is_rewritten) {
            ("", _) => None,
            ("^(?:0)$", false) => Some('0'),
            // The United Kingdom's relay service has a prefix of its own.
            ("^(?:0|180020)$", false) if !digits.starts_with("18") => Some('0'),
            ("^(?:1)$", false) => Some('1'),
            _ => return None,
        };
        let national = match (digits.strip_prefix(trunk.unwrap_or('x')), country) {
            (Some(rest), Some(_)) => rest,
            (Some(_), None) => return None,
            (None, _) => digits,
        };
        // Zeros in front and a second prefix are for the parser, and so are prefixes for dialling
        // abroad that do not begin with a zero, or with one that could be the trunk prefix.
        let is_usual = matches!(
            region.exit_code,
            "^(?:00)$" | "^(?:011)$" | "^(?:0[09])$" | r"^(?:0[0-3]\d)$"
        );
        let is_plain = !national.starts_with('0') && !national.starts_with(trunk.unwrap_or('x'));
        (is_plain && (is_usual || country.is_none())).then_some(national)
    }

    fn region(&self, country: &str) -> Option<&Region> {
        self.regions.iter().find(|region| region.name.eq_ignore_ascii_case(country))
    }
}

/// Lists the plans by calling code without decoding what they hold.
fn index() -> Vec<Plan> {
    let mut plans: Vec<Plan> = Vec::with_capacity(256);
    let mut bytes = METADATA;
    while !bytes.is_empty() {
        let Field::Bytes(1, message) = next_field(&mut bytes) else { continue };
        let (mut name, mut exit_code, mut code) = ("", "", 0);
        let (mut trunk, mut is_rewritten, mut is_main) = ("", false, false);
        let mut fields = message;
        while !fields.is_empty() {
            match next_field(&mut fields) {
                Field::Bytes(9, text) => name = str::from_utf8(text).unwrap_or_default(),
                Field::Number(10, number) => code = u16::try_from(number).unwrap_or_default(),
                Field::Bytes(11, text) => exit_code = str::from_utf8(text).unwrap_or_default(),
                Field::Bytes(15, text) => trunk = str::from_utf8(text).unwrap_or_default(),
                Field::Bytes(16, _) => is_rewritten = true,
                Field::Number(22, number) => is_main = number == 1,
                _ => {}
            }
        }
        let region = Region { name, exit_code, trunk, is_rewritten, is_main, message };
        match plans.binary_search_by_key(&code, |plan| plan.code) {
            Ok(found) => plans[found].regions.push(region),
            Err(place) => {
                let plan = Plan { code, regions: vec![region], parser: OnceLock::new() };
                plans.insert(place, plan);
            }
        }
    }
    for plan in &mut plans {
        if let [only] = plan.regions.as_mut_slice() {
            only.is_main = true;
        }
    }
    plans
}

/// A protobuf field: its number and value.
enum Field {
    Number(u64, u64),
    Bytes(u64, &'static [u8]),
}

/// Reads one field of the bundled metadata, which has only numbers and bytes.
fn next_field(bytes: &mut &'static [u8]) -> Field {
    let tag = varint(bytes);
    let number = varint(bytes);
    if tag & 7 == 0 {
        return Field::Number(tag >> 3, number);
    }
    let length = usize::try_from(number).unwrap_or(usize::MAX).min(bytes.len());
    let (value, rest) = bytes.split_at(length);
    *bytes = rest;
    Field::Bytes(tag >> 3, value)
}

fn varint(bytes: &mut &'static [u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let Some((byte, rest)) = bytes.split_first() else { return value };
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plan_is_decoded() {
        let regions: usize = PLANS.iter().map(|plan| plan.regions.len()).sum();
        assert!(regions > 250 && PLANS.len() > 200);
        for plan in PLANS.iter() {
            assert!(plan.parser().get_supported_calling_codes().eq([i32::from(plan.code)]));
        }
    }

    #[test]
    fn plans_are_found_by_country_and_by_digits() {
        assert_eq!(Plan::of_country("gb").expect("a plan").code, 44);
        assert_eq!(Plan::of_country("US").expect("a plan").code, 1);
        assert!(Plan::of_country("aq").is_none());
        let (plan, rest) = Plan::of_digits("358401234567").expect("Finland");
        assert_eq!((plan.code, rest), (358, "401234567"));
        assert!(Plan::of_digits("0612345678").is_none());
    }

    #[test]
    fn exit_codes_are_cut() {
        let us = Plan::of_country("us").expect("a plan");
        assert_eq!(us.without_exit_code("us", "011442079460958"), Some("442079460958"));
        assert_eq!(us.without_exit_code("us", "6505551212"), None);
    }
}
