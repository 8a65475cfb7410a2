//! States and provinces: two letters in the United States and Canada, elsewhere the name without
//! white space and punctuation (Meta's documentation, read 2026-09-12).

use std::borrow::Cow;

use super::country;
use super::identifier::Identifier;
use super::placeholder;
use super::reason::DropReason;
use crate::text;

/// A state or province.
///
/// `California` and `US-CA` are `ca`; `Québec` in Canada is `qc`; `New South Wales` in Australia
/// is `newsouthwales`; `West Virginia, USA` is `wv`.
#[derive(Clone, PartialEq, Eq)]
pub struct State<'a>(Cow<'a, str>);

crate::opaque::opaque_debug!(State<'_>);

impl<'a> State<'a> {
    /// Parses a state of a country (alpha-2, lower case), if that is known.
    pub fn parse(value: &'a str, country: Option<&str>) -> Result<Self, DropReason> {
        let folded = text::fold(value);
        if folded.is_empty() {
            return Err(DropReason::Empty);
        }
        if placeholder::is_placeholder(Identifier::State, &folded) {
            return Err(DropReason::Placeholder);
        }
        let key = text::key(&folded);
        let named = match country {
            None => american(&key)
                .or_else(|| iso(&folded, "us"))
                .or_else(|| iso(&folded, "ca"))
                .or_else(|| with_code(&folded, "us"))
                .or_else(|| with_country(&folded, None)),
            Some(code @ ("us" | "ca")) => Some(
                in_country(&key, code)
                    .or_else(|| iso(&folded, code))
                    .or_else(|| with_code(&folded, code))
                    .or_else(|| with_country(&folded, country))
                    .ok_or(DropReason::UnknownState)?,
            ),
            Some(_) => None,
        };
        if let Some(code) = named {
            return Ok(Self(Cow::Borrowed(code)));
        }
        let state = text::fold_only(value, text::is_squeezed);
        // A stray `&` reads as "and" above and is gone here: what is left may be a name after all.
        match country.is_none().then(|| american(&text::key(&state))).flatten() {
            Some(code) => Ok(Self(Cow::Borrowed(code))),
            None if state.chars().any(text::is_word) => Ok(Self(state)),
            None => Err(DropReason::Malformed),
        }
    }

    /// Meta's form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Pinterest's form: two letters only.
    pub fn two_letters(&self) -> Result<Cow<'_, str>, DropReason> {
        if self.0.len() == 2 && self.0.bytes().all(|b| b.is_ascii_lowercase()) {
            Ok(Cow::Borrowed(&self.0))
        } else {
            Err(DropReason::NotInForm)
        }
    }
}

fn in_country(key: &str, country: &str) -> Option<&'static str> {
    if country == "us" { american(key) } else { find(&PROVINCES, key) }
}

fn american(key: &str) -> Option<&'static str> {
    find(&STATES, key)
}

fn find(table: &[(&'static str, &[&str])], key: &str) -> Option<&'static str> {
    table.iter().find(|(code, names)| *code == key || names.contains(&key)).map(|(code, _)| *code)
}

/// Reads an ISO 3166-2 code of the country: `us-ca`.
fn iso(folded: &str, country: &str) -> Option<&'static str> {
    let code = folded.strip_prefix(country)?.strip_prefix('-')?;
    (code.len() == 2).then(|| in_country(code, country))?
}

/// Reads a name that its own code follows: `california (ca)`.
fn with_code(folded: &str, country: &str) -> Option<&'static str> {
    let (name, code) = text::with_code(folded)?;
    in_country(&text::key(name), country).filter(|known| *known == text::key(code))
}

/// Reads a state that its country follows: `west virginia, usa`.
fn with_country(folded: &str, known: Option<&str>) -> Option<&'static str> {
    let (state, name) = folded
        .rsplit_once(',')
        .or_else(|| folded.rsplit_once(char::is_whitespace))
        .filter(|(_, name)| text::key(name).len() > 1)?;
    let code = country::Country::parse(name).ok()?;
    let code = code.as_str();
    if !matches!(code, "us" | "ca") || known.is_some_and(|known| known != code) {
        return None;
    }
    // "Ontario CA" says California as much as Canada.
    if text::key(name) == "ca" {
        return None;
    }
    in_country(&text::key(state), code)
}

/// States, districts, territories and military districts of the United States: USPS code, then
/// names in English and French as [`text::key`] writes them.
const STATES: [(&str, &[&str]); 62] = [
    ("al", &["alabama"]),
    ("ak", &["alaska"]),
    ("az", &["arizona"]),
    ("ar", &["arkansas"]),
    ("ca", &["california", "californie"]),
    ("co", &["colorado"]),
    ("ct", &["connecticut"]),
    ("de", &["delaware"]),
    ("fl", &["florida", "floride"]),
    ("ga", &["georgia", "georgie"]),
    ("hi", &["hawaii", "hawai"]),
    ("id", &["idaho"]),
    ("il", &["illinois"]),
    ("in", &["indiana"]),
    ("ia", &["iowa"]),
    ("ks", &["kansas"]),
    ("ky", &["kentucky"]),
    ("la", &["louisiana", "louisiane"]),
    ("me", &["maine"]),
    ("md", &["maryland"]),
    ("ma", &["massachusetts"]),
    ("mi", &["michigan"]),
    ("mn", &["minnesota"]),
    ("ms", &["mississippi"]),
    ("mo", &["missouri"]),
    ("mt", &["montana"]),
    ("ne", &["nebraska"]),
    ("nv", &["nevada"]),
    ("nh", &["newhampshire"]),
    ("nj", &["newjersey"]),
    ("nm", &["newmexico", "nouveaumexique"]),
    ("ny", &["newyork", "newyorkstate", "etatdenewyork"]),
    ("nc", &["northcarolina", "carolinedunord"]),
    ("nd", &["northdakota", "dakotadunord"]),
    ("oh", &["ohio"]),
    ("ok", &["oklahoma"]),
    ("or", &["oregon"]),
    ("pa", &["pennsylvania", "pennsylvanie"]),
    ("ri", &["rhodeisland"]),
    ("sc", &["southcarolina", "carolinedusud"]),
    ("sd", &["southdakota", "dakotadusud"]),
    ("tn", &["tennessee"]),
    ("tx", &["texas"]),
    ("ut", &["utah"]),
    ("vt", &["vermont"]),
    ("va", &["virginia", "virginie"]),
    ("wa", &["washington", "washingtonstate", "etatdewashington"]),
    ("wv", &["westvirginia", "virginieoccidentale"]),
    ("wi", &["wisconsin"]),
    ("wy", &["wyoming"]),
    ("dc", &["districtofcolumbia", "washingtondc", "districtdecolumbia"]),
    ("as", &["americansamoa", "samoaamericaines"]),
    ("gu", &["guam"]),
    ("mp", &["northernmarianaislands", "ilesmariannesdunord"]),
    ("pr", &["puertorico", "portorico"]),
    ("um", &["unitedstatesminoroutlyingislands", "usminoroutlyingislands"]),
    ("vi", &["virginislands", "usvirginislands", "unitedstatesvirginislands", "ilesvierges"]),
    ("aa", &["armedforcesamericas"]),
    ("ae", &["armedforceseurope", "armedforcesothers"]),
    ("ap", &["armedforcespacific"]),
    ("fm", &["federatedstatesofmicronesia"]),
    ("pw", &["palau"]),
];

/// Provinces and territories of Canada, likewise.
const PROVINCES: [(&str, &[&str]); 13] = [
    ("ab", &["alberta"]),
    ("bc", &["britishcolumbia", "colombiebritannique"]),
    ("mb", &["manitoba"]),
    ("nb", &["newbrunswick", "nouveaubrunswick"]),
    ("nl", &["newfoundlandandlabrador", "newfoundland", "terreneuveetlabrador", "terreneuve"]),
    ("ns", &["novascotia", "nouvelleecosse"]),
    ("nt", &["northwestterritories", "territoiresdunordouest"]),
    ("nu", &["nunavut"]),
    ("on", &["ontario"]),
    ("pe", &["princeedwardisland", "ileduprinceedouard", "pei"]),
    ("qc", &["quebec", "pq"]),
    ("sk", &["saskatchewan"]),
    ("yt", &["yukon", "yukonterritory", "territoireduyukon"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn state(value: &str, country: &str) -> Result<String, DropReason> {
        let country = Some(country).filter(|c| !c.is_empty());
        State::parse(value, country).map(|state| state.0.into_owned())
    }

    #[test]
    fn worked_examples() {
        for (value, country, expected) in [
            ("California", "us", "ca"),
            ("California", "", "ca"),
            ("US-CA", "us", "ca"),
            ("US-CA", "", "ca"),
            ("Québec", "ca", "qc"),
            ("CA-QC", "ca", "qc"),
            ("New South Wales", "au", "newsouthwales"),
            ("West Virginia, USA", "us", "wv"),
            ("West Virginia, USA", "", "wv"),
            ("D.C.", "us", "dc"),
            ("Île-du-Prince-Édouard", "ca", "pe"),
            ("Virginie-Occidentale", "us", "wv"),
            ("Île-de-France", "fr", "îledefrance"),
            ("Hawaiʻi", "us", "hi"),
            ("Newfoundland & Labrador", "ca", "nl"),
            ("PEI", "ca", "pe"),
            ("P.Q.", "ca", "qc"),
            ("California (CA)", "us", "ca"),
            ("California (CA)", "", "ca"),
            ("CA-ON", "", "on"),
            ("US-GA", "", "ga"),
            ("Valle d´Aosta", "it", "valledaosta"),
            ("Hawai&", "", "hi"),
            ("Texas &", "", "tx"),
            ("Trinidad & Tobago", "", "trinidadtobago"),
        ] {
            assert_eq!(state(value, country).as_deref(), Ok(expected), "{value} {country}");
        }
    }

    #[test]
    fn never_guesses_inside_a_known_country() {
        for (value, country) in [
            ("Ontario", "us"),
            ("New York", "ca"),
            ("Narnia", "us"),
            ("California (NV)", "us"),
            ("CA-ON", "us"),
        ] {
            assert_eq!(state(value, country), Err(DropReason::UnknownState), "{value}");
        }
        assert_eq!(state("Georgia", "ge").as_deref(), Ok("georgia"));
    }

    #[test]
    fn pinterest_takes_two_letters_only() {
        let parse = |value, country| State::parse(value, country).expect("a state");
        assert_eq!(parse("WB", None).two_letters().as_deref(), Ok("wb"));
        let long = parse("New South Wales", Some("au"));
        assert_eq!(long.two_letters(), Err(DropReason::NotInForm));
    }

    #[test]
    fn keys_are_keys() {
        for (code, names) in STATES.iter().chain(&PROVINCES) {
            for name in names.iter().chain([code]) {
                assert_eq!(text::key(name), *name);
            }
        }
    }
}
