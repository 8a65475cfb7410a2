//! The tables of `docs/reference/identifiers.md` are made of the rule book: `UPDATE_DOCS=1` writes them,
//! without it the test fails where the page is stale.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use capi_core::identity::rules::{BOOK, Example, Rule, Source, is_taken};
use capi_core::identity::{DropReason, PLATFORMS};

fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/identifiers.md")
}

/// A code span; blanks at both ends would lose one each.
fn code(text: &str) -> String {
    assert!(!text.contains(['`', '|']), "needs an escape");
    let pad = if text.starts_with(' ') && text.ends_with(' ') && text.len() > 1 { " " } else { "" };
    format!("`{pad}{text}{pad}`")
}

fn codes<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    texts.into_iter().map(code).collect::<Vec<_>>().join(", ")
}

fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        assert_eq!(row.len(), head.len());
        writeln!(text, "| {} |", row.join(" | ")).expect("a string takes all");
    }
    text
}

fn sources() -> Vec<&'static Source> {
    let mut all: Vec<&Source> = Vec::new();
    for source in BOOK.iter().flat_map(|rule| rule.sources) {
        if !all.contains(&source) {
            all.push(source);
        }
    }
    all
}

fn numbers(rule: &Rule) -> String {
    let all = sources();
    let mut numbers: Vec<usize> =
        rule.sources.iter().filter_map(|s| all.iter().position(|known| *known == s)).collect();
    numbers.sort_unstable();
    numbers.iter().map(|n| (n + 1).to_string()).collect::<Vec<_>>().join(", ")
}

fn is_hashed(rule: &&Rule) -> bool {
    rule.identifier().is_some()
}

fn rules(hashed: bool) -> String {
    let rows = BOOK
        .iter()
        .filter(|rule| is_hashed(rule) == hashed)
        .map(|rule| vec![codes(rule.fields.iter().copied()), rule.rule.to_owned(), numbers(rule)]);
    table(&["field", "rule", "sources"], rows)
}

fn forms() -> String {
    let mut rows = Vec::new();
    for rule in BOOK {
        let Some(identifier) = rule.identifier() else { continue };
        for ((form, text), (_, platforms)) in rule.forms.iter().zip(identifier.forms()) {
            let platforms = codes(platforms.iter().copied());
            rows.push(vec![code(&form.key(identifier)), (*text).to_owned(), platforms]);
        }
        for (platform, text) in rule.in_clear {
            let field = code(identifier.as_str());
            rows.push(vec![format!("{field} in clear"), (*text).to_owned(), code(platform)]);
        }
        let without = PLATFORMS.into_iter().filter(|p| !is_taken(identifier.as_str(), p));
        let without = codes(without);
        if !without.is_empty() {
            let field = format!("no {}", code(identifier.as_str()));
            rows.push(vec![field, "the platform has no such field".to_owned(), without]);
        }
    }
    table(&["form", "rule", "platforms"], rows)
}

fn examples(hashed: bool) -> String {
    let rows = BOOK.iter().filter(|rule| is_hashed(rule) == hashed).flat_map(|rule| {
        let row = move |example: &Example| {
            let with = [
                example.country.map(|c| format!("country {}", code(c))),
                example.zip.map(|z| format!("zip {}", code(z))),
                example.date_order.map(|o| format!("`date_order` {}", code(o))),
                example.clicked_at.map(|t| format!("clicked {t}")),
                example.event_time.map(|t| format!("event {t}")),
            ];
            let mut row = vec![
                codes(rule.fields.iter().copied().take(1)),
                code(example.input),
                with.into_iter().flatten().collect::<Vec<_>>().join(", "),
            ];
            if hashed {
                row.push(code(example.platform));
            }
            row.push(match example.outcome {
                Ok(text) => code(text),
                Err(reason) => format!("dropped, {}", code(reason.as_str())),
            });
            row
        };
        rule.examples.iter().map(row)
    });
    match hashed {
        true => table(&["field", "value", "with", "platform", "gives"], rows),
        false => table(&["field", "value", "with", "gives"], rows),
    }
}

fn reasons() -> String {
    let rows = DropReason::ALL
        .iter()
        .map(|reason| vec![code(reason.as_str()), reason.explanation().to_owned()]);
    table(&["word", "meaning, and the way out"], rows)
}

fn source_list() -> String {
    let line = |(n, s): (usize, &Source)| {
        format!("{}. [{}]({}), read {}\n", n + 1, s.title, s.url, s.read)
    };
    sources().into_iter().enumerate().map(line).collect()
}

/// Puts `block` between the marker of `name` and the next `<!-- end -->`.
fn replace(page: &str, name: &str, block: &str) -> String {
    let marker = format!("<!-- {name}: made of ");
    let start = page.find(&marker).unwrap_or_else(|| panic!("the page has a block {name}"));
    let start = start + page[start..].find('\n').expect("a line") + 1;
    let end = start + page[start..].find("<!-- end -->").expect("the block ends");
    format!("{}\n{block}\n{}", &page[..start], &page[end..])
}

#[test]
fn the_tables_of_the_page_are_those_of_the_book() {
    let path = page();
    let old = fs::read_to_string(&path).expect("the page");
    let mut new = old.clone();
    for (name, block) in [
        ("rules", rules(true)),
        ("forms", forms()),
        ("examples", examples(true)),
        ("clear", rules(false)),
        ("clear examples", examples(false)),
        ("reasons", reasons()),
        ("sources", source_list()),
    ] {
        new = replace(&new, name, &block);
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &new).expect("the page is writable");
        return;
    }
    let differs = old.lines().zip(new.lines()).find(|(old, new)| old != new);
    assert!(
        old == new,
        "docs/reference/identifiers.md is stale, UPDATE_DOCS=1 writes it anew; first difference: {differs:?}"
    );
}
