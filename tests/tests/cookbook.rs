//! The recipes of `docs/guides/cookbook.md`: every block of SQL runs as the page has it, in a database of
//! its own, and shows what the page shows.
//!
//! In the page, a recipe is a heading such as `## 3. Guest checkout`; what stands before the first
//! one runs at the beginning of each. The blocks of a recipe run in order, each by `psql`:
//!
//! - ```` ```sql ```` must succeed, ```` ```sql fails ```` must fail;
//! - ```` ```sql sent ```` runs after the sidecar has sent everything to the stand-in;
//! - a ```` ```text ```` block right after one of them is the last thing that it shows, apart from
//!   the width of columns.
//!
//! `UPDATE_DOCS=1 cargo test -p capi-tests cookbook` writes what is shown into the page.

use std::ops::Range;
use std::path::PathBuf;

use capi_tests::database::Database;
use capi_tests::platform::{Platform, TOKEN};
use capi_tests::shop::until_settled;
use capi_tests::sidecar::Sidecar;
use tokio::task::{JoinSet, LocalSet};

/// Seconds that the sidecar may take to send what a recipe has captured.
const PATIENCE: u64 = 60;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sql,
    Fails,
    Sent,
    Text,
}

#[derive(Clone)]
struct Block {
    kind: Kind,
    text: String,
    /// Its lines in the page, without the fences.
    lines: Range<usize>,
}

struct Recipe {
    title: String,
    blocks: Vec<Block>,
}

/// A block of text and what was shown in its place.
struct Difference {
    title: String,
    lines: Range<usize>,
    page: String,
    shown: String,
}

fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/guides/cookbook.md")
}

/// What stands before the first recipe, and the recipes.
fn parse(page: &str) -> (Vec<Block>, Vec<Recipe>) {
    let is_recipe =
        |title: &str| title.split_once(". ").is_some_and(|(n, _)| n.parse::<u8>().is_ok());
    let (mut before, mut recipes) = (Vec::new(), Vec::<Recipe>::new());
    let mut open: Option<Block> = None;
    let mut elsewhere = false;
    for (n, line) in page.lines().enumerate() {
        match (&mut open, line.strip_prefix("```"), line.strip_prefix("## ")) {
            (Some(block), Some(_), _) => {
                block.lines.end = n;
                let block = open.take().expect("just matched");
                match recipes.last_mut() {
                    _ if elsewhere => {}
                    Some(recipe) => recipe.blocks.push(block),
                    None => before.push(block),
                }
            }
            (Some(block), None, _) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, Some(word), _) => {
                let kind = match word {
                    "sql" => Kind::Sql,
                    "sql fails" => Kind::Fails,
                    "sql sent" => Kind::Sent,
                    "text" => Kind::Text,
                    _ if elsewhere => Kind::Text,
                    _ => panic!("line {}: a block of {word:?} that no test runs", n + 1),
                };
                open = Some(Block { kind, text: String::new(), lines: n + 1..n + 1 });
            }
            (None, None, Some(title)) => {
                elsewhere = !is_recipe(title) && !recipes.is_empty();
                if is_recipe(title) {
                    recipes.push(Recipe { title: title.to_owned(), blocks: Vec::new() });
                }
            }
            (None, None, None) => {}
        }
    }
    (before, recipes)
}

/// Tables without the width of their columns: paragraphs of lines.
fn squeezed(text: &str) -> Vec<Vec<String>> {
    let is_rule = |line: &str| line.contains("--") && line.chars().all(|c| "-+".contains(c));
    let mut paragraphs = vec![Vec::new()];
    for line in text.lines().map(str::trim).filter(|line| !is_rule(line)) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match (words.is_empty(), paragraphs.last_mut().expect("never empty")) {
            (true, last) if !last.is_empty() => paragraphs.push(Vec::new()),
            (true, _) => {}
            (false, last) => last.push(words.join(" ")),
        }
    }
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs
}

/// The last paragraphs of what was shown, as many as the page has.
fn last_shown(shown: &str, count: usize) -> String {
    let trimmed: Vec<&str> = shown.lines().map(str::trim_end).collect();
    let text = trimmed.join("\n");
    let paragraphs: Vec<&str> =
        text.split("\n\n").map(|p| p.trim_matches('\n')).filter(|p| !p.is_empty()).collect();
    let mut last = paragraphs[paragraphs.len().saturating_sub(count.max(1))..].join("\n\n");
    last.push('\n');
    last
}

/// What `psql` says of an error, without where it stood.
fn complaint(stderr: &str) -> String {
    let wanted = |line: &&str| ["ERROR:", "HINT:"].iter().any(|word| line.contains(word));
    let plain = |line: &str| match line.find("ERROR:") {
        Some(at) => line[at..].to_owned(),
        None => line.to_owned(),
    };
    stderr.lines().filter(wanted).map(plain).collect::<Vec<_>>().join("\n") + "\n"
}

/// Everything that a recipe's destinations send goes to the stand-in.
async fn deliver(database: &Database) -> (Platform, Sidecar) {
    let platform = Platform::start().await;
    let names = "select name from capi.destination where state <> 'dropped'";
    for name in database.column(names).await {
        let endpoint = platform.endpoint();
        database
            .run(&format!(
                "select capi.alter_destination('{name}', settings => '{{\"endpoint\": \"{endpoint}\"}}');
                select capi.resume('{name}')"
            ))
            .await;
    }
    let credentials = database.column("select distinct credential from capi.destination").await;
    let variables: Vec<_> = credentials.iter().map(|name| (name.as_str(), TOKEN)).collect();
    let sidecar = Sidecar::start_with(database, &variables);
    (platform, sidecar)
}

/// Runs a recipe until its SQL fails, and returns where it shows something else.
async fn run(before: Vec<Block>, recipe: Recipe) -> (Vec<Difference>, Option<String>) {
    let database = Database::adopted().await;
    let title = &recipe.title;
    let mut sending = None;
    let mut shown = None;
    let mut differences = Vec::new();
    for block in before.into_iter().chain(recipe.blocks) {
        let line = block.lines.start + 1;
        if block.kind == Kind::Text {
            let shown: String =
                shown.take().unwrap_or_else(|| panic!("{title}, line {line}: nothing shows this"));
            let wanted = squeezed(&block.text);
            let shown = last_shown(&shown, wanted.len());
            if squeezed(&shown) != wanted {
                let (title, lines, page) = (title.clone(), block.lines, block.text);
                differences.push(Difference { title, lines, page, shown });
            }
            continue;
        }
        if block.kind == Kind::Sent {
            if sending.is_none() {
                sending = Some(deliver(&database).await);
            }
            until_settled(&database, PATIENCE).await;
        }
        let sql = format!("\\pset footer off\n{}", block.text);
        let cluster = database.cluster();
        let name = database.name().to_owned();
        let output = tokio::task::spawn_blocking(move || cluster.psql(&name, &[], &sql)).await;
        let output = output.expect("psql runs");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let fails = block.kind == Kind::Fails;
        if output.status.success() == fails {
            return (differences, Some(format!("{title}, line {line}: {}\n{stderr}", block.text)));
        }
        let stdout = || String::from_utf8(output.stdout).expect("UTF-8");
        shown = Some(if fails { complaint(&stderr) } else { stdout() });
    }
    (differences, None)
}

#[tokio::test]
async fn every_recipe_does_what_the_page_says() {
    let text = std::fs::read_to_string(page()).expect("docs/guides/cookbook.md");
    let (before, recipes) = parse(&text);
    assert!(recipes.len() >= 12, "only {} recipes", recipes.len());
    let here = LocalSet::new();
    let mut running = JoinSet::new();
    for recipe in recipes {
        let texts = recipe.blocks.iter().filter(|block| block.kind == Kind::Text).count();
        assert!(texts > 0, "{} shows nothing", recipe.title);
        running.spawn_local_on(run(before.clone(), recipe), &here);
    }
    let ran = here.run_until(running.join_all()).await;
    let (differences, failures): (Vec<_>, Vec<_>) = ran.into_iter().unzip();
    let mut differences: Vec<Difference> = differences.into_iter().flatten().collect();
    let failures: Vec<String> = failures.into_iter().flatten().collect();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        differences.sort_by_key(|difference| difference.lines.start);
        let mut lines: Vec<&str> = text.lines().collect();
        for difference in differences.iter().rev() {
            lines.splice(difference.lines.clone(), difference.shown.lines());
        }
        std::fs::write(page(), lines.join("\n") + "\n")
            .expect("docs/guides/cookbook.md is written");
        differences.clear();
    }
    let told: Vec<String> = differences
        .iter()
        .map(|d| {
            let Difference { title, lines, page, shown } = d;
            format!("{title}, line {}:\n{page}\nnow shows\n{shown}", lines.start + 1)
        })
        .collect();
    let told = [failures, told].concat();
    assert!(told.is_empty(), "{}", told.join("\n"));
}

#[test]
fn every_test_that_a_page_names_exists() {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests");
    for (name, fewest) in [
        ("internals/capture.md", 30),
        ("reference/promises.md", 5),
        ("contributing/failed-before.md", 80),
    ] {
        let text =
            std::fs::read_to_string(page().with_file_name(format!("../{name}"))).expect(name);
        // The odd parts of a line are what stands between backticks.
        let quoted = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
        // `module::` and `module::the_first_words…` stand for themselves.
        let names: Vec<_> = quoted
            .filter_map(|name| name.split_once("::"))
            .filter(|(module, test)| *module != "module" && *test != "x")
            .collect();
        assert!(names.len() > fewest, "only {} names in {name}", names.len());
        for (module, test) in names {
            let file = [format!("{module}.rs"), format!("{module}/mod.rs")];
            let code = file.iter().find_map(|file| std::fs::read_to_string(tests.join(file)).ok());
            let code = code.unwrap_or_else(|| panic!("{name}: no module {module}"));
            let is_there = match test.strip_suffix('…') {
                Some(beginning) => code.contains(&format!("fn {beginning}")),
                None => test.is_empty() || code.contains(&format!("fn {test}()")),
            };
            assert!(is_there, "{name}: no test {module}::{test}");
        }
    }
}
