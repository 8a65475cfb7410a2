//! Countries: ISO 3166-1 alpha-2 in lower case, as Meta's documentation has it (read
//! 2026-09-12). Names are matched exactly, never by prefix: a guess sends `Great Britain` to
//! Greece.

use std::sync::LazyLock;

use super::identifier::Identifier;
use super::placeholder;
use super::reason::DropReason;
use crate::text;

/// A country. `USA` is `us`; `UK`, `England` and `Great Britain` are `gb`; `Atlantis` is none.
#[derive(Clone, PartialEq, Eq)]
pub struct Country([u8; 2]);

crate::opaque::opaque_debug!(Country);

impl Country {
    /// Parses a code, an English short name or a usual alias.
    ///
    /// Case, accents, white space and punctuation do not matter, so `U.S.A.` is a code too.
    pub fn parse(value: &str) -> Result<Self, DropReason> {
        let folded = text::fold(value);
        if folded.is_empty() {
            return Err(DropReason::Empty);
        }
        if placeholder::is_placeholder(Identifier::Country, &folded) {
            return Err(DropReason::Placeholder);
        }
        let named = |name: &str| {
            let key = text::key(name);
            find(&key)
                // `The Bahamas`, `Bahamas, The`.
                .or_else(|| key.strip_prefix("the").and_then(find_name))
                .or_else(|| key.strip_suffix("the").and_then(find_name))
        };
        named(&folded)
            .or_else(|| {
                // `United States (US)`: both must be the same country.
                let (name, code) = text::with_code(&folded)?;
                named(name).filter(|country| named(code).as_ref() == Some(country))
            })
            .ok_or(DropReason::UnknownCountry)
    }

    /// The two lower-case letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only ASCII letters are stored")
    }

    fn from_alpha2(code: &str) -> Option<Self> {
        let code: [u8; 2] = code.as_bytes().try_into().ok()?;
        Some(Self(code.map(|b| b.to_ascii_lowercase())))
    }
}

/// Reads a country text as ISO alpha-2 in lower case; see [`Country::parse`].
pub fn country_code(value: &str) -> Result<String, DropReason> {
    Country::parse(value).map(|country| country.as_str().to_owned())
}

fn find(key: &str) -> Option<Country> {
    let upper = || key.to_ascii_uppercase();
    let code = match key.len() {
        2 => rust_iso3166::from_alpha2(&upper()),
        3 => rust_iso3166::from_alpha3(&upper()),
        _ => None,
    };
    match code {
        Some(code) => Country::from_alpha2(code.alpha2),
        None => find_name(key),
    }
}

fn find_name(key: &str) -> Option<Country> {
    if let Ok(found) = ALIASES.binary_search_by(|(alias, _)| (*alias).cmp(key)) {
        return Country::from_alpha2(ALIASES[found].1);
    }
    let letter = letter(key)?;
    let named = BY_LETTER[letter].iter().find(|country| text::has_key(country.name, key))?;
    Country::from_alpha2(named.alpha2)
}

/// ISO's countries by the first letter of their names: a dozen to look through, not 249.
static BY_LETTER: LazyLock<[Vec<&'static rust_iso3166::CountryCode>; 26]> = LazyLock::new(|| {
    let mut letters: [Vec<_>; 26] = Default::default();
    for country in rust_iso3166::ALL {
        if let Some(letter) = letter(&text::key(&country.name.chars().take(1).collect::<String>()))
        {
            letters[letter].push(country);
        }
    }
    letters
});

/// The place of a key's first letter in the alphabet.
fn letter(key: &str) -> Option<usize> {
    let first = key.bytes().next().filter(u8::is_ascii_lowercase)?;
    Some(usize::from(first - b'a'))
}

/// Usual names that are not ISO's English short name, as [`text::key`] writes them, sorted.
///
/// A name that two countries share (`congo` apart, which ISO gives to one) is not here.
const ALIASES: [(&str, &str); 139] = [
    ("aland", "ax"),
    ("alandislands", "ax"),
    ("alemania", "de"),
    ("allemagne", "de"),
    ("america", "us"),
    ("belgie", "be"),
    ("belgique", "be"),
    ("bolivarianrepublicofvenezuela", "ve"),
    ("bolivia", "bo"),
    ("bonaire", "bq"),
    ("bosnia", "ba"),
    ("brasil", "br"),
    ("britain", "gb"),
    ("britishvirginislands", "vg"),
    ("brunei", "bn"),
    ("burma", "mm"),
    ("capeverde", "cv"),
    ("caymanislands", "ky"),
    ("cocosislands", "cc"),
    ("congobrazzaville", "cg"),
    ("congokinshasa", "cd"),
    ("congothedemocraticrepublicofthe", "cd"),
    ("cotedivoire", "ci"),
    ("curacao", "cw"),
    ("czechrepublic", "cz"),
    ("danmark", "dk"),
    ("democraticpeoplesrepublicofkorea", "kp"),
    ("democraticrepublicofcongo", "cd"),
    ("democraticrepublicofthecongo", "cd"),
    ("deutschland", "de"),
    ("drc", "cd"),
    ("drcongo", "cd"),
    ("easttimor", "tl"),
    ("eire", "ie"),
    ("emirates", "ae"),
    ("england", "gb"),
    ("espagne", "es"),
    ("espana", "es"),
    ("falklandislands", "fk"),
    ("federatedstatesofmicronesia", "fm"),
    ("francia", "fr"),
    ("frankreich", "fr"),
    ("greatbritain", "gb"),
    ("heardisland", "hm"),
    ("holland", "nl"),
    ("holyseevaticancitystate", "va"),
    ("hongkongsar", "hk"),
    ("hongkongsarchina", "hk"),
    ("iran", "ir"),
    ("islamicrepublicofiran", "ir"),
    ("italia", "it"),
    ("italien", "it"),
    ("ivorycoast", "ci"),
    ("kingdomofsaudiarabia", "sa"),
    ("koreanorth", "kp"),
    ("korearepublic", "kr"),
    ("koreasouth", "kr"),
    ("kosovo", "xk"),
    ("ksa", "sa"),
    ("laos", "la"),
    ("libyanarabjamahiriya", "ly"),
    ("luxemburg", "lu"),
    ("macau", "mo"),
    ("macedonia", "mk"),
    ("macedoniatheformeryugoslavrepublicof", "mk"),
    ("mainlandchina", "cn"),
    ("micronesia", "fm"),
    ("moldova", "md"),
    ("nederland", "nl"),
    ("netherlands", "nl"),
    ("norge", "no"),
    ("northernireland", "gb"),
    ("northkorea", "kp"),
    ("northmacedonia", "mk"),
    ("osterreich", "at"),
    ("palestine", "ps"),
    ("palestinianterritories", "ps"),
    ("palestinianterritory", "ps"),
    ("peoplesrepublicofchina", "cn"),
    ("pitcairnislands", "pn"),
    ("polska", "pl"),
    ("prc", "cn"),
    ("republicofcongo", "cg"),
    ("republicofireland", "ie"),
    ("republicofkorea", "kr"),
    ("republicofmoldova", "md"),
    ("republicofnorthmacedonia", "mk"),
    ("republicofthecongo", "cg"),
    ("reunion", "re"),
    ("russia", "ru"),
    ("saintbarthelemy", "bl"),
    ("sainthelena", "sh"),
    ("saintmartin", "mf"),
    ("saotome", "st"),
    ("schweiz", "ch"),
    ("scotland", "gb"),
    ("sintmaarten", "sx"),
    ("slovakrepublic", "sk"),
    ("southkorea", "kr"),
    ("spanien", "es"),
    ("stateofpalestine", "ps"),
    ("stbarthelemy", "bl"),
    ("sthelena", "sh"),
    ("stkittsandnevis", "kn"),
    ("stlucia", "lc"),
    ("stmartin", "mf"),
    ("stpierreandmiquelon", "pm"),
    ("stvincentandthegrenadines", "vc"),
    ("suisse", "ch"),
    ("suomi", "fi"),
    ("sverige", "se"),
    ("svizzera", "ch"),
    ("swaziland", "sz"),
    ("syria", "sy"),
    ("taiwan", "tw"),
    ("tanzania", "tz"),
    ("turkey", "tr"),
    ("turkiye", "tr"),
    ("uae", "ae"),
    ("uk", "gb"),
    ("ukraina", "ua"),
    ("unitedkingdom", "gb"),
    ("unitedkingdomofgreatbritain", "gb"),
    ("unitedrepublicoftanzania", "tz"),
    ("unitedstates", "us"),
    ("unitedstatesofamericausa", "us"),
    ("unitedstatesusa", "us"),
    ("unitedstatesvirginislands", "vi"),
    ("usvirginislands", "vi"),
    ("vatican", "va"),
    ("vaticancity", "va"),
    ("vaticancitystate", "va"),
    ("venezuela", "ve"),
    ("vietnam", "vn"),
    ("virginislandsbritish", "vg"),
    ("virginislandsus", "vi"),
    ("wales", "gb"),
    ("xk", "xk"),
    ("xkx", "xk"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_examples() {
        for (value, expected) in [
            ("USA", "us"),
            ("UK", "gb"),
            ("England", "gb"),
            ("Great Britain", "gb"),
            ("U.S.A.", "us"),
            ("The Netherlands", "nl"),
            ("The Dominican Republic", "do"),
            ("Côte d'Ivoire", "ci"),
            ("Korea (Republic of)", "kr"),
            ("NA", "na"),
            ("United States (US)", "us"),
            ("United States of America (the) (USA)", "us"),
            ("Trinidad & Tobago", "tt"),
            ("Bosnia & Herzegovina", "ba"),
            ("KSA", "sa"),
            ("Bahamas, The", "bs"),
            ("Åland", "ax"),
            ("Luxemburg", "lu"),
            ("Frankreich", "fr"),
            (" de ", "de"),
        ] {
            assert_eq!(country_code(value).as_deref(), Ok(expected), "{value}");
        }
        for value in [
            "Atlantis",
            "Germ",
            "US|CA",
            "US/CA",
            "123us",
            "Korea",
            "ZZ",
            "中国",
            "Germany (US)",
            "X (US)",
        ] {
            assert_eq!(country_code(value), Err(DropReason::UnknownCountry), "{value}");
        }
    }

    #[test]
    fn every_iso_entry_is_found_by_code_and_name() {
        for country in rust_iso3166::ALL {
            let expected = Ok(country.alpha2.to_ascii_lowercase());
            for text in [country.alpha2, country.alpha3, country.name] {
                assert_eq!(country_code(text), expected, "{text}");
            }
        }
    }

    #[test]
    fn aliases_are_sorted_keys_of_real_codes() {
        assert!(ALIASES.is_sorted());
        for (alias, code) in ALIASES {
            assert_eq!(text::key(alias), alias);
            assert!(code == "xk" || rust_iso3166::from_alpha2(&code.to_uppercase()).is_some());
        }
    }
}
