//! One value in one form, or a column in every form: what the rules of the identifiers come to.

use std::borrow::Cow;
use std::fmt;

use super::date_of_birth::{self, DateOrder};
use super::form::{Form, PLATFORMS};
use super::identifier::Identifier;
use super::reason::DropReason;
use super::{city, country, email, external_id, gender, name, phone, placeholder, state, zip};
use crate::hash::{self, Digest};
use crate::text;
use crate::time::Timestamp;

/// What the rules of one value may need to know of its row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// The row's country, else the source's default: ISO alpha-2 in lower case.
    pub country: Option<&'a str>,
    /// The country of the phone where it has one of its own: ISO alpha-2.
    pub phone_country: Option<&'a str>,
    /// The row's postal code as it is; of several, all of them with commas between.
    pub zip: Option<&'a str>,
    /// The last day that can be a date of birth: the event's.
    pub latest_birth: Option<time::Date>,
    /// How the source writes dates that are not in ISO order, if it says so.
    pub date_order: Option<DateOrder>,
    /// The form of which the source's hashed phones are.
    pub hashed_phone: HashedPhone,
    /// When the event happened: a click id must not be later.
    pub event_time: Option<Timestamp>,
    /// When the `fbclid` was seen: with it an `fbc` is built.
    pub clicked_at: Option<Timestamp>,
}

/// The form of phones that a source has hashed itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashedPhone {
    /// Digits only: serves the platforms of the plain form.
    #[default]
    Digits,
    /// With `+`: serves the platforms of that form.
    Plus,
}

impl HashedPhone {
    /// Reads the option of a source: `digits` or `plus`.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "digits" => Some(Self::Digits),
            "plus" => Some(Self::Plus),
            _ => None,
        }
    }
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
    let form = Form::of(identifier, platform);
    match Parsed::parse(identifier, value, context)? {
        Parsed::Digest(digest, of) if of.serves(form) => Ok(Normalized::Digest(digest)),
        Parsed::Digest(..) => Err(DropReason::DigestOfOtherForm),
        parsed => parsed.form(identifier, form).map(|text| Normalized::Text(text.into_owned())),
    }
}

/// How a platform takes an identifier.
#[derive(Clone, Copy)]
pub(super) enum Takes {
    /// As the digest of one of the forms.
    Hashed,
    /// In clear. Nothing stores it: this shows what a digest is not made for.
    Clear(fn(&str, &Parsed<'_>) -> String),
    /// Not at all.
    Nothing,
}

/// How a platform takes an identifier; of a platform that has no documents, all hashed.
pub(super) fn takes(identifier: Identifier, platform: &str) -> Takes {
    use Identifier::{
        City, Country, DateOfBirth, Email, ExternalId, FirstName, Gender, LastName, Phone, State,
        Zip,
    };
    match (platform, identifier) {
        (_, Email) => Takes::Hashed,
        ("linkedin", FirstName | LastName | ExternalId) => Takes::Clear(|value, _| trimmed(value)),
        ("linkedin", Country) => Takes::Clear(|_, parsed| parsed.plain().to_uppercase()),
        ("linkedin", Phone | Gender | DateOfBirth | City | State | Zip) => Takes::Nothing,
        (_, Phone) => Takes::Hashed,
        ("google_ads" | "ga4", Country) => Takes::Clear(|_, parsed| parsed.plain().to_uppercase()),
        ("google_ads" | "ga4", Zip) => Takes::Clear(|value, _| trimmed(value)),
        ("google_ads", Gender | DateOfBirth | City | State | ExternalId)
        | ("ga4", Gender | DateOfBirth) => Takes::Nothing,
        ("ga4", City | State) => Takes::Clear(|value, _| letters(&text::fold(value))),
        ("ga4" | "microsoft", ExternalId) => Takes::Clear(|value, _| trimmed(value)),
        ("tiktok", Country) => Takes::Clear(|_, parsed| parsed.plain().to_owned()),
        ("tiktok", City | State) => Takes::Clear(|_, parsed| letters(parsed.plain())),
        ("tiktok", Gender | DateOfBirth) | ("snapchat", DateOfBirth) => Takes::Nothing,
        ("reddit", ExternalId) => Takes::Hashed,
        ("reddit" | "x" | "microsoft", _) => Takes::Nothing,
        _ => Takes::Hashed,
    }
}

fn trimmed(value: &str) -> String {
    value.trim_matches(text::is_blank).to_owned()
}

/// Letters and the spaces between them.
fn letters(folded: &str) -> String {
    let keep = |c: char| c.is_whitespace() || text::is_letter(c) || text::is_mark(c);
    text::retain(Cow::Borrowed(folded), keep).trim().to_owned()
}

/// All forms of a list of values.
#[derive(Clone, Debug, Default)]
pub struct Hashed {
    /// The plain form, which is Meta's.
    pub digests: Vec<Digest>,
    /// The forms whose digests differ from the plain ones; an empty list means that the rule of
    /// this form drops them.
    pub forms: Vec<(Form, Vec<Digest>)>,
    /// Why values were dropped in every form.
    pub dropped: Vec<DropReason>,
}

/// Most values of one identifier that are hashed: more than a customer has, or a platform takes.
pub const MOST_VALUES: usize = 32;

/// Longest value of an identifier, in bytes: longer than any that somebody typed.
const LONGEST_VALUE: usize = 4096;

/// Hashes a list of values in all forms; each is parsed once, duplicates go, the order stays. What
/// is behind the first [`MOST_VALUES`] is not looked at.
pub fn hash_all(identifier: Identifier, values: &[&str], context: &Context<'_>) -> Hashed {
    let mut hashed = Hashed::default();
    let mut parsed = Vec::with_capacity(values.len());
    if values.len() > MOST_VALUES {
        hashed.dropped.push(DropReason::TooMany);
    }
    for value in values.iter().take(MOST_VALUES) {
        match Parsed::parse(identifier, value, context) {
            Ok(value) => parsed.push(value),
            Err(reason) => hashed.dropped.push(reason),
        }
    }
    let mut memo = Memo::default();
    let mut texts = Vec::with_capacity(parsed.len());
    for form in std::iter::once(Form::Plain).chain(identifier.forms().iter().map(|(f, _)| *f)) {
        if form != Form::Plain && parsed.iter().all(Parsed::has_one_form) {
            break;
        }
        texts.clear();
        texts.extend(parsed.iter().map(|value| value.in_form(identifier, form)));
        let is_plain = form == Form::Plain;
        if !is_plain && parsed.iter().zip(&texts).all(|(value, text)| value.has_plain(text)) {
            continue;
        }
        let mut digests = Vec::with_capacity(parsed.len());
        for text in texts.drain(..).flatten() {
            push(&mut digests, memo.digest(text));
        }
        match is_plain {
            true => hashed.digests = digests,
            false => hashed.forms.push((form, digests)),
        }
    }
    hashed
}

/// What a platform gets of one value: a text to hash, or a digest as it came.
enum Given<'a> {
    Text(Cow<'a, str>),
    Digest(&'a Digest),
}

/// Texts that were hashed already: forms often agree on a value, and hashing costs the most.
#[derive(Default)]
struct Memo<'a>(Vec<(Cow<'a, str>, Digest)>);

impl<'a> Memo<'a> {
    fn digest(&mut self, given: Given<'a>) -> Digest {
        let text = match given {
            Given::Digest(digest) => return digest.clone(),
            Given::Text(text) => text,
        };
        if let Some((_, digest)) = self.0.iter().find(|(known, _)| *known == text) {
            return digest.clone();
        }
        let digest = Digest::of(&text);
        self.0.push((text, digest.clone()));
        digest
    }
}

fn push(digests: &mut Vec<Digest>, digest: Digest) {
    if !digests.contains(&digest) {
        digests.push(digest);
    }
}

/// The forms that a digest which the source made can stand for.
#[derive(Clone, Copy)]
pub(super) enum Serves {
    /// No other form can be derived from a digest.
    Only(Form),
    /// Only the source knows what its ids look like.
    Every,
}

impl Serves {
    pub(super) fn of(identifier: Identifier, context: &Context<'_>) -> Self {
        match (identifier, context.hashed_phone) {
            (Identifier::ExternalId, _) => Self::Every,
            (Identifier::Phone, HashedPhone::Plus) => Self::Only(Form::Plus),
            _ => Self::Only(Form::Plain),
        }
    }

    pub(super) fn serves(self, form: Form) -> bool {
        match self {
            Self::Only(only) => only == form,
            Self::Every => true,
        }
    }
}

/// A value of any identifier.
pub(super) enum Parsed<'a> {
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
    Digest(Digest, Serves),
}

impl<'a> Parsed<'a> {
    pub(super) fn parse(
        identifier: Identifier,
        value: &'a str,
        context: &Context<'_>,
    ) -> Result<Self, DropReason> {
        if value.len() > LONGEST_VALUE {
            return Err(DropReason::TooLong);
        }
        if let Some(digest) = Digest::recognise(value) {
            return if placeholder::is_digest_of_none(&digest) {
                Err(DropReason::Placeholder)
            } else {
                Ok(Self::Digest(digest, Serves::of(identifier, context)))
            };
        }
        // An id keeps its punctuation; every other field loses it on the way to a form.
        if Digest::is_mangled(value, identifier == Identifier::ExternalId) {
            return Err(DropReason::MangledDigest);
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
                context.date_order,
                context.latest_birth,
            )?),
            Identifier::City => Self::City(city::City::parse(value, context.zip)?),
            Identifier::State => Self::State(state::State::parse(value, context.country)?),
            Identifier::Zip => Self::Zip(zip::Zip::parse(value, context.country)?),
            Identifier::Country => Self::Country(country::Country::parse(value)?),
            Identifier::ExternalId => Self::ExternalId(external_id::ExternalId::parse(value)?),
        };
        hashable(identifier, parsed.plain())?;
        Ok(parsed)
    }

    pub(super) fn plain(&self) -> &str {
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
            Self::Digest(digest, _) => digest.as_str(),
        }
    }

    /// The text of a form, which is no placeholder either: `Mr. Unknown` is one without title.
    pub(super) fn form(
        &self,
        identifier: Identifier,
        form: Form,
    ) -> Result<Cow<'_, str>, DropReason> {
        let text = match (self, form) {
            (Self::Email(email), Form::GmailDots) => email.gmail_dots(),
            (Self::Email(email), Form::Gmail) => email.gmail(),
            (Self::Email(email), Form::Alphanumeric) => email.alphanumeric(),
            (Self::Email(email), Form::Untagged) => email.untagged(),
            (Self::Phone(phone), Form::Plus) => Ok(Cow::Borrowed(phone.e164())),
            (Self::Name(name), Form::Letters) => name.letters(),
            (Self::Name(name), Form::Untitled) => name.untitled(),
            (Self::Name(name), Form::Trimmed) => name.trimmed(),
            (Self::Name(name), Form::Unpunctuated) => name.unpunctuated(),
            (Self::Name(name), Form::Unspaced) => name.unspaced(),
            (Self::State(state), Form::TwoLetters) => state.two_letters(),
            (Self::Zip(zip), Form::Digits) => zip.digits(),
            (Self::Zip(zip), Form::Uncut) => Ok(Cow::Borrowed(zip.uncut())),
            (Self::ExternalId(id), Form::Verbatim) => Ok(Cow::Borrowed(id.verbatim())),
            _ => return Ok(Cow::Borrowed(self.plain())),
        }?;
        // The plain text was judged when the value was parsed.
        if text != self.plain() {
            hashable(identifier, &text)?;
        }
        Ok(text)
    }

    /// Whether all forms are surely the same; most addresses and names are that simple.
    fn has_one_form(&self) -> bool {
        match self {
            Self::Email(email) => email.has_one_form(),
            Self::Name(name) => name.has_one_form(),
            Self::ExternalId(id) => id.as_str() == id.verbatim(),
            _ => false,
        }
    }

    /// What this value is in a form, if it is anything there.
    fn in_form(&self, identifier: Identifier, form: Form) -> Option<Given<'_>> {
        match self {
            Self::Digest(digest, of) => of.serves(form).then_some(Given::Digest(digest)),
            _ => self.form(identifier, form).ok().map(Given::Text),
        }
    }

    /// Whether a form needs no place of its own: it gives what the plain one gives.
    fn has_plain(&self, in_form: &Option<Given<'_>>) -> bool {
        match (self, in_form) {
            (Self::Digest(_, of), given) => given.is_some() == of.serves(Form::Plain),
            (_, Some(Given::Text(text))) => *text == self.plain(),
            _ => false,
        }
    }
}

/// Refuses what must not be hashed though it came out of a rule: `N-O-N-E` is a placeholder once
/// its hyphens are gone, and a city may end as a digest once its zip is cut.
fn hashable(identifier: Identifier, text: &str) -> Result<(), DropReason> {
    // A name's form may keep spaces that the plain one does not: `n ull` is `null`.
    let squeezed = match identifier {
        Identifier::FirstName | Identifier::LastName => text::squeeze(Cow::Borrowed(text)),
        _ => Cow::Borrowed(text),
    };
    match () {
        () if placeholder::is_placeholder(identifier, text) => Err(DropReason::Placeholder),
        () if *squeezed != *text && placeholder::is_placeholder(identifier, &squeezed) => {
            Err(DropReason::Placeholder)
        }
        () if hash::is_hex64(text) => Err(DropReason::MangledDigest),
        () => Ok(()),
    }
}
