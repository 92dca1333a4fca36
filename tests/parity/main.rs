//! nginx and the imported Plimsoll side by side: the same configuration, the same origins, the same
//! raw requests; what clients and origins get is compared.
//!
//! A case is a file in `cases/` (see [`case`] for its form). nginx runs it; the importer makes
//! Plimsoll's file of it; both answer every request of the case, and statuses, header fields,
//! bodies, what the origins received and the order in which they were asked have to be the same.
//! `differences.toml` holds what is known to differ, with the reason: each entry is checked to be
//! there still, so that it goes when the difference does.
//!
//! `CASE=name cargo test --test parity` runs one case and shows both sides.

#![allow(clippy::unwrap_used, reason = "in a test, what goes wrong shall end the test")]

#[path = "../support/mod.rs"]
mod support;

mod case;
mod compare;
mod names;
mod side;
mod speak;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use tokio::task::{JoinSet, LocalSet};

use case::Case;
use compare::{Difference, compare};

/// How many cases run at the same time.
const AT_ONCE: usize = 4;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity")
}

/// All cases, by name.
fn cases() -> BTreeMap<String, Case> {
    let mut cases = BTreeMap::new();
    for entry in fs::read_dir(folder().join("cases")).unwrap() {
        let path = entry.unwrap().path();
        let group = path.file_stem().unwrap().to_str().unwrap().to_owned();
        for case in Case::read_all(&group, &fs::read_to_string(&path).unwrap()) {
            let name = case.name.clone();
            assert!(cases.insert(name.clone(), case).is_none(), "two cases are called {name}");
        }
    }
    cases
}

/// What is known to differ: the reason by case, request and aspect; `*` is any.
fn known() -> BTreeMap<(String, String, String), String> {
    let text = fs::read_to_string(folder().join("differences.toml")).unwrap();
    let table: toml::Table = text.parse().unwrap();
    let mut known = BTreeMap::new();
    for one in table["difference"].as_array().unwrap() {
        let text = |key: &str| one.get(key).map_or("*", |value| value.as_str().unwrap()).to_owned();
        let reason = text("reason");
        assert!(reason.len() > 10, "a difference has a reason: {one}");
        assert_ne!(text("aspect"), "*", "a difference is in one aspect: {one}");
        let old = known.insert((text("case"), text("request"), text("aspect")), reason);
        assert!(old.is_none(), "twice: {one}");
    }
    known
}

#[tokio::test]
async fn imported_files_do_what_nginx_does() {
    let chosen = std::env::var("CASE").ok();
    let mut waiting: Vec<Case> = cases().into_values().collect();
    waiting.retain(|case| chosen.as_ref().is_none_or(|name| case.name.contains(name.as_str())));
    let count = waiting.len();
    assert!(count > 0, "no such case");
    let found = LocalSet::new().run_until(run_all(waiting)).await;
    if chosen.is_some() {
        for one in &found {
            eprintln!("{one}\n");
        }
    }
    let known = known();
    let mut used = BTreeSet::new();
    let mut new = Vec::new();
    for one in &found {
        let matches = |(case, request, aspect): &&(String, String, String)| {
            (case == "*" || *case == one.case)
                && (request == "*" || *request == one.request)
                && *aspect == one.aspect
        };
        match known.keys().find(matches) {
            Some(key) => {
                used.insert(key.clone());
            }
            None => new.push(one.to_string()),
        }
    }
    assert!(
        new.is_empty(),
        "{} differences that are not known:\n\n{}",
        new.len(),
        new.join("\n\n")
    );
    let gone: Vec<_> = known.keys().filter(|key| !used.contains(*key)).collect();
    assert!(
        chosen.is_some() || gone.is_empty(),
        "these are the same by now; remove them: {gone:#?}"
    );
    eprintln!("{count} cases, {} known differences", used.len());
}

/// Runs cases, some at a time; what differs, in order.
async fn run_all(mut waiting: Vec<Case>) -> Vec<Difference> {
    let mut running = JoinSet::new();
    let mut found: Vec<Difference> = Vec::new();
    while !waiting.is_empty() || !running.is_empty() {
        while running.len() < AT_ONCE
            && let Some(case) = waiting.pop()
        {
            running.spawn_local(async move { run(&case).await });
        }
        if let Some(differences) = running.join_next().await {
            found.extend(differences.unwrap());
        }
    }
    found.sort();
    found
}

/// Runs a case on both sides.
async fn run(case: &Case) -> Vec<Difference> {
    let theirs = side::nginx(case).await;
    let ours = side::plimsoll(case).await;
    compare(case, &theirs, &ours)
}

#[test]
fn every_case_has_a_name_that_says_what_it_shows() {
    let cases = cases();
    assert!(cases.len() >= 400, "{}", cases.len());
    for (name, case) in cases {
        assert!(name.len() > 8 && !case.requests.is_empty(), "{name}");
    }
}
