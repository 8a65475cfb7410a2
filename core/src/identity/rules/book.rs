//! The rules themselves, in the order of `docs/reference/identifiers.md`.

use super::rule::{Example, Rule, Source};
use crate::identity::form::Form;
use crate::identity::reason::DropReason;

const META: Source = Source {
    title: "Meta: customer information parameters",
    url: "https://developers.facebook.com/docs/marketing-api/conversions-api/parameters/customer-information-parameters",
    read: "2026-09-12",
};

const META_CLICK: Source = Source {
    title: "Meta: fbp and fbc",
    url: "https://developers.facebook.com/docs/marketing-api/conversions-api/parameters/fbp-and-fbc",
    read: "2026-09-12",
};

const META_BUILDER: Source = Source {
    title: "Meta's parameter builder",
    url: "https://github.com/facebook/capi-param-builder",
    read: "2026-05-17",
};

const META_EVENT: Source = Source {
    title: "Meta: server event parameters",
    url: "https://developers.facebook.com/docs/marketing-api/conversions-api/parameters/server-event",
    read: "2026-09-12",
};

const GA4: Source = Source {
    title: "Google Analytics 4: user-provided data",
    url: "https://developers.google.com/analytics/devguides/collection/ga4/uid-data",
    read: "2026-09-12",
};

const GOOGLE_ADS: Source = Source {
    title: "Google Ads, Data Manager API: formatting",
    url: "https://developers.google.com/data-manager/api/devguides/concepts/formatting",
    read: "2026-09-12",
};

const TIKTOK: Source = Source {
    title: "TikTok's Events API, as Segment's connector has it",
    url: "https://github.com/segmentio/action-destinations",
    read: "2026-08-21",
};

const PINTEREST: Source = Source {
    title: "Pinterest: API description",
    url: "https://github.com/pinterest/api-description",
    read: "2026-11",
};

const SNAPCHAT: Source = Source {
    title: "Snapchat: Conversions API parameters",
    url: "https://developers.snap.com/api/marketing-api/Conversions-API/Parameters",
    read: "2026-11",
};

const REDDIT: Source = Source {
    title: "Reddit: Conversions API",
    url: "https://ads-api.reddit.com/docs/v3",
    read: "2026-11",
};

const X: Source = Source {
    title: "X: web conversions",
    url: "https://github.com/xdevplatform/docs",
    read: "2026-11",
};

const MICROSOFT: Source = Source {
    title: "Microsoft: UET Conversions API guide, as public adapters of August 2026 read it",
    url: "https://learn.microsoft.com/en-us/advertising/guides/uet-conversion-api-integration",
    read: "2026-11-21",
};

const LINKEDIN: Source = Source {
    title: "LinkedIn: Conversions API",
    url: "https://learn.microsoft.com/en-us/linkedin/marketing/integrations/ads-reporting/conversions-api",
    read: "2026-11",
};

const LIBPHONENUMBER: Source = Source {
    title: "libphonenumber's numbering plans, in the crate rlibphonenumber 2.2.15",
    url: "https://github.com/google/libphonenumber",
    read: "2026-11",
};

const ISO_3166: Source = Source {
    title: "ISO 3166 country codes, in the crate rust_iso3166 0.2",
    url: "https://www.iso.org/iso-3166-country-codes.html",
    read: "2026-11",
};

const ISO_4217: Source = Source {
    title: "ISO 4217 currency codes, in the crate iso_currency 0.7",
    url: "https://www.iso.org/iso-4217-currency-codes.html",
    read: "2026-11",
};

const RFC_6890: Source = Source {
    title: "RFC 6890: special-purpose addresses",
    url: "https://www.rfc-editor.org/rfc/rfc6890",
    read: "2026-11-21",
};

const fn gives(input: &'static str, output: &'static str) -> Example {
    Example::new(input, Ok(output))
}

const fn drops(input: &'static str, reason: DropReason) -> Example {
    Example::new(input, Err(reason))
}

/// SHA-256 of `jo@example.com`.
const DIGEST: &str = "f4e19df2e6c609fbd59a42b9063d0fadf44260218531ea21ad8c575f205c0453";

/// The forms of names that both names share.
const LETTERS: (Form, &str) = (Form::Letters, "digits and symbols removed, inner spaces kept");
const TRIMMED: (Form, &str) = (Form::Trimmed, "trimmed, lower case, nothing else");
const UNPUNCTUATED: (Form, &str) =
    (Form::Unpunctuated, "punctuation removed, inner spaces kept, letters of every script kept");
const UNSPACED: (Form, &str) = (Form::Unspaced, "white space removed, punctuation kept");
const AS_IT_IS: &str = "trimmed, otherwise as it is";
const UPPER: &str = "the two letters in upper case";
const PLACES_IN_CLEAR: &[(&str, &str)] = &[
    ("tiktok", "only the letters of the plain form, lower case"),
    ("ga4", "digits and symbols removed, lower case, inner spaces kept"),
];
const NAMES_IN_CLEAR: &[(&str, &str)] = &[("linkedin", AS_IT_IS)];
const NAME_SOURCES: &[Source] =
    &[META, META_BUILDER, GA4, GOOGLE_ADS, PINTEREST, SNAPCHAT, TIKTOK, LINKEDIN];

/// The rule of a field that travels in clear.
const fn clear(
    fields: &'static [&'static str],
    rule: &'static str,
    examples: &'static [Example],
    sources: &'static [Source],
) -> Rule {
    Rule { fields, rule, forms: &[], in_clear: &[], examples, sources, version: 1 }
}

/// Every rule, in the order of documentation.
pub const BOOK: &[Rule] = &[
    Rule {
        fields: &["email"],
        rule: "One `@`, non-empty local part, domain with a dot, no inner white space or control \
               character; otherwise dropped. So are the remains of a header, `<>()[],;:\"\\`, as \
               in Meta's newest parameter builder; letters of every script, dots and `+` stay.",
        forms: &[
            (Form::GmailDots, "at gmail.com and googlemail.com the dots of the local part removed"),
            (Form::Gmail, "at gmail.com and googlemail.com dots, `+` and what follows removed"),
            (
                Form::Alphanumeric,
                "in every domain cut at `+`, then only letters and digits in the local part",
            ),
            (Form::Untagged, "in every domain cut at `+`, dots of the local part removed"),
        ],
        in_clear: &[],
        examples: &[
            gives(" John_Smith@Gmail.com ", "john_smith@gmail.com"),
            gives("tést@gmail.com", "tést@gmail.com"),
            gives("Jane.Doe+Promo@Gmail.com", "jane.doe+promo@gmail.com"),
            gives("Jane.Doe+Promo@Gmail.com", "janedoe+promo@gmail.com").on("ga4"),
            gives("Jane.Doe+Promo@Gmail.com", "janedoe@gmail.com").on("google_ads"),
            gives("Jane.Doe+Promo@Example.com", "jane.doe+promo@example.com").on("google_ads"),
            gives("Jane_Doe+Promo@Example.com", "janedoe@example.com").on("reddit"),
            gives("Jane_D.oe+Promo@Example.com", "jane_doe@example.com").on("microsoft"),
            gives(DIGEST, DIGEST),
            drops(DIGEST, DropReason::DigestOfOtherForm).on("ga4"),
            drops("a@b", DropReason::Malformed),
            drops("guest@example.com", DropReason::Placeholder),
            drops("test@example.com", DropReason::Placeholder),
            gives("n.a@gmail.com", "na@gmail.com").on("google_ads"),
        ],
        sources: &[META, META_BUILDER, GA4, GOOGLE_ADS, REDDIT, X, MICROSOFT],
        version: 1,
    },
    Rule {
        fields: &["phone"],
        rule: "Parsed to a real E.164 number with `phone_country`, else the row's country, else \
               the source's default country; extension cut, trunk zero removed, letters read as \
               keys. After an explicit `+` or `00` a possible number is enough; where the country \
               was inferred the number must be valid. Digits without `+` or trunk zero that begin \
               with the calling code of the inferred country and whose rest is a valid number \
               there are read as international. Without any country, digits that are valid behind \
               a `+` are accepted, others dropped.",
        forms: &[(Form::Plus, "the same digits behind a `+`")],
        in_clear: &[],
        examples: &[
            gives("+44 (0)20 7946 0958", "442079460958"),
            gives("+44 (0)20 7946 0958", "+442079460958").on("tiktok"),
            gives("0612345678", "33612345678").country("FR"),
            gives("4915112345678", "4915112345678").country("DE"),
            gives("650.555.1212", "16505551212").country("US"),
            gives("16505551212", "16505551212"),
            gives("1-800-FLOWERS", "18003569377").country("US"),
            gives("(212) 555-0123 ext. 4", "12125550123").country("US"),
            drops("1-800-FLOWERS", DropReason::NoCountry),
            drops("0612345678", DropReason::NoCountry),
            drops("0000000000", DropReason::Placeholder).country("US"),
        ],
        sources: &[
            META,
            LIBPHONENUMBER,
            GA4,
            GOOGLE_ADS,
            TIKTOK,
            PINTEREST,
            SNAPCHAT,
            REDDIT,
            X,
            MICROSOFT,
        ],
        version: 1,
    },
    Rule {
        fields: &["first_name"],
        rule: "White space and punctuation removed, letters of every script kept; so are digits. \
               Without a letter it is dropped.",
        forms: &[
            LETTERS,
            (
                Form::Untitled,
                "titles with their dot (`mr.` `mrs.` `ms.` `dr.`) cut in front; hyphens and spaces kept",
            ),
            TRIMMED,
            UNPUNCTUATED,
            UNSPACED,
        ],
        in_clear: NAMES_IN_CLEAR,
        examples: &[
            gives("Mary Ann", "maryann"),
            gives("Jean-Luc", "jeanluc"),
            gives("정", "정"),
            gives("Dr. Mary-Ann 2", "drmaryann2"),
            gives("Dr. Mary-Ann 2", "mary-ann 2").on("google_ads"),
            gives("Dr. Mary-Ann 2", "dr maryann").on("ga4"),
            gives("Dr. Mary-Ann 2", "dr.mary-ann2").on("tiktok"),
            gives("Dr. Mary-Ann 2", "dr. mary-ann 2").on("pinterest"),
            gives("Dr. Mary-Ann 2", "dr maryann 2").on("snapchat"),
            gives(" Mike ", "Mike").on("linkedin"),
            drops("N/A", DropReason::Placeholder),
            drops("undefined undefined", DropReason::Placeholder),
            drops("000", DropReason::Malformed),
            drops("Dr.", DropReason::NotInForm).on("google_ads"),
        ],
        sources: NAME_SOURCES,
        version: 1,
    },
    Rule {
        fields: &["last_name"],
        rule: "White space and punctuation removed, letters of every script kept; so are digits. \
               Without a letter it is dropped.",
        forms: &[
            LETTERS,
            (
                Form::Untitled,
                "suffixes (`jr` `sr` `2nd` `3rd` `ii` to `vi` `phd` `md` and others) cut behind; hyphens and spaces kept",
            ),
            TRIMMED,
            UNPUNCTUATED,
            UNSPACED,
        ],
        in_clear: NAMES_IN_CLEAR,
        examples: &[
            gives("O'Brien", "obrien"),
            gives("O´Brien", "obrien"),
            gives("ΝΙΚΟΣ ΠΑΠΑΣ", "νικοσπαπας"),
            gives("van der Berg", "vanderberg"),
            gives("van der Berg", "van der Berg").on("linkedin"),
            gives("ÉTIENNE", "étienne"),
            gives("King-O'Neil, Jr.", "kingoneiljr"),
            gives("King-O'Neil, Jr.", "king-o'neil").on("google_ads"),
            gives("King-O'Neil, Jr.", "kingoneil jr").on("ga4"),
            gives("King-O'Neil, Jr.", "king-o'neil,jr.").on("tiktok"),
            gives("King-O'Neil, Jr.", "king-o'neil, jr.").on("pinterest"),
            gives("King-O'Neil, Jr.", "kingoneil jr").on("snapchat"),
            gives("Null", "null"),
            drops("Unknown", DropReason::Placeholder),
            drops("---", DropReason::Placeholder),
        ],
        sources: NAME_SOURCES,
        version: 1,
    },
    Rule {
        fields: &["gender"],
        rule: "`f`, `female`, `m`, `male`; nothing else.",
        forms: &[],
        in_clear: &[],
        examples: &[
            gives("f", "f"),
            gives(" Female ", "f"),
            gives("M", "m"),
            drops("Woman", DropReason::NotAGender),
            drops("unknown", DropReason::Placeholder),
        ],
        sources: &[META, PINTEREST],
        version: 1,
    },
    Rule {
        fields: &["date_of_birth"],
        rule: "A date, or text as `YYYY-MM-DD`, `YYYYMMDD`, or three parts of which only one \
               reading is a real day, the year with four digits; a calendar day from 1900 to the \
               event. Between and behind the digits nothing but separators, signs of year, month \
               and day (`年月日`), a midnight or a note in parentheses; text with letters there \
               is dropped. A source that says `date_order` (`dmy`, `mdy` or `ymd`) decides where \
               several readings are real.",
        forms: &[],
        in_clear: &[],
        examples: &[
            gives("1997-02-16", "19970216"),
            gives("2/16/1997", "19970216"),
            gives("1997-02-16T00:00:00", "19970216"),
            gives("1997年2月16日", "19970216"),
            gives("02/03/1997", "19970302").date_order("dmy"),
            gives("02/03/1997", "19970203").date_order("mdy"),
            drops("02/03/1997", DropReason::Ambiguous),
            drops("02/16/1997", DropReason::ImpossibleDate).date_order("dmy"),
            drops("1997-02-30", DropReason::ImpossibleDate),
            drops("97-02-16", DropReason::Malformed),
            drops("1997-W07-7", DropReason::Malformed),
            drops("1997-02-16BC", DropReason::Malformed),
        ],
        sources: &[META, META_BUILDER, PINTEREST],
        version: 1,
    },
    Rule {
        fields: &["city"],
        rule: "White space, punctuation and symbols removed, letters of every script and digits \
               kept; a trailing group of digits equal to the row's zip, or to one of them, cut. Without a letter it \
               is dropped.",
        forms: &[],
        in_clear: PLACES_IN_CLEAR,
        examples: &[
            gives("São Paulo", "sãopaulo"),
            gives("Coeur d'Alene", "coeurdalene"),
            gives("L´Aquila", "laquila"),
            gives("東京", "東京"),
            gives("29 Palms", "29palms"),
            gives("Seattle 98121", "seattle").zip("98121"),
            gives("Seattle 98121", "seattle98121"),
            gives("29 Palms", "palms").on("tiktok"),
            gives("29 Palms, Calif.", "palms calif").on("ga4"),
            drops("10115", DropReason::Malformed),
            drops("n/a", DropReason::Placeholder),
        ],
        sources: &[META, META_BUILDER, PINTEREST, TIKTOK, GA4],
        version: 1,
    },
    Rule {
        fields: &["state"],
        rule: "Country (row's, else source's default) US or CA: name in English or French, \
               accents folded for the look-up, or code, or ISO 3166-2 code, to the two letters, \
               DC and territories included, a code in parentheses behind its name cut; unknown \
               ones dropped. Elsewhere, or where the country is unknown and the text is no exact \
               US name and no ISO 3166-2 code of either country, white space and punctuation \
               removed.",
        forms: &[(Form::TwoLetters, "two letters; others dropped")],
        in_clear: PLACES_IN_CLEAR,
        examples: &[
            gives("California", "ca"),
            gives("US-CA", "ca").country("US"),
            gives("Hawaiʻi", "hi").country("US"),
            gives("Québec", "qc").country("CA"),
            gives("West Virginia, USA", "wv"),
            gives("California (CA)", "ca"),
            gives("Newfoundland & Labrador", "nl").country("CA"),
            gives("CA-ON", "on"),
            gives("New South Wales", "newsouthwales").country("AU"),
            gives("California", "ca").on("pinterest"),
            gives("California", "ca").on("tiktok"),
            gives("New South Wales", "new south wales").country("AU").on("ga4"),
            drops("New South Wales", DropReason::NotInForm).country("AU").on("pinterest"),
            drops("Bayern", DropReason::UnknownState).country("US"),
        ],
        sources: &[META, PINTEREST, TIKTOK, GA4],
        version: 1,
    },
    Rule {
        fields: &["zip"],
        rule: "Spaces, dashes, the minus sign and `〒` removed, full-width letters and digits read \
               as plain ones; with country US, or the pattern five-dash-four, the first five \
               digits; a US zip of other than five or nine digits dropped.",
        forms: &[
            (Form::Digits, "digits only; others dropped"),
            (Form::Uncut, "spaces and dashes removed, nothing cut"),
        ],
        in_clear: &[("google_ads", AS_IT_IS), ("ga4", AS_IT_IS)],
        examples: &[
            gives("SW1A 1AA", "sw1a1aa"),
            gives("94105-1234", "94105"),
            gives("940351234", "94035").country("US"),
            gives("00-950", "00950").country("PL"),
            gives("1000-205", "1000205").country("PT"),
            gives("〒１００－０００１", "1000001").country("JP"),
            gives("94105-1234", "941051234").on("tiktok"),
            gives("94105-1234", "94105").on("pinterest"),
            gives(" 1229-076 ", "1229-076").on("google_ads"),
            gives(" 94105-1234 ", "94105-1234").on("ga4"),
            drops("SW1A 1AA", DropReason::NotInForm).on("pinterest"),
            drops("9410", DropReason::Malformed).country("US"),
            drops("941051", DropReason::Malformed).country("US"),
            drops("00000", DropReason::Placeholder),
        ],
        sources: &[META, PINTEREST, TIKTOK, GOOGLE_ADS, GA4],
        version: 1,
    },
    Rule {
        fields: &["country"],
        rule: "ISO 3166-1 alpha-2; alpha-3, English short names and usual aliases mapped exactly, \
               never by prefix. Case, accents, spaces and punctuation do not count, `&` is `and`; a \
               code in parentheses behind the name of the same country is cut.",
        forms: &[],
        in_clear: &[
            ("google_ads", UPPER),
            ("ga4", UPPER),
            ("linkedin", UPPER),
            ("tiktok", "the two letters in lower case"),
        ],
        examples: &[
            gives("USA", "us"),
            gives("England", "gb"),
            gives("Great Britain", "gb"),
            gives("Deutschland", "de"),
            gives("us", "US").on("google_ads"),
            gives("USA", "US").on("ga4"),
            gives("USA", "US").on("linkedin"),
            gives("USA", "us").on("tiktok"),
            gives("United States (US)", "us"),
            gives("Bahamas, The", "bs"),
            drops("Atlantis", DropReason::UnknownCountry),
            drops("Germ", DropReason::UnknownCountry),
        ],
        sources: &[META, ISO_3166, GOOGLE_ADS, GA4, TIKTOK, LINKEDIN],
        version: 1,
    },
    Rule {
        fields: &["external_id"],
        rule: "White space removed, lower case, as Meta's newest builder and so the pixel does.",
        forms: &[(Form::Verbatim, AS_IT_IS)],
        in_clear: &[("ga4", AS_IT_IS), ("linkedin", AS_IT_IS), ("microsoft", AS_IT_IS)],
        examples: &[
            gives(" User 42 ", "user42"),
            gives(" User 42 ", "User 42").on("tiktok"),
            gives(" User 42 ", "User 42").on("ga4"),
            gives("User 42", "User 42").on("linkedin"),
            gives("User 42", "User 42").on("microsoft"),
            gives("ABC-123", "abc-123"),
            gives("0", "0"),
            drops("undefined", DropReason::Placeholder),
            drops("00000000-0000-0000-0000-000000000000", DropReason::Placeholder),
            drops(
                "sha256:f4e19df2e6c609fbd59a42b9063d0fadf44260218531ea21ad8c575f205c0453",
                DropReason::MangledDigest,
            ),
        ],
        sources: &[META, META_BUILDER, REDDIT, TIKTOK, GA4, LINKEDIN, MICROSOFT],
        version: 1,
    },
    clear(
        &["client_ip_address"],
        "IPv4 or IPv6, without port, prefix length or zone; first public address of a forwarded \
         list; IPv4-mapped IPv6 unwrapped; the appendix of Meta's parameter builder cut; \
         private, shared (100.64.0.0/10), benchmark (198.18.0.0/15), reserved (240.0.0.0/4), \
         loopback, link-local, site-local and multicast addresses dropped, also within \
         64:ff9b::/96.",
        &[
            gives("203.0.113.7:443", "203.0.113.7"),
            gives("203.0.113.7/32", "203.0.113.7"),
            gives("203.0.113.7.AQQCAQIB", "203.0.113.7"),
            gives("10.0.0.1, 203.0.113.7", "203.0.113.7"),
            gives("[2001:DB8::1]:443", "2001:db8::1"),
            gives("::ffff:203.0.113.7", "203.0.113.7"),
            drops("10.0.0.1", DropReason::PrivateAddress),
            drops("localhost", DropReason::Malformed),
        ],
        &[META, META_BUILDER, RFC_6890],
    ),
    clear(
        &["client_user_agent"],
        "Trimmed, otherwise as the browser sent it; at most 4,096 bytes, no control characters.",
        &[
            gives("Mozilla/5.0 (X11; Linux x86_64)", "Mozilla/5.0 (X11; Linux x86_64)"),
            gives(" curl/8.5.0 ", "curl/8.5.0"),
            drops("undefined", DropReason::Placeholder),
            drops(" ", DropReason::Empty),
        ],
        &[META],
    ),
    clear(
        &["fbc"],
        "Forwarded byte for byte when well formed, dropped otherwise: `fb.`, one digit, `.`, 13 \
         digits of milliseconds, `.`, letters, digits, `-` and `_`, perhaps `.` and two or eight \
         more. Dropped when the click is later than the event or more than 90 days before it.",
        &[
            gives("fb.1.1700000000123.AbC-dEf_123", "fb.1.1700000000123.AbC-dEf_123")
                .event_time("2023-11-20T00:00:00Z"),
            gives("fb.1.1700000000123.AbC.AQ", "fb.1.1700000000123.AbC.AQ"),
            drops("fb.1.1700000000123.AbC", DropReason::Expired).event_time("2024-03-01T00:00:00Z"),
            drops("fb.1.1700000000123.AbC", DropReason::LaterThanEvent)
                .event_time("2023-11-01T00:00:00Z"),
            drops("fb.1.1700000000.AbC", DropReason::Malformed),
            drops("AbC-dEf_123", DropReason::Malformed),
        ],
        &[META_CLICK, META_BUILDER],
    ),
    clear(
        &["fbclid"],
        "With its click time `fbclid_at` builds an fbc with index 1, in milliseconds, case kept, \
         never wrapped twice; an `fbc` of its own wins.",
        &[
            gives("AbC-dEf_123", "fb.1.1700000000123.AbC-dEf_123")
                .clicked_at("2023-11-14T22:13:20.123Z"),
            gives("fb.1.1700000000123.AbC", "fb.1.1700000000123.AbC")
                .clicked_at("2023-11-20T00:00:00Z"),
            gives("AbC-dEf_123", "AbC-dEf_123"),
            drops("Ab.C", DropReason::Malformed),
            drops("null", DropReason::Placeholder),
        ],
        &[META_CLICK],
    ),
    clear(
        &["fbp"],
        "Forwarded byte for byte when well formed, dropped otherwise: as `fbc`, but digits in the \
         fourth place, and no limit of age.",
        &[
            gives("fb.1.1700000000123.1098115397", "fb.1.1700000000123.1098115397"),
            gives("fb.0.1700000000123.1.AQQCAQIB", "fb.0.1700000000123.1.AQQCAQIB"),
            drops("fb.1.1700000000123.AbC", DropReason::Malformed),
            drops("1098115397", DropReason::Malformed),
        ],
        &[META_CLICK, META_BUILDER],
    ),
    clear(
        &[
            "ga_client_id",
            "ga_session_id",
            "gclid",
            "gbraid",
            "wbraid",
            "ttclid",
            "ttp",
            "epik",
            "sc_click_id",
            "sc_cookie1",
            "li_fat_id",
            "rdt_cid",
            "rdt_uuid",
            "subscription_id",
            "madid",
            "anon_id",
            "ctwa_clid",
            "page_scoped_user_id",
            "ig_sid",
        ],
        "Verbatim, case kept; at most 1,024 bytes, no white space or control characters. Ids of \
         zeros only are placeholders.",
        &[
            gives("Cj0KCQ-AbC.1~2", "Cj0KCQ-AbC.1~2"),
            gives(" AbC ", "AbC"),
            drops("undefined", DropReason::Placeholder),
            drops("00000000-0000-0000-0000-000000000000", DropReason::Placeholder),
            drops("a b", DropReason::Unprintable),
        ],
        &[META, GOOGLE_ADS, TIKTOK, PINTEREST, SNAPCHAT, REDDIT, LINKEDIN],
    ),
    clear(
        &["lead_id"],
        "Meta's id of a lead: 15 to 17 digits.",
        &[
            gives("123456789012345", "123456789012345"),
            gives(" 12345678901234567 ", "12345678901234567"),
            drops("lead-id-3", DropReason::Malformed),
            drops("12345", DropReason::Malformed),
        ],
        &[META],
    ),
    clear(
        &["fb_login_id"],
        "A positive whole number.",
        &[
            gives("1234567890", "1234567890"),
            gives(" 42 ", "42"),
            drops("jane", DropReason::Malformed),
            drops("0", DropReason::Malformed),
        ],
        &[META],
    ),
    clear(
        &["event_id"],
        "As it is, because the pixel sends the same; at most 256 bytes, no control characters. \
         Without one the row is a capture error.",
        &[
            gives("order-42", "order-42"),
            gives("Order 42", "Order 42"),
            gives("2f1c…", "2f1c…"),
            drops(" ", DropReason::Empty),
        ],
        &[META_EVENT],
    ),
    clear(
        &["currency"],
        "ISO 4217, upper case. An unknown code is a capture error.",
        &[
            gives("eur", "EUR"),
            gives(" USD ", "USD"),
            drops("ABC", DropReason::UnknownCurrency),
            drops("€", DropReason::UnknownCurrency),
        ],
        &[ISO_4217, META_EVENT],
    ),
    clear(
        &["value"],
        "A finite decimal number without exponent or grouping, every digit kept; without a \
         currency it is dropped, except that a `Purchase` is a capture error then.",
        &[
            gives("129.90", "129.90"),
            gives("007", "7"),
            gives("-3.10", "-3.10"),
            drops("NaN", DropReason::NotANumber),
            drops("1,000", DropReason::NotANumber),
        ],
        &[META_EVENT],
    ),
];
