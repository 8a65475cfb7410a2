//! Cities: lower case, no white space, punctuation or symbols; letters of every script, as
//! Meta's documentation asks for UTF-8 (read 2026-09-12).

use std::borrow::Cow;

use super::identifier::Identifier;
use super::placeholder;
use super::reason::DropReason;
use super::zip::Zip;
use crate::text;

/// A city.
///
/// `São Paulo` is `sãopaulo`, `Coeur d'Alene` is `coeurdalene`, `29 Palms` is `29palms`.
#[derive(Clone, PartialEq, Eq)]
pub struct City<'a>(Cow<'a, str>);

crate::opaque::opaque_debug!(City<'_>);

impl<'a> City<'a> {
    /// Parses a city; the row's `zip`, or one of several with commas between, is cut where the
    /// city ends with it.
    pub fn parse(value: &'a str, zip: Option<&str>) -> Result<Self, DropReason> {
        let folded = text::fold(value);
        if folded.is_empty() {
            return Err(DropReason::Empty);
        }
        if placeholder::is_placeholder(Identifier::City, &folded) {
            return Err(DropReason::Placeholder);
        }
        let mut city = text::fold_only(value, text::is_word);
        if let Some(end) = zip.and_then(|zip| without_zip(&city, zip)) {
            city = match city {
                Cow::Borrowed(city) => Cow::Borrowed(&city[..end]),
                Cow::Owned(mut city) => {
                    city.truncate(end);
                    Cow::Owned(city)
                }
            };
        }
        // A bare number is a postal code in the wrong column.
        if city.chars().any(text::is_letter) { Ok(Self(city)) } else { Err(DropReason::Malformed) }
    }

    /// The form of Meta, which all platforms share.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where the city ends when its last group of digits is the zip.
fn without_zip(city: &str, zip: &str) -> Option<usize> {
    if !city.ends_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let name = city.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = &city[name.len()..];
    let is_digits = |zip: &str| {
        let zip = Zip::bare(zip);
        digits == zip || zip.get(..5).filter(|_| zip.len() == 9) == Some(digits)
    };
    zip.split(',').any(is_digits).then_some(name.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn city(value: &str, zip: Option<&str>) -> Result<String, DropReason> {
        City::parse(value, zip).map(|city| city.0.into_owned())
    }

    #[test]
    fn worked_examples() {
        for (value, expected) in [
            ("São Paulo", "sãopaulo"),
            ("Coeur d'Alene", "coeurdalene"),
            ("東京", "東京"),
            ("29 Palms", "29palms"),
            ("St. Louis", "stlouis"),
            ("L´Aquila", "laquila"),
            ("Lʼviv", "lviv"),
            ("Stratford−upon−Avon", "stratforduponavon"),
            ("ΑΓΙΟΣ ΝΙΚΟΛΑΟΣ", "αγιοσνικολαος"),
            ("Paris ❤\u{fe0f}", "paris"),
        ] {
            assert_eq!(city(value, None).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn cuts_the_zip_of_the_row_only() {
        assert_eq!(city("Seattle-98121", Some("98121")).as_deref(), Ok("seattle"));
        assert_eq!(city("Seattle 98121", Some("98121-4892")).as_deref(), Ok("seattle"));
        assert_eq!(city("Seattle 98121", Some("98122")).as_deref(), Ok("seattle98121"));
        assert_eq!(city("Seattle 98121", None).as_deref(), Ok("seattle98121"));
        for zips in ["98121,10115", "10115,98121-4892", "10115, 98121"] {
            assert_eq!(city("Seattle 98121", Some(zips)).as_deref(), Ok("seattle"), "{zips}");
        }
    }

    #[test]
    fn drops_what_is_no_city() {
        assert_eq!(city("", None), Err(DropReason::Empty));
        assert_eq!(city("n/a", None), Err(DropReason::Placeholder));
        assert_eq!(city("12345", None), Err(DropReason::Malformed));
    }
}
