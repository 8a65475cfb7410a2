//! Google's numbering plans, read in place.
//!
//! Every Postgres backend that places an order parses phones. Plans that are decoded and whose
//! regular expressions are compiled cost it half a millisecond and half a megabyte per calling
//! code; here only a table of where each region stands is kept, and the rest stays in the file
//! of the library, which all backends share.
//!
//! `metadata.bin` is a copy of `src/generated/metadata/metadata.bin` of the crate
//! `rlibphonenumber`, version 2.2.15 (libphonenumber 9.0.42, Apache License 2.0): a
//! `PhoneMetadataCollection` of libphonenumber's `phonemetadata.proto`.

use std::sync::LazyLock;

use super::pattern::{self, Prefix};

/// A sequence of `PhoneMetadata` messages in field 1.
static METADATA: &[u8] = include_bytes!("metadata.bin");

/// A country, or a service without one, in its numbering plan.
#[derive(Default)]
pub(super) struct Region {
    /// Alpha-2 in upper case, or `001` for a service without a country.
    name: &'static str,
    /// The calling code without `+`.
    pub(super) code: u16,
    /// Whether it stands for the calling code.
    is_main: bool,
    /// What dialling abroad begins with: a pattern, as are the next two.
    exit_code: Option<&'static [u8]>,
    /// What stands before a national number.
    trunk: Option<&'static [u8]>,
    /// How numbers begin that are of this region and no other of the calling code.
    beginning: Option<&'static [u8]>,
    /// What the trunk prefix is rewritten to.
    rewriting: Option<&'static str>,
    /// Descriptions of all numbers and of each kind.
    message: &'static [u8],
}

/// By calling code; the region that stands for the code first.
static REGIONS: LazyLock<Vec<Region>> = LazyLock::new(index);

/// Kinds of numbers with a pattern of their own: fixed line, mobile, toll free, premium rate,
/// shared cost, personal, voice over IP, pager, company-wide, voice mail.
const KINDS: [u64; 10] = [2, 3, 4, 5, 6, 7, 8, 21, 25, 28];
const ANY_KIND: u64 = 1;

/// Descriptions above this many bytes take long to match.
const LONG: usize = 200;

/// Whether a number can have a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Possible,
    /// Within a town, without its code.
    Local,
    TooShort,
    TooLong,
    /// Between two that are possible.
    Wrong,
}

impl Region {
    /// Finds a country (alpha-2 in any case).
    pub(super) fn of_country(country: &str) -> Option<&'static Self> {
        REGIONS.iter().find(|region| region.name.eq_ignore_ascii_case(country))
    }

    /// Finds the main region of an international number and cuts its calling code. No code is
    /// the beginning of another.
    pub(super) fn of_digits(digits: &str) -> Option<(&'static Self, &str)> {
        if digits.starts_with('0') {
            return None;
        }
        (1..=3).find_map(|length| {
            let (code, rest) = digits.split_at_checked(length)?;
            Some((Self::all(code.parse().ok()?).next()?, rest))
        })
    }

    /// The region that stands for this one's calling code.
    pub(super) fn main(&self) -> &'static Self {
        Self::all(self.code).next().expect("this region has the code")
    }

    fn all(code: u16) -> impl Iterator<Item = &'static Self> {
        let from = REGIONS.partition_point(|region| region.code < code);
        REGIONS[from..].iter().take_while(move |region| region.code == code)
    }

    /// Whether a national number is one of some region of this calling code.
    pub(super) fn is_valid(&self, national: &str) -> bool {
        for region in Self::all(self.code) {
            match region.beginning {
                // The first that it could belong to decides, whatever the others would say.
                Some(beginning) if pattern::prefix(beginning, national).is_some() => {
                    return region.has_kind(national);
                }
                None if region.has_kind(national) => return true,
                _ => {}
            }
        }
        false
    }

    fn has_kind(&self, national: &str) -> bool {
        let has = |kind: &'static [u8]| Kind::read(kind).has(national);
        let mut fields = self.message;
        // The general description comes first, as fields do in their order.
        if !matches!(next_field(&mut fields), Field::Bytes(ANY_KIND, kind) if has(kind)) {
            return false;
        }
        // The long patterns are lists of area codes: last.
        [false, true].into_iter().any(|is_long| {
            let mut fields = fields;
            while !fields.is_empty() {
                if let Field::Bytes(number, kind) = next_field(&mut fields)
                    && KINDS.contains(&number)
                    && (kind.len() > LONG) == is_long
                    && has(kind)
                {
                    return true;
                }
            }
            false
        })
    }

    /// Whether digits fit the pattern of all numbers of the region.
    pub(super) fn is_general(&self, national: &str) -> bool {
        self.general().is_some_and(|kind| kind.matches(national))
    }

    /// Judges the length of a national number.
    pub(super) fn length(&self, national: &str) -> Length {
        self.general().map_or(Length::Wrong, |kind| kind.length(national.len()))
    }

    fn general(&self) -> Option<Kind> {
        match next_field(&mut { self.message }) {
            Field::Bytes(ANY_KIND, kind) => Some(Kind::read(kind)),
            _ => None,
        }
    }

    /// Cuts the prefix for dialling abroad.
    pub(super) fn without_exit_code<'d>(&self, digits: &'d str) -> Option<&'d str> {
        let found = pattern::prefix(self.exit_code?, digits)?;
        // No calling code begins with a zero.
        Some(&digits[found.end..]).filter(|rest| !rest.starts_with('0'))
    }

    /// Cuts or rewrites the trunk prefix, unless that would spoil a number.
    pub(super) fn without_trunk(&self, digits: &str) -> String {
        self.trunk_cut(digits).unwrap_or_else(|| digits.to_owned())
    }

    fn trunk_cut(&self, digits: &str) -> Option<String> {
        let Prefix { end, group } = pattern::prefix(self.trunk?, digits)?;
        let rest = &digits[end..];
        let cut = match (self.rewriting, group) {
            // A rule is digits around the number of a group, always the last.
            (Some(rule), Some(group)) => {
                let (before, _) = rule.split_once('$')?;
                format!("{before}{group}{rest}")
            }
            _ => rest.to_owned(),
        };
        (!self.is_general(digits) || self.is_general(&cut)).then_some(cut)
    }
}

/// A `PhoneNumberDesc`: what numbers of one kind look like.
#[derive(Clone, Copy, Default)]
struct Kind {
    pattern: Option<&'static [u8]>,
    /// One bit for each length.
    lengths: u32,
    local_lengths: u32,
}

impl Kind {
    fn read(mut fields: &'static [u8]) -> Self {
        let mut kind = Self::default();
        while !fields.is_empty() {
            match next_field(&mut fields) {
                Field::Bytes(2, text) => kind.pattern = unanchored(text),
                // A kind that does not exist has the length -1.
                Field::Number(9, length @ 0..32) => kind.lengths |= 1 << length,
                Field::Number(10, length @ 0..32) => kind.local_lengths |= 1 << length,
                _ => {}
            }
        }
        kind
    }

    fn has(&self, national: &str) -> bool {
        (self.lengths == 0 || self.lengths >> national.len() & 1 == 1) && self.matches(national)
    }

    fn matches(&self, national: &str) -> bool {
        self.pattern.is_some_and(|pattern| pattern::matches(pattern, national))
    }

    fn length(&self, length: usize) -> Length {
        let (first, last) = (self.lengths.trailing_zeros(), self.lengths.checked_ilog2());
        let (Some(last), Ok(length)) = (last, u32::try_from(length)) else { return Length::Wrong };
        match length {
            _ if length < 32 && self.local_lengths >> length & 1 == 1 => Length::Local,
            _ if length < first => Length::TooShort,
            _ if length > last => Length::TooLong,
            _ if self.lengths >> length & 1 == 1 => Length::Possible,
            _ => Length::Wrong,
        }
    }
}

/// The crate anchors every pattern at both ends.
fn unanchored(pattern: &'static [u8]) -> Option<&'static [u8]> {
    pattern.strip_prefix(b"^(?:")?.strip_suffix(b")$").filter(|pattern| !pattern.is_empty())
}

/// Lists where the regions stand.
fn index() -> Vec<Region> {
    let mut regions = Vec::with_capacity(256);
    let mut bytes = METADATA;
    while !bytes.is_empty() {
        let Field::Bytes(1, message) = next_field(&mut bytes) else { continue };
        let mut region = Region { message, ..Region::default() };
        let mut fields = message;
        while !fields.is_empty() {
            match next_field(&mut fields) {
                Field::Bytes(9, text) => region.name = str::from_utf8(text).unwrap_or_default(),
                Field::Number(10, code) => region.code = u16::try_from(code).unwrap_or_default(),
                Field::Bytes(11, pattern) => region.exit_code = unanchored(pattern),
                Field::Bytes(15, pattern) => region.trunk = unanchored(pattern),
                Field::Bytes(16, rule) => region.rewriting = str::from_utf8(rule).ok(),
                Field::Number(22, is_main) => region.is_main = is_main == 1,
                Field::Bytes(23, pattern) => region.beginning = unanchored(pattern),
                _ => {}
            }
        }
        regions.push(region);
    }
    regions.sort_by_key(|region| (region.code, !region.is_main));
    regions
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

    fn region(country: &str) -> &'static Region {
        Region::of_country(country).expect("a region")
    }

    fn fields_of(mut message: &'static [u8], wanted: u64) -> Vec<&'static [u8]> {
        let mut found = Vec::new();
        while !message.is_empty() {
            if let Field::Bytes(number, bytes) = next_field(&mut message)
                && number == wanted
            {
                found.push(bytes);
            }
        }
        found
    }

    #[test]
    fn every_region_can_be_read() {
        assert!(REGIONS.len() > 250);
        for region in REGIONS.iter() {
            let name = region.name;
            assert!(region.code > 0 && !name.is_empty(), "{name}");
            let general = region.general().expect("a general description");
            assert!(general.pattern.is_some() && general.lengths > 0, "{name}");
            assert!(region.main().code == region.code, "{name}");
            assert!(region.beginning.is_none() || Region::all(region.code).count() > 1, "{name}");
        }
        let count = |has: fn(&Region) -> bool| REGIONS.iter().filter(|region| has(region)).count();
        assert!(count(|region| region.exit_code.is_some()) > 240);
        assert!(count(|region| region.trunk.is_some()) > 130);
        assert!(count(|region| region.rewriting.is_some()) > 25);
        assert!(count(|region| region.beginning.is_some()) > 30);
    }

    /// The metadata has an example of every kind of number, each of which is one.
    #[test]
    fn every_example_is_valid() {
        let mut examples = 0;
        for region in REGIONS.iter() {
            for kind in KINDS {
                for kind in fields_of(region.message, kind) {
                    for example in fields_of(kind, 6) {
                        let example = str::from_utf8(example).expect("digits");
                        assert!(region.is_valid(example), "{} {example}", region.name);
                        examples += 1;
                    }
                }
            }
        }
        assert!(examples > 1000, "{examples}");
    }

    #[test]
    fn regions_are_found_by_country_and_by_digits() {
        assert_eq!(region("gb").code, 44);
        assert_eq!(region("JE").main().name, "GB");
        assert!(Region::of_country("aq").is_none());
        let (finland, rest) = Region::of_digits("358401234567").expect("Finland");
        assert_eq!((finland.name, rest), ("FI", "401234567"));
        assert!(Region::of_digits("0612345678").is_none());
    }

    #[test]
    fn prefixes_are_cut() {
        let us = region("us");
        assert_eq!(us.without_exit_code("011442079460958"), Some("442079460958"));
        assert_eq!(us.without_exit_code("6505551212"), None);
        assert_eq!(us.without_trunk("16505551212"), "6505551212");
        assert_eq!(region("ar").without_trunk("0111523456789"), "91123456789");
        assert_eq!(region("gg").without_trunk("256789"), "1481256789");
        assert_eq!(region("it").without_trunk("0236618300"), "0236618300");
    }

    #[test]
    fn lengths_are_judged() {
        let us = region("us");
        assert_eq!(us.length("5551212"), Length::Local);
        assert_eq!(region("ch").length("4466811234"), Length::Wrong);
        assert_eq!(us.length("6505551212"), Length::Possible);
        assert_eq!(us.length("65055512120"), Length::TooLong);
        assert_eq!(us.length("650555"), Length::TooShort);
    }
}
