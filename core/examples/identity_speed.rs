//! How long normalising and hashing take, per value: `cargo run --release -p capi-core --example
//! identity_speed [filter]`. The first line is the least that any such function does.

#![allow(clippy::print_stdout, reason = "an example prints what it found")]

use std::hint::black_box;
use std::time::Instant;

use capi_core::hash::Digest;
use capi_core::identity::{Context, Identifier, hash_all, normalize};

const ROUNDS: u32 = 400;
const CALLS: u32 = 1_000;

/// The best of several rounds, in nanoseconds per call: what disturbs only ever slows down.
fn measure(name: &str, mut call: impl FnMut()) {
    if std::env::args().nth(1).is_some_and(|filter| !name.contains(&filter)) {
        return;
    }
    let best = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            (0..CALLS).for_each(|_| call());
            start.elapsed() / CALLS
        })
        .min()
        .unwrap_or_default();
    println!("{name:44} {:>7} ns", best.as_nanos());
}

fn main() {
    let context = Context { country: Some("de"), ..Context::default() };
    measure("lower, trim, sha256, hex: email", || {
        let value = black_box(" Jane.Doe@Example.com ").trim().to_lowercase();
        black_box(Digest::of(&value));
    });
    for (identifier, name, value) in [
        (Identifier::Email, "plain", "jane.doe@example.com"),
        (Identifier::Email, "mixed case", " Jane.Doe@Example.com "),
        (Identifier::Email, "gmail with tag", "Jane.Doe+x@gmail.com"),
        (Identifier::Email, "umlaut", "jäne.doe@example.com"),
        (Identifier::FirstName, "plain", "jane"),
        (Identifier::FirstName, "accents", "Étienne-René"),
        (Identifier::LastName, "apostrophe", "O'Brien"),
        (Identifier::City, "plain", "Berlin"),
        (Identifier::City, "accents", "São Paulo"),
        (Identifier::State, "name", "Bayern"),
        (Identifier::Zip, "plain", "10115"),
        (Identifier::Country, "code", "de"),
        (Identifier::Country, "name", "Germany"),
        (Identifier::Gender, "word", "female"),
        (Identifier::DateOfBirth, "iso", "1997-02-16"),
        (Identifier::ExternalId, "plain", "user42"),
        (Identifier::ExternalId, "mixed case", " User 42 "),
        (Identifier::Phone, "with plus", "+4930901820"),
    ] {
        let label = format!("{} ({name})", identifier.as_str());
        measure(&format!("{label}: normalize, digest"), || {
            let normalized = normalize(identifier, black_box(value), "meta", &context);
            black_box(normalized.map(|normalized| normalized.digest()).is_ok());
        });
        measure(&format!("{label}: every form"), || {
            black_box(hash_all(identifier, &[black_box(value)], &context));
        });
    }
}
