//! Versions of the Graph API and the day each stops working.

use std::cmp::Ordering;

use crate::destination::{ApiVersion, Listing};

/// The version that a destination without `api_version` uses: the newest stable one.
pub(super) const DEFAULT: &str = "v26.0";

/// Versions, newest first, and the day each stops working; `None` where Meta has named no day
/// yet, which is at least two years after the start.
/// <https://developers.facebook.com/docs/graph-api/changelog>, read 2026-09-12. The Conversions
/// API follows these days, not the shorter ones of the Marketing API
/// (`…/conversions-api/using-the-api`, same day).
const VERSIONS: &[(&str, Option<&str>)] = &[
    ("v26.0", None), // introduced 2026-07-29
    ("v25.0", Some("2028-07-29")),
    ("v24.0", Some("2028-02-18")),
    ("v23.0", Some("2027-10-08")),
    ("v22.0", Some("2027-05-20")),
    ("v21.0", Some("2027-01-21")),
    ("v20.0", Some("2026-09-24")),
    ("v19.0", Some("2026-05-21")),
];

/// Whether the text looks like `v26.0`.
pub(super) fn is_version(text: &str) -> bool {
    number(text).is_some()
}

/// What is known of a version.
pub(super) fn about(name: &str) -> ApiVersion {
    let found = VERSIONS.iter().find(|(version, _)| *version == name);
    let edge = |at: Option<&(&str, _)>, order| {
        at.is_some_and(|(version, _)| number(name).cmp(&number(version)) == order)
    };
    let listing = match found {
        Some(_) => Listing::Listed,
        None if edge(VERSIONS.first(), Ordering::Greater) => Listing::Newer,
        None if edge(VERSIONS.last(), Ordering::Less) => Listing::Older,
        None => Listing::Unknown,
    };
    ApiVersion { name: name.to_owned(), ends: found.and_then(|(_, day)| *day), listing }
}

/// Major and minor number; at most four digits each.
fn number(text: &str) -> Option<(u16, u16)> {
    let (major, minor) = text.strip_prefix('v')?.split_once('.')?;
    let digits = |part: &str| {
        let digits = (1..=4).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| part.parse().ok()).flatten()
    };
    Some((digits(major)?, digits(minor)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn every_version_is_known_newest_first() {
        assert_eq!(VERSIONS[0].0, DEFAULT);
        for pair in VERSIONS.windows(2) {
            assert!(number(pair[0].0) > number(pair[1].0), "{}", pair[1].0);
        }
        for (version, ends) in VERSIONS {
            assert_eq!(about(version).ends, *ends);
            assert_eq!(about(version).listing, Listing::Listed);
            if let Some(day) = ends {
                Timestamp::parse(&format!("{day}T00:00:00Z")).expect("a day");
            }
        }
    }

    #[test]
    fn what_is_not_in_the_table_says_on_which_side() {
        for (version, listing) in [
            ("v26.1", Listing::Newer),
            ("v27.0", Listing::Newer),
            ("v9.0", Listing::Older),
            ("v18.0", Listing::Older),
            ("v20.5", Listing::Unknown),
        ] {
            assert!(is_version(version));
            assert_eq!(about(version).listing, listing, "{version}");
        }
        for text in ["26.0", "v26", "v.0", "v2/../x.0", "v99999.0", "v26.0 ", ""] {
            assert!(!is_version(text), "{text}");
        }
    }
}
