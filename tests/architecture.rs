//! Holds the walls: what each room imports is compared with the table in the crate's documentation
//! (`src/lib.rs`, *Walls*), which this test reads. So the map is true, or the test fails.
//!
//! Both ways: an import without an entry is a breach, an entry without an import is a stale map. The
//! order of the rows is downhill: a room imports only from rows above its own. Tests inside the rooms
//! are left out, they may look wherever they like.

#![allow(clippy::unwrap_used, reason = "a test that cannot read the sources has to fail")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const MAP: &str = include_str!("../src/lib.rs");
const MANIFEST: &str = include_str!("../Cargo.toml");

/// What pure code does without: it is handed time, chance and environment.
const IMPURE: [&str; 12] = [
    "std::env",
    "std::fs",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::os",
    "std::process",
    "std::sync::mpsc",
    "std::thread",
    "std::time::Instant::now",
    "std::time::SystemTime",
    "std::time::UNIX_EPOCH",
];

#[test]
fn every_import_is_in_the_map_and_every_entry_is_imported() {
    let walls = Walls::parse(MAP);
    let mut findings = BTreeSet::new();
    let mut used = BTreeSet::new();
    for file in Source::all() {
        findings.extend(walls.judge(&file, &crates(MANIFEST), &mut used));
    }
    findings.extend(walls.unused(&used));
    let findings: Vec<_> = findings.into_iter().collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn rows_import_downhill() {
    let uphill = Walls::parse(MAP).uphill();
    assert!(uphill.is_empty(), "\n{}\n", uphill.join("\n"));
}

#[test]
fn the_crate_root_is_a_map_and_nothing_else() {
    let code = without_tests(&blank(MAP)).0;
    let rest: Vec<_> = code
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .filter(|line| !(line.starts_with("pub mod ") && line.ends_with(';')))
        .collect();
    assert!(rest.is_empty(), "{rest:?}");
}

/// One row: what a room, or a part of it, may import.
#[derive(Debug, Default)]
struct Wall {
    imports: Vec<String>,
    crates: Vec<String>,
    pure: bool,
}

/// The table.
struct Walls {
    /// By module path, as `proxy::retry`.
    rows: BTreeMap<String, Wall>,
    /// The rooms from the top of the table to its end.
    order: Vec<String>,
}

impl Walls {
    fn parse(map: &str) -> Self {
        let mut walls = Self { rows: BTreeMap::new(), order: Vec::new() };
        let table = map.lines().skip_while(|line| !line.contains("| room | imports |"));
        for line in table.skip(2).map_while(|line| line.strip_prefix("//! |")) {
            let cells: Vec<Vec<String>> =
                line.trim_end_matches('|').split('|').map(words).collect();
            let [room, imports, crates, pure] = &cells[..] else {
                panic!("a row of the walls has four cells: {line}");
            };
            let wall =
                Wall { imports: imports.clone(), crates: crates.clone(), pure: pure == &["pure"] };
            walls.order.push(room[0].clone());
            assert!(walls.rows.insert(room[0].clone(), wall).is_none(), "{} has two rows", room[0]);
        }
        assert!(!walls.rows.is_empty(), "the crate's documentation has no table of walls");
        walls
    }

    /// The row that holds for a module: the longest path that it lies under.
    fn row_of(&self, module: &str) -> Option<(&String, &Wall)> {
        let mut path = module;
        loop {
            if let Some(row) = self.rows.get_key_value(path) {
                return Some(row);
            }
            path = path.rsplit_once("::")?.0;
        }
    }

    /// What is wrong with a file; entries that it needs are added to `used`.
    fn judge(
        &self,
        file: &Source,
        crates: &BTreeSet<String>,
        used: &mut BTreeSet<(String, String)>,
    ) -> Vec<String> {
        if file.module.is_empty() {
            return Vec::new();
        }
        let Some((row, wall)) = self.row_of(&file.module) else {
            return vec![format!("{}: its room has no row in the map", file.module)];
        };
        let mut findings = Vec::new();
        for path in file.paths() {
            let (list, wanted) = if let Some(inside) = path.strip_prefix("crate::") {
                if lies_under(inside, row) {
                    continue;
                }
                (&wall.imports, inside)
            } else {
                let first = path.split("::").next().unwrap();
                if wall.pure && IMPURE.iter().any(|impure| lies_under(&path, impure)) {
                    findings.push(format!("{}: {path} in pure code", file.module));
                }
                if !crates.contains(first) {
                    continue;
                }
                (&wall.crates, first)
            };
            match list.iter().find(|entry| lies_under(wanted, entry)) {
                Some(entry) => {
                    used.insert((row.clone(), entry.clone()));
                }
                None => findings.push(format!(
                    "{}: uses {wanted}, which the row of {row} does not list",
                    file.module
                )),
            }
        }
        findings
    }

    /// Entries that nothing needs.
    fn unused(&self, used: &BTreeSet<(String, String)>) -> Vec<String> {
        let entries = self.rows.iter().flat_map(|(room, wall)| {
            let lists = wall.imports.iter().chain(&wall.crates);
            lists.map(move |entry| (room.clone(), entry.clone()))
        });
        entries
            .filter(|entry| !used.contains(entry))
            .map(|(room, entry)| format!("{room}: the map lists {entry}, which it does not use"))
            .collect()
    }

    /// Imports of rooms that stand at the same height or further up the hill.
    fn uphill(&self) -> Vec<String> {
        let height = |path: &str| {
            let room = room(path);
            self.order.iter().position(|row| row == room)
        };
        let mut found = Vec::new();
        for (row, wall) in &self.rows {
            let foreign = wall.imports.iter().filter(|import| room(import) != room(row));
            for import in foreign.filter(|import| height(import) >= height(row)) {
                found.push(format!("{row} imports {import}, whose row is not above its own"));
            }
            if let Some(import) = wall.imports.iter().find(|import| height(import).is_none()) {
                found.push(format!("{row} imports {import}, which has no row"));
            }
        }
        found
    }
}

/// The words between backticks of a cell.
fn words(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn room(path: &str) -> &str {
    path.split("::").next().unwrap()
}

fn lies_under(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Names of the crates that the manifest asks for, as they are written in code.
fn crates(manifest: &str) -> BTreeSet<String> {
    let section = manifest
        .lines()
        .skip_while(|line| *line != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['));
    section
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.trim().replace('-', "_"))
        .collect()
}

/// A file of the crate without comments, texts and tests.
struct Source {
    /// Its module path, as `proxy::retry`; empty for the crate's root.
    module: String,
    code: String,
}

impl Source {
    /// Every file that is not a test.
    fn all() -> Vec<Self> {
        let src = Path::new(ROOT).join("src");
        let mut files = Vec::new();
        let mut tests = BTreeSet::new();
        for path in rust_files(&src) {
            let module = module_path(path.strip_prefix(&src).unwrap());
            let (code, inner) = without_tests(&blank(&fs::read_to_string(&path).unwrap()));
            tests.extend(inner.into_iter().map(|name| format!("{module}::{name}")));
            files.push(Self { module, code });
        }
        let is_test = |file: &Self| tests.iter().any(|test| lies_under(&file.module, test));
        files.retain(|file| !is_test(file));
        files
    }

    /// Every path in the code. Those into this crate begin with `crate::`, however they were
    /// written.
    fn paths(&self) -> BTreeSet<String> {
        let tokens = tokens(&self.code);
        let mut paths = Vec::new();
        let mut place = 0;
        while place < tokens.len() {
            if tokens[place] == "use" {
                place += 1;
                tree(&tokens, &mut place, &mut Vec::new(), &mut paths);
            } else if is_word(tokens[place]) {
                paths.push(path(&tokens, &mut place));
            } else {
                place += 1;
            }
        }
        let absolute = paths.iter().filter(|path| path.len() > 1);
        absolute.map(|path| self.resolve(path)).collect()
    }

    fn resolve(&self, path: &[&str]) -> String {
        let module: Vec<&str> = self.module.split("::").collect();
        let climbs = path.iter().take_while(|segment| **segment == "super").count();
        if climbs > 0 {
            let above = &module[..module.len().saturating_sub(climbs)];
            return ["crate"]
                .iter()
                .chain(above)
                .chain(&path[climbs..])
                .copied()
                .collect::<Vec<_>>()
                .join("::");
        }
        match path[0] {
            "self" => format!("crate::{}::{}", self.module, path[1..].join("::")),
            // From the program to its library.
            "plimsoll" => format!("crate::{}", path[1..].join("::")),
            // However it came into scope.
            "Instant" | "SystemTime" => format!("std::time::{}", path.join("::")),
            _ => path.join("::"),
        }
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn module_path(file: &Path) -> String {
    let path = file.with_extension("");
    let mut parts: Vec<_> = path.iter().map(|part| part.to_str().unwrap()).collect();
    if matches!(parts.last(), Some(&"mod" | &"lib")) {
        parts.pop();
    }
    parts.join("::")
}

/// The tree behind a `use`: one path for each of its leaves.
fn tree<'a>(
    tokens: &[&'a str],
    place: &mut usize,
    before: &mut Vec<&'a str>,
    paths: &mut Vec<Vec<&'a str>>,
) {
    let depth = before.len();
    loop {
        let token = tokens[*place];
        *place += 1;
        match token {
            "{" => loop {
                tree(tokens, place, before, paths);
                let end = tokens[*place - 1];
                if end == "}" {
                    // What follows a group ends the path around it.
                    *place += 1;
                    before.truncate(depth);
                    return;
                }
            },
            "," | "}" | ";" => {
                if before.len() > depth {
                    let leaf = before.iter().copied().filter(|word| *word != "*");
                    paths.push(leaf.collect());
                }
                before.truncate(depth);
                return;
            }
            // The new name is no part of the path.
            "as" => *place += 1,
            "::" => {}
            // `a::{self}` is `a`.
            "self" if depth > 0 && before.len() == depth => before.push("*"),
            word => before.push(word),
        }
    }
}

/// The path that begins at `place`.
fn path<'a>(tokens: &[&'a str], place: &mut usize) -> Vec<&'a str> {
    let mut path = vec![tokens[*place]];
    *place += 1;
    while tokens.get(*place) == Some(&"::") && tokens.get(*place + 1).is_some_and(|t| is_word(t)) {
        path.push(tokens[*place + 1]);
        *place += 2;
    }
    path
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// Words, `::` and single signs.
fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let len = if is_word(rest) {
            rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        tokens.push(&rest[..len]);
        rest = rest[len..].trim_start();
    }
    tokens
}

/// The code with blanks in place of comments, texts and characters.
fn blank(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let len = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' => text_len(rest),
            'r' if !code.ends_with(is_name) && raw_len(rest).is_some() => raw_len(rest).unwrap(),
            '\'' => char_len(rest),
            _ => {
                code.push(c);
                rest = &rest[c.len_utf8()..];
                continue;
            }
        };
        code.push(' ');
        rest = &rest[len..];
    }
    code
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() && c != 'b' || c == '_'
}

/// Length of the text that `rest` begins with.
fn text_len(rest: &str) -> usize {
    let mut escaped = false;
    for (place, c) in rest.char_indices().skip(1) {
        match c {
            '"' if !escaped => return place + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// Length of the raw text that `rest` begins with, if it does.
fn raw_len(rest: &str) -> Option<usize> {
    let hashes = rest[1..].find(|c| c != '#')?;
    let inside = rest[1 + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(2 + hashes + inside.find(&end)? + end.len())
}

/// Length of the character that `rest` begins with; 1 when it is a lifetime.
fn char_len(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((place, c))) => {
            let after = place + c.len_utf8();
            rest[after..].find('\'').map_or(rest.len(), |end| after + end + 1)
        }
        (Some(_), Some((place, '\''))) => place + 1,
        _ => 1,
    }
}

/// Takes out what is compiled for tests only; gives also the names of modules in other files that
/// are.
fn without_tests(code: &str) -> (String, Vec<String>) {
    const MARK: &str = "#[cfg(test)]";
    let (mut kept, mut modules) = (String::new(), Vec::new());
    let mut rest = code;
    while let Some(start) = rest.find(MARK) {
        kept.push_str(&rest[..start]);
        let item = &rest[start + MARK.len()..];
        let head = item.find([';', '{']).unwrap();
        if let (";", Some(name)) = (&item[head..=head], item[..head].trim().strip_prefix("mod ")) {
            modules.push(name.to_owned());
        }
        rest = &item[item_len(item)..];
    }
    kept.push_str(rest);
    (kept, modules)
}

/// Length of an item: to the semicolon or comma that ends it, or to the brace that closes its block.
fn item_len(item: &str) -> usize {
    let mut depth = 0_usize;
    for (place, c) in item.char_indices() {
        match c {
            ';' | ',' if depth == 0 => return place + 1,
            '(' | '[' | '{' => depth += 1,
            '}' if depth == 1 => return place + 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    item.len()
}

mod the_checker {
    use super::*;

    const TABLE: &str = "\
//! | room | imports | crates | |
//! |---|---|---|---|
//! | [`model`] | – | – | |
//! | [`pure`] | `model` | `memchr` | `pure` |
//! | [`busy`] | `model`, `pure::Door` | `tokio` | |
//! | `busy::core` | `model` | – | `pure` |
//!
//! | something | else |
";

    fn findings(module: &str, code: &str) -> Vec<String> {
        let file = Source { module: module.to_owned(), code: without_tests(&blank(code)).0 };
        let known = ["memchr", "tokio"].map(str::to_owned).into();
        Walls::parse(TABLE).judge(&file, &known, &mut BTreeSet::new())
    }

    #[test]
    fn what_is_listed_passes() {
        let code = "use crate::model::{Weight, ids::{self, BackendId}};\nuse memchr::memchr;";
        assert_eq!(findings("pure", code), [""; 0]);
        assert_eq!(findings("busy::x", "use crate::busy::y;\nuse crate::pure::Door;"), [""; 0]);
        assert_eq!(findings("busy::x", "use super::y; fn f() { self::z::g() }"), [""; 0]);
    }

    #[test]
    fn every_way_to_write_an_import_is_seen() {
        for code in [
            "use crate::busy::Thing;",
            "use crate::{model::Weight, busy::{Thing, Other as That}};",
            "use crate::{busy};",
            "use crate::busy::{self, Thing};",
            "use crate::busy::*;",
            "pub use crate::busy as b;",
            "fn f(x: &crate::busy::Thing<'_>) {}",
            "fn f() { crate::busy::g() }",
            "use super::busy::Thing;",
            "fn f() { super::busy::g() }",
            "const A: char = '\"'; use crate::busy::Thing; // \"",
        ] {
            let found = findings("pure", code);
            assert!(!found.is_empty(), "{code}");
            assert!(found.iter().all(|one| one.contains("pure: uses busy")), "{found:?}");
        }
        assert_eq!(findings("pure::a::b", "use super::super::super::busy::Thing;").len(), 1);
    }

    #[test]
    fn crates_are_seen_in_imports_and_inline() {
        for code in ["use tokio::net;", "use ::tokio::net;", "fn f() { tokio::spawn(g) }"] {
            let found = findings("pure", code);
            assert_eq!(found, ["pure: uses tokio, which the row of pure does not list"], "{code}");
        }
    }

    #[test]
    fn an_entry_may_name_a_part_of_a_room() {
        assert_eq!(findings("busy", "use crate::pure::Window;").len(), 1);
        assert_eq!(findings("busy", "use crate::pure;").len(), 1);
        assert_eq!(findings("busy", "use crate::pure::Doorbell;").len(), 1);
    }

    #[test]
    fn a_part_of_a_room_has_its_own_row() {
        assert_eq!(findings("busy::core", "use crate::busy::other;").len(), 1);
        assert_eq!(findings("busy::core::deep", "use tokio::net;").len(), 1);
        assert_eq!(findings("busy::core::deep", "use crate::busy::core::x;"), [""; 0]);
    }

    #[test]
    fn pure_code_reads_no_clock_and_no_environment() {
        for code in [
            "fn f() { std::time::Instant::now() }",
            "use std::time::Instant;\nfn f() { Instant::now() }",
            "use std::{env, fmt};\nfn f() {}",
            "use std::net::{IpAddr, TcpStream};",
        ] {
            assert_eq!(findings("pure", code).len(), 1, "{code}");
        }
        assert_eq!(findings("pure", "use std::time::{Duration, Instant};"), [""; 0]);
        assert_eq!(findings("busy", "fn f() { std::time::Instant::now() }"), [""; 0]);
    }

    #[test]
    fn comments_texts_and_tests_do_not_count() {
        let code = "//! See [`crate::busy`].
/* crate::busy::A */
const T: &str = \"crate::busy::A \\\" crate::busy\";
const R: &[u8] = br#\"crate::busy::A \" \"#;
const C: char = '\\'';
#[cfg(test)]
mod tests {
    use crate::busy::Thing;
}
#[cfg(test)]
use crate::busy::{Thing};
";
        assert_eq!(findings("pure", code), [""; 0]);
        let (_, modules) =
            without_tests("#[cfg(test)]\nmod tests;\n#[cfg(test)]\nmod a { mod b; }");
        assert_eq!(modules, ["tests"]);
    }

    #[test]
    fn a_room_without_a_row_is_found() {
        assert_eq!(findings("attic", ""), ["attic: its room has no row in the map"]);
    }

    #[test]
    fn stale_entries_are_found() {
        let walls = Walls::parse(TABLE);
        let file = Source { module: "pure".to_owned(), code: "use crate::model;".to_owned() };
        let mut used = BTreeSet::new();
        walls.judge(&file, &BTreeSet::new(), &mut used);
        let unused = walls.unused(&used);
        assert!(unused.contains(&"pure: the map lists memchr, which it does not use".to_owned()));
        assert!(!unused.iter().any(|one| one.contains("pure: the map lists model")));
    }

    #[test]
    fn uphill_imports_are_found() {
        assert_eq!(Walls::parse(TABLE).uphill(), [""; 0]);
        let uphill = TABLE.replace("| [`model`] | – |", "| [`model`] | `busy` |");
        assert_eq!(Walls::parse(&uphill).uphill().len(), 1);
        let nowhere = TABLE.replace("| [`model`] | – |", "| [`model`] | `attic` |");
        assert!(!Walls::parse(&nowhere).uphill().is_empty());
    }
}
