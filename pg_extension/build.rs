//! Lists the SQL files that `capi.setup()` runs, in an order in which each finds what it needs: a file
//! is listed by lying in its folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let sql = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sql");
    let sql = sql.canonicalize().expect("the folder sql stands beside the package");
    println!("cargo::rerun-if-changed={}", sql.display());
    let tables = Files::read(&sql.join("tables"), Needs::OfTheFile);
    let mut always = Files::read(&sql.join("functions"), Needs::OfTheSignature);
    always.extend(Files::read(&sql.join("views"), Needs::OfTheFile));
    let list = |name: &str, files: &[&PathBuf]| {
        let bodies: String =
            files.iter().map(|file| format!("    include_str!({file:?}),\n")).collect();
        format!("const {name}: &[&str] = &[\n{bodies}];\n")
    };
    let made = list("TABLES", &tables.in_order()) + &list("ALWAYS", &always.in_order());
    let to = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("sql_files.rs");
    fs::write(to, made).expect("OUT_DIR can be written");
}

/// What has to exist before a file runs.
#[derive(Clone, Copy)]
enum Needs {
    /// All that it names.
    OfTheFile,
    /// What stands outside of function bodies: those are looked at when they are called.
    OfTheSignature,
}

/// SQL files with what they make and what they need, by names of the schema.
#[derive(Default)]
struct Files(BTreeMap<PathBuf, File>);

struct File {
    makes: BTreeSet<String>,
    needs: BTreeSet<String>,
}

impl Files {
    fn read(folder: &Path, needs: Needs) -> Self {
        let mut found = Self::default();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            println!("cargo::rerun-if-changed={}", folder.display());
            let entries = fs::read_dir(&folder).expect("a folder of sql can be read");
            for path in entries.map(|entry| entry.expect("an entry can be read").path()) {
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "sql") {
                    println!("cargo::rerun-if-changed={}", path.display());
                    let text = fs::read_to_string(&path).expect("a file of sql can be read");
                    let file = File::of(&without_comments(&text), needs);
                    found.0.insert(path, file);
                }
            }
        }
        found
    }

    fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// Every file after those that make what it needs; else by their names.
    fn in_order(&self) -> Vec<&PathBuf> {
        let makers: BTreeMap<&str, &PathBuf> = self
            .0
            .iter()
            .flat_map(|(path, file)| file.makes.iter().map(move |name| (name.as_str(), path)))
            .collect();
        let mut order = Vec::with_capacity(self.0.len());
        for path in self.0.keys() {
            self.place(path, &makers, &mut Vec::new(), &mut order);
        }
        order
    }

    fn place<'a>(
        &'a self,
        path: &'a PathBuf,
        makers: &BTreeMap<&str, &'a PathBuf>,
        above: &mut Vec<&'a PathBuf>,
        order: &mut Vec<&'a PathBuf>,
    ) {
        if order.contains(&path) {
            return;
        }
        assert!(!above.contains(&path), "SQL files that need each other: {above:?}");
        above.push(path);
        for name in &self.0[path].needs {
            match makers.get(name.as_str()) {
                Some(maker) if *maker != path => self.place(maker, makers, above, order),
                _ => {}
            }
        }
        above.pop();
        order.push(path);
    }
}

impl File {
    fn of(text: &str, needs: Needs) -> Self {
        let makes = text
            .lines()
            .filter_map(|line| {
                let words = line.strip_prefix("create ")?;
                let words = words.strip_prefix("or replace ").unwrap_or(words);
                let kinds = ["table", "view", "function", "procedure", "type", "sequence"];
                let (kind, rest) = words.split_once(' ')?;
                let name = names(rest.get(..rest.len().min(80))?).next()?;
                (kinds.contains(&kind) && rest.starts_with("capi.")).then_some(name)
            })
            .collect();
        // Every second part is between two marks: first bodies, then texts.
        let outside: String = match needs {
            Needs::OfTheFile => text.to_owned(),
            Needs::OfTheSignature => text.split("$$").step_by(2).collect(),
        };
        let outside: String = outside.split('\'').step_by(2).collect();
        Self { makes, needs: names(&outside).collect() }
    }
}

/// Names of the schema that a text holds.
fn names(text: &str) -> impl Iterator<Item = String> {
    text.split("capi.")
        .skip(1)
        .map(|after| after.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect())
}

fn without_comments(text: &str) -> String {
    text.lines().map(|line| line.split_once("--").map_or(line, |(code, _)| code)).fold(
        String::new(),
        |mut text, line| {
            text.push_str(line);
            text.push('\n');
            text
        },
    )
}
