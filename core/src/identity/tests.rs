//! What holds for every identifier: properties, digests, forms.

use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::{
    Context, DropReason, Form, HashedPhone, Identifier, Normalized, PLATFORMS, country_code,
    hash_all, normalize,
};
use crate::hash::Digest;

const NOWHERE: Context<'_> = Context {
    country: None,
    phone_country: None,
    zip: None,
    latest_birth: None,
    date_order: None,
    hashed_phone: HashedPhone::Digits,
    event_time: None,
    clicked_at: None,
};

fn text(identifier: Identifier, value: &str, platform: &str) -> Result<String, DropReason> {
    normalize(identifier, value, platform, &NOWHERE).map(Normalized::into_string)
}

#[test]
fn identifiers_are_found_by_their_names() {
    for identifier in Identifier::ALL {
        assert_eq!(Identifier::parse(identifier.as_str()), Some(identifier));
    }
    assert_eq!(Identifier::parse("e-mail"), None);
}

#[test]
fn a_digest_serves_the_plain_form_only() {
    let digest = Digest::of("jo@example.com");
    let raw = format!(" {}.AQ", digest.as_str().to_uppercase());
    let meta = normalize(Identifier::Email, &raw, "meta", &NOWHERE);
    assert_eq!(meta, Ok(Normalized::Digest(digest.clone())));
    for platform in ["ga4", "google_ads", "reddit", "microsoft"] {
        assert_eq!(
            normalize(Identifier::Email, &raw, platform, &NOWHERE),
            Err(DropReason::DigestOfOtherForm)
        );
    }
    let hashed = hash_all(Identifier::Email, &[&raw], &NOWHERE);
    assert_eq!(hashed.digests, [digest]);
    assert!(hashed.forms.iter().all(|(_, digests)| digests.is_empty()));
    assert_eq!(hashed.forms.len(), 4);
    // MD5 and a UUID without dashes are values like any other.
    let short = "d41d8cd98f00b204e9800998ecf8427e";
    assert_eq!(text(Identifier::ExternalId, short, "meta").as_deref(), Ok(short));
}

#[test]
fn a_hashed_phone_serves_the_platforms_of_its_form() {
    let digest = Digest::of("+33612345678");
    let digits = Context { hashed_phone: HashedPhone::Digits, ..NOWHERE };
    let plus = Context { hashed_phone: HashedPhone::Plus, ..NOWHERE };
    for (context, serves) in [(&digits, "meta"), (&plus, "tiktok")] {
        for platform in ["meta", "tiktok"] {
            let expected = if platform == serves {
                Ok(Normalized::Digest(digest.clone()))
            } else {
                Err(DropReason::DigestOfOtherForm)
            };
            let given = normalize(Identifier::Phone, digest.as_str(), platform, context);
            assert_eq!(given, expected, "{platform}");
        }
    }
    let hashed = hash_all(Identifier::Phone, &[digest.as_str()], &digits);
    assert_eq!(hashed.digests, std::slice::from_ref(&digest));
    assert_eq!(hashed.forms, [(Form::Plus, vec![])]);
    let hashed = hash_all(Identifier::Phone, &[digest.as_str(), "+49 30 23125123"], &plus);
    assert_eq!(hashed.digests, [Digest::of("493023125123")]);
    let expected = vec![digest, Digest::of("+493023125123")];
    assert_eq!(hashed.forms, [(Form::Plus, expected)]);
    assert!(hashed.dropped.is_empty());
}

#[test]
fn lists_lose_duplicates_and_keep_their_order() {
    let values = ["b@example.com", "A@example.com", "n/a", "a@example.com ", "", "b@example.com"];
    let hashed = hash_all(Identifier::Email, &values, &NOWHERE);
    let expected = [Digest::of("b@example.com"), Digest::of("a@example.com")];
    assert_eq!(hashed.digests, expected);
    assert_eq!(hashed.dropped, [DropReason::Placeholder, DropReason::Empty]);
    assert!(hashed.forms.is_empty(), "all forms are Meta's");
}

#[test]
fn a_form_is_stored_where_it_differs() {
    let hashed = hash_all(Identifier::Email, &["Jane.Doe+x@gmail.com"], &NOWHERE);
    let forms: Vec<_> = hashed.forms.into_iter().collect();
    let expected = [
        (Form::GmailDots, vec![Digest::of("janedoe+x@gmail.com")]),
        (Form::Gmail, vec![Digest::of("janedoe@gmail.com")]),
        (Form::Alphanumeric, vec![Digest::of("janedoe@gmail.com")]),
        (Form::Untagged, vec![Digest::of("janedoe@gmail.com")]),
    ];
    assert_eq!(forms, expected);

    let france = Context { country: Some("fr"), ..NOWHERE };
    let hashed = hash_all(Identifier::Phone, &["0612345678"], &france);
    assert_eq!(hashed.digests, [Digest::of("33612345678")]);
    assert_eq!(hashed.forms, [(Form::Plus, vec![Digest::of("+33612345678")])]);

    let hashed = hash_all(Identifier::Zip, &["SW1A 1AA"], &NOWHERE);
    assert_eq!(hashed.forms, [(Form::Digits, vec![])]);
}

#[test]
fn the_phones_own_country_wins() {
    let context = Context { country: Some("us"), phone_country: Some("fr"), ..NOWHERE };
    let phone = normalize(Identifier::Phone, "0612345678", "tiktok", &context);
    assert_eq!(phone.map(Normalized::into_string).as_deref(), Ok("+33612345678"));
}

#[test]
fn debug_shows_no_clear_text() {
    let shown = format!("{:?}", text(Identifier::City, "Paris", "meta").map(Normalized::Text));
    assert_eq!(shown, "Ok(Text(..))");
    assert_eq!(format!("{:?}", super::phone::Phone::parse("+33612345678", None)), "Ok(Phone(..))");
}

#[test]
fn what_nobody_sees_changes_no_digest() {
    for (identifier, clean) in [
        (Identifier::Email, "jane@example.com"),
        (Identifier::FirstName, "jane"),
        (Identifier::City, "berlin"),
        (Identifier::Zip, "10115"),
        (Identifier::Country, "de"),
        (Identifier::Gender, "f"),
        (Identifier::DateOfBirth, "19970216"),
        (Identifier::ExternalId, "user42"),
    ] {
        let dirty = format!("\u{feff}{}\u{200b}{}\u{202c}", &clean[..1], &clean[1..]);
        assert_eq!(text(identifier, &dirty, "meta").as_deref(), Ok(clean), "{identifier:?}");
        for nothing in ["\u{200b}", "\u{3164}", "\u{2800}", "\u{115f}\u{1160}", "\u{fe0f}", "\u{1}"]
        {
            let dropped = text(identifier, nothing, "meta");
            assert_eq!(dropped, Err(DropReason::Empty), "{identifier:?} {nothing:?}");
        }
    }
}

#[test]
fn no_form_is_a_placeholder() {
    let dropped = Err(DropReason::Placeholder);
    assert_eq!(text(Identifier::FirstName, "N-O-N-E", "meta"), dropped);
    assert_eq!(text(Identifier::FirstName, "Mr. Unknown", "meta").as_deref(), Ok("mrunknown"));
    assert_eq!(text(Identifier::FirstName, "Mr. Unknown", "google_ads"), dropped);
    let no_letter = Err(DropReason::NotInForm);
    assert_eq!(text(Identifier::LastName, "- Jr.", "google_ads"), no_letter);
    assert_eq!(text(Identifier::Email, "no.reply@gmail.com", "ga4"), dropped);
    assert_eq!(text(Identifier::FirstName, "N 1ull", "meta").as_deref(), Ok("n1ull"));
    assert_eq!(text(Identifier::FirstName, "N 1ull", "ga4"), dropped);
}

fn context() -> impl Strategy<Value = (Option<&'static str>, Option<&'static str>)> {
    let country = prop::sample::select(vec![
        None,
        Some("us"),
        Some("ca"),
        Some("fr"),
        Some("de"),
        Some("gb"),
        Some("it"),
        Some("jp"),
        Some("ar"),
        Some("br"),
        Some("mx"),
        Some("sg"),
        Some("au"),
        Some("ru"),
    ]);
    (country, prop::sample::select(vec![None, Some("94105-1234"), Some("75001")]))
}

/// A digest, and what spreadsheets, exports and careless queries make of one.
fn disguised() -> impl Strategy<Value = (String, String)> {
    let between = prop::sample::select(vec![
        "", "", " ", "-", ":", "_", ".", "\u{200b}", "\u{ad}", "\u{2060}", "\u{3000}", "\t",
    ]);
    let prefix = prop::sample::select(vec![
        "", "", "sha256:", "SHA-256=", "0x", "\\x", "x'", "'", "\"", "\u{feff}", "[", "hash ",
    ]);
    let suffix =
        prop::sample::select(vec!["", "", "'", "\"", "]", ".AQ", ".AQQCAQIB", ".AQ\"", "\n"]);
    (any::<[u8; 32]>(), between, 1..40_usize, prefix, suffix, 0..3_u8).prop_map(
        |(bytes, between, every, prefix, suffix, case)| {
            let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            let spread: Vec<&str> =
                (0..64).step_by(every).map(|at| &hex[at..(at + every).min(64)]).collect();
            let spread = spread.join(between);
            let spread = match case {
                0 => spread,
                1 => spread.to_uppercase(),
                _ => spread
                    .chars()
                    .map(|c| match c {
                        '0'..='9' => char::from_u32(c as u32 + 0xfee0).unwrap_or(c),
                        c => c,
                    })
                    .collect(),
            };
            (hex, format!("{prefix}{spread}{suffix}"))
        },
    )
}

/// Texts near the rules: what people type, what programs leave behind, and anything at all.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ \\t]?[A-Za-zÀ-ž'’. ,+_-]{0,12}@[A-Za-z.-]{0,10}(gmail|example)\\.(com|co\\.uk)",
        "[+0]{0,3}[0-9 ()./-]{3,18}( ?(ext|x) ?[0-9]{1,4})?",
        "(1-800-)?[A-Z]{2,9}",
        "[0-9]{1,4}[-/. ][0-9]{1,2}[-/. ][0-9]{1,4}",
        "((Mr|Dr)\\. ?){0,2}[\\p{L}\\p{M}' -]{0,12}(,? (Jr\\.|III|PhD)){0,2}",
        "[A-Za-z ]{0,14}[ ,-]*(94105|75001|USA|Canada|CA)?",
        prop::sample::select(vec!["US-CA", "İstanbul", "ΟΔΟΣ Σ", "K\u{212a}", "e-\u{301}", "ﬁ"])
            .prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(1_000))]

    #[test]
    fn a_normalised_value_is_left_alone(
        value in value(),
        (country, zip) in context(),
        platform in prop::sample::select(PLATFORMS.to_vec()),
    ) {
        let context = Context { country, zip, ..NOWHERE };
        for identifier in Identifier::ALL {
            let Ok(once) = normalize(identifier, &value, platform, &context) else { continue };
            let digest = once.digest();
            prop_assert_eq!(digest.as_str().len(), 64);
            prop_assert!(digest.as_str().bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
            prop_assert!(digest != empty());
            let once = once.into_string();
            prop_assert!(!once.is_empty());
            // Digits alone do not say that they are international; the form with `+` does.
            let again = if identifier == Identifier::Phone && !once.starts_with('+') {
                let again = normalize(identifier, &format!("+{once}"), platform, &context);
                again.map(Normalized::into_string)
            } else {
                normalize(identifier, &once, platform, &context).map(Normalized::into_string)
            };
            prop_assert_eq!(again.as_deref(), Ok(once.as_str()), "{:?} {}", identifier, platform);
        }
    }

    #[test]
    fn all_forms_agree_with_one_at_a_time(
        values in prop::collection::vec(value(), 0..4),
        (country, zip) in context(),
    ) {
        let context = Context { country, zip, ..NOWHERE };
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        for identifier in Identifier::ALL {
            let hashed = hash_all(identifier, &values, &context);
            for platform in PLATFORMS {
                let mut expected = Vec::new();
                for value in &values {
                    if let Ok(one) = normalize(identifier, value, platform, &context)
                        && !expected.contains(&one.digest())
                    {
                        expected.push(one.digest());
                    }
                }
                let form = Form::of(identifier, platform);
                let form = hashed.forms.iter().find(|(stored, _)| *stored == form);
                let digests = form.map_or(&hashed.digests, |(_, digests)| digests);
                prop_assert!(*digests == expected, "{:?} {}", identifier, platform);
            }
        }
    }

    #[test]
    fn no_digest_is_hashed_again((hex, value) in disguised(), (country, zip) in context()) {
        let context = Context { country, zip, ..NOWHERE };
        let again = Digest::of(&hex);
        for identifier in Identifier::ALL {
            for platform in PLATFORMS {
                match normalize(identifier, &value, platform, &context) {
                    Err(_) => {}
                    Ok(Normalized::Digest(digest)) => prop_assert_eq!(digest.as_str(), &hex),
                    // Punctuation between the digits makes an id of its own, and of nothing else.
                    Ok(Normalized::Text(text)) => {
                        prop_assert_eq!(identifier, Identifier::ExternalId, "{}", text);
                        prop_assert!(text.contains(['-', ':', '_', '.']), "{}", text);
                    }
                }
            }
            let hashed = hash_all(identifier, &[&value], &context);
            let all = hashed.forms.iter().flat_map(|(_, digests)| digests).chain(&hashed.digests);
            prop_assert!(!all.into_iter().any(|digest| *digest == again));
        }
    }

    #[test]
    fn no_form_is_a_digest_or_stands_for_nothing(
        value in prop_oneof![value(), disguised().prop_map(|(_, value)| value)],
        (country, zip) in context(),
    ) {
        let context = Context { country, zip, ..NOWHERE };
        for identifier in Identifier::ALL {
            for platform in PLATFORMS {
                if let Ok(Normalized::Text(text)) = normalize(identifier, &value, platform, &context) {
                    prop_assert!(Digest::recognise(&text).is_none(), "{:?} {}", identifier, platform);
                    prop_assert!(!text.trim().is_empty());
                    prop_assert!(!super::placeholder::is_placeholder(identifier, &text));
                }
            }
        }
    }

    #[test]
    fn no_other_input_panics(value in any::<String>(), at in any::<i64>(), event in any::<i64>()) {
        use crate::time::Timestamp;
        let _ = country_code(&value);
        let _ = super::fbc(&value, Timestamp(event));
        let _ = super::fbp(&value);
        let _ = super::fbc_from_fbclid(&value, Timestamp(at), Timestamp(event));
        let _ = super::opaque_id(&value);
        let _ = super::user_agent(&value);
        let _ = super::client_ip(&value);
    }

    #[test]
    fn addresses_read_as_themselves(value in "[0-9a-f:.,/\\[\\] ]{2,40}", v4: u32, v6: u128) {
        let real = [std::net::Ipv4Addr::from(v4).to_string(), std::net::Ipv6Addr::from(v6).to_string()];
        for value in real.iter().chain([&value]) {
            if let Ok(once) = super::client_ip(value) {
                prop_assert_eq!(super::client_ip(&once), Ok(once));
            }
        }
    }
}

fn empty() -> Digest {
    let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    Digest::recognise(hex).expect("64 hex digits")
}
