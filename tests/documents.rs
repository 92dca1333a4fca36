//! Holds what the documents say: README, manual, the files for Prometheus and systemd. Configurations in
//! them are read, commands and flags exist, names of metrics and paths are the real ones.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use plimsoll::balance::Strategy;
use plimsoll::config;
use plimsoll::telemetry::names;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const PROGRAM: &str = env!("CARGO_BIN_EXE_plimsoll");

const README: &str = include_str!("../README.md");
const OPERATIONS: &str = include_str!("../src/manual/operations.rs");
const ADMIN_API: &str = include_str!("../src/manual/admin_api.rs");
const ALGORITHMS: &str = include_str!("../src/manual/algorithms.rs");
const WHY_NOT: &str = include_str!("../src/manual/why_not.rs");
const WALK: &str = include_str!("../src/manual/request_walk.rs");
const FIRM: &str = include_str!("../src/manual/standing_firm.md");
const ALERTS: &str = include_str!("../conf/prometheus/alerts.yaml");
const UNIT: &str = include_str!("../conf/systemd/plimsoll.service");

const DOCUMENTS: [(&str, &str); 10] = [
    ("tracing.md", include_str!("../src/manual/tracing.md")),
    ("tuning.md", include_str!("../src/manual/tuning.md")),
    ("README.md", README),
    ("operations", OPERATIONS),
    ("admin_api", ADMIN_API),
    ("algorithms", ALGORITHMS),
    ("why_not", WHY_NOT),
    ("request_walk", WALK),
    ("alerts.yaml", ALERTS),
    ("plimsoll.service", UNIT),
];

#[test]
fn configurations_in_the_readme_are_good_and_without_warnings() {
    let blocks = blocks(README, "toml");
    assert_eq!(blocks.len(), 2);
    for block in blocks {
        match config::parse("README.md", &block, &|_| None) {
            Ok(loaded) => assert_eq!(loaded.warnings.len(), 0, "{block}"),
            Err(report) => panic!("{}", report.render(false)),
        }
    }
}

#[test]
fn commands_in_the_documents_exist_with_their_flags() {
    let lines = blocks(README, "sh");
    let in_readme = lines.iter().flat_map(|block| block.lines()).filter_map(command);
    let in_manual = [OPERATIONS, ADMIN_API].into_iter().flat_map(code_spans).filter_map(command);
    let in_unit = UNIT.lines().filter_map(|line| command(line.split_once('=')?.1));
    let commands: Vec<_> = in_readme.chain(in_manual).chain(in_unit).collect();
    let known: BTreeSet<_> = commands.iter().map(|words| words[0].as_str()).collect();
    let all =
        ["check", "completions", "demo", "explain", "import-nginx", "run", "schema", "simulate"];
    assert_eq!(
        known,
        all.into_iter()
            .chain(["backend", "diagnose", "drain", "events", "man", "probe", "reload", "status"])
            .chain(["top", "upgrade", "why"])
            .chain(["apply", "config", "confirm", "plan"])
            .collect()
    );
    for words in &commands {
        let help = plimsoll(&[words[0].as_str(), "--help"]);
        assert!(help.status.success(), "{words:?}");
        let text = String::from_utf8(help.stdout).unwrap();
        for flag in words.iter().filter(|word| word.starts_with('-')) {
            assert!(text.contains(flag.as_str()), "{words:?}: there is no {flag}");
        }
    }
}

#[test]
fn other_lines_for_the_shell_name_what_there_is() {
    let manifest = fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).unwrap();
    let endpoints = endpoints();
    for line in blocks(README, "sh").iter().flat_map(|block| block.lines()) {
        if command(line).is_some() {
            continue;
        }
        if let Some(bench) = line.strip_prefix("cargo bench --bench ") {
            assert!(manifest.contains(&format!("name = \"{bench}\"")), "{line}");
        } else if let Some(path) = line.strip_prefix("curl http://127.0.0.1:9901") {
            assert!(endpoints.iter().any(|one| one == path), "{line}");
        } else if let Some(script) = line.strip_prefix("./") {
            assert!(Path::new(ROOT).join(script).is_file(), "{line}");
        } else {
            assert_eq!(line, "curl http://127.0.0.1:8080/");
        }
    }
}

#[test]
fn links_in_the_readme_and_files_in_the_manual_are_there() {
    let links = README.split("](").skip(1);
    let links = links.map(|rest| rest.split_once(')').unwrap().0.to_owned());
    let files = DOCUMENTS.iter().flat_map(|(_, text)| code_spans(text));
    let files =
        files.filter(|span| ["conf/", "src/", "tests/"].iter().any(|at| span.starts_with(at)));
    let all: BTreeSet<_> = links.chain(files).collect();
    assert!(all.contains("src/proxy/failure.rs") && all.contains("CHANGELOG.md"), "{all:?}");
    for file in all {
        assert!(Path::new(ROOT).join(&file).exists(), "{file} is not there");
    }
}

#[test]
fn files_on_the_walk_are_there() {
    let stops: Vec<_> = WALK.lines().filter(|line| line.starts_with("//! # ")).collect();
    let files: Vec<_> = stops.iter().flat_map(|line| code_spans(line)).collect();
    assert!(files.len() >= 8, "{stops:?}");
    for file in files {
        assert!(Path::new(ROOT).join("src/proxy").join(&file).is_file(), "{file} is not there");
    }
}

#[test]
fn tests_that_the_manual_names_are_there() {
    let mut sources = String::new();
    let mut folders = vec![Path::new(ROOT).join("tests"), Path::new(ROOT).join("src")];
    while let Some(folder) = folders.pop() {
        // What the fuzzers have found and built is large, and no test.
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() && !entry.ends_with("tests/fuzz") {
                folders.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                sources += &fs::read_to_string(entry).unwrap();
            }
        }
    }
    let rows: Vec<_> = FIRM.lines().filter(|line| line.starts_with("| ")).collect();
    assert!(rows.len() > 50, "{} rows", rows.len());
    for row in rows {
        // Behind what is tried, and what becomes of it.
        let shown = row.splitn(4, '|').nth(3).unwrap();
        for name in code_spans(shown) {
            let is_there = if name.contains('/') {
                Path::new(ROOT).join("tests/http1_corpus").join(&name).is_file()
            } else {
                sources.contains(&format!("fn {name}("))
            };
            assert!(is_there, "{name} is not there: {row}");
        }
    }
}

#[test]
fn metrics_in_the_documents_exist() {
    let known: BTreeSet<_> = names::ALL.iter().map(|family| family.name).collect();
    let mut named = 0;
    for (document, text) in DOCUMENTS {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for word in words.filter(|w| w.starts_with("plimsoll_") || w.starts_with("process_")) {
            let family = word.trim_end_matches("_bucket");
            assert!(known.contains(family), "{document}: there is no metric {word}");
            named += 1;
        }
    }
    assert!(named > 30, "{named}");
}

#[test]
fn every_endpoint_of_the_admin_listener_is_in_the_manual() {
    let mut paths = endpoints();
    paths.retain(|path| path != "/");
    assert!(paths.len() >= 17, "{paths:?}");
    for path in paths {
        let named = ADMIN_API.lines().filter(|line| line.starts_with("//! | `"));
        let told = named.filter(|line| line.contains(&format!("{path}`"))).count();
        assert!(told > 0, "{path} is not in the manual");
    }
}

/// Every path of the admin listener, as it is written in its router.
fn endpoints() -> Vec<String> {
    let source = include_str!("../src/admin/endpoints.rs");
    let (whole, api) = source.split_once("fn api()").unwrap();
    let paths = |text: &'static str| {
        let routes = text.split(".route(").skip(1).map(str::trim_start);
        routes.filter_map(|rest| Some(rest.strip_prefix('"')?.split_once('"')?.0))
    };
    let of_api = paths(api).map(|path| format!("/api/v1/ha{path}"));
    paths(whole).map(str::to_owned).chain(of_api).collect()
}

#[test]
fn the_manual_names_what_needs_a_restart() {
    let code = include_str!("../src/config/model/mod.rs");
    let code = code.split_once("fn needs_restart").unwrap().1.split_once("filter_map").unwrap().0;
    let asked = code.split("(\"").skip(1).map(|rest| rest.split_once('"').unwrap().0);
    let said = OPERATIONS.split_once("Read at start only: ").unwrap().1.split_once('.').unwrap();
    let said = format!("{}.{}", said.0, said.1.split_once(". ").unwrap().0);
    let mut said = code_spans(&said);
    for span in &mut said {
        *span = span.trim_matches(['[', ']']).to_owned();
    }
    assert_eq!(said, asked.collect::<Vec<_>>());
}

#[test]
fn every_strategy_has_its_row_and_its_section() {
    for strategy in Strategy::ALL {
        let name = strategy.name();
        assert!(ALGORITHMS.contains(&format!("//! | `{name}` |")), "{name} has no row");
        assert!(ALGORITHMS.contains(&format!("//! # `{name}`\n")), "{name} has no section");
    }
}

#[test]
fn the_manuals_table_of_failures_is_that_of_the_code() {
    let rows = |text: &str| -> Vec<String> {
        let table = text.lines().skip_while(|line| !line.starts_with("//! | failure | status"));
        table.take_while(|line| line.starts_with("//! |")).map(str::to_owned).collect()
    };
    let code = rows(include_str!("../src/proxy/failure.rs"));
    assert!(code.len() > 10, "{code:?}");
    assert_eq!(rows(OPERATIONS), code);
}

#[test]
fn alerts_pass_the_judgement_of_promtool() {
    let rules = Path::new(ROOT).join("conf/prometheus/alerts.yaml");
    let judged = Command::new("promtool").args(["check", "rules"]).arg(rules).output();
    let judged = judged.expect("promtool runs; ./scripts/test installs it");
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));
}

fn plimsoll(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

/// The fenced blocks of a language.
fn blocks(markdown: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let found = markdown.split(&fence).skip(1);
    found.map(|rest| rest.split_once("```").unwrap().0.to_owned()).collect()
}

/// What stands between backticks within a line.
fn code_spans(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.contains("```"));
    lines.flat_map(|line| line.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// The words after the program's name, if the line calls it with any.
fn command(line: impl AsRef<str>) -> Option<Vec<String>> {
    let mut words = line.as_ref().split_whitespace().map(str::to_owned);
    let program = words.next()?;
    let mut rest: Vec<String> = words.collect();
    if line.as_ref().starts_with("cargo run --release -- ") {
        rest.drain(..3);
    } else if program.rsplit('/').next() != Some("plimsoll") {
        return None;
    }
    (!rest.is_empty()).then_some(rest)
}
