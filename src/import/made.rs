//! `map`, `split_clients` and `geo` → `[variable.NAME]`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use regex::bytes::Regex;

use super::geo;
use super::maps::Maps;
use super::tree::Directive;
use super::variables::{Part, Scope, parts};
use super::write::quote;
use crate::config::{Place, Stage, is_name, stage_of_variable};

/// The variables that the file makes, by nginx's names, with those that are used.
#[derive(Debug, Default, Clone)]
pub(super) struct MadeVariables {
    all: Rc<BTreeMap<String, Made>>,
    /// What places make of their own, by a name that the file does not have.
    own: Rc<RefCell<BTreeMap<String, Made>>>,
    used: Rc<RefCell<BTreeSet<String>>>,
}

/// One of them, as it is written.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub at: Place,
    /// Its name with Plimsoll.
    pub name: String,
    /// Lines of its section.
    pub lines: Vec<(String, String)>,
    /// From when on it is known.
    pub stage: Stage,
    /// The directive it comes from.
    pub id: usize,
    /// Others that it is made of, by nginx's names.
    uses: BTreeSet<String>,
}

impl MadeVariables {
    /// All that can be made of the blocks.
    pub(super) fn of(maps: &Maps<'_>) -> Self {
        let mut blocks: BTreeMap<&str, &Directive> = maps.blocks().collect();
        loop {
            let name = |theirs: &str| blocks.contains_key(theirs).then(|| ours(theirs));
            let made: Vec<(&str, Option<Made>)> = blocks
                .iter()
                .map(|(theirs, block)| (*theirs, made(theirs, block, &name)))
                .collect();
            let failed: Vec<&str> =
                made.iter().filter(|(_, one)| one.is_none()).map(|(theirs, _)| *theirs).collect();
            if failed.is_empty() {
                let all =
                    made.into_iter().filter_map(|(theirs, one)| Some((theirs.to_owned(), one?)));
                let all = Rc::new(known_from(all.collect()));
                return Self { all, ..Self::default() };
            }
            // What is made of one that cannot be made cannot be made either.
            blocks.retain(|theirs, _| !failed.contains(theirs));
        }
    }

    /// The variable of that name of nginx's; it is used from here on.
    pub(super) fn find(&self, theirs: &str) -> Option<Made> {
        let made = self.get(theirs)?;
        self.used.borrow_mut().insert(theirs.to_owned());
        Some(made)
    }

    fn get(&self, theirs: &str) -> Option<Made> {
        self.all.get(theirs).cloned().or_else(|| self.own.borrow().get(theirs).cloned())
    }

    /// Adds what a directive of a place makes; gives the name by which it is found.
    pub(super) fn add(
        &self,
        (base, id): (&str, usize),
        at: Place,
        lines: Vec<(String, String)>,
        stage: Stage,
    ) -> String {
        let key = format!("{base}__{id}");
        let mut own = self.own.borrow_mut();
        let taken = |name: &str| {
            stage_of_variable(name).is_some()
                || self.all.values().chain(own.values()).any(|made| made.name == name)
        };
        if !own.contains_key(&key) {
            let numbered = (2..).map(|n| format!("{base}-{n}"));
            let mut names = std::iter::once(base.to_owned()).chain(numbered);
            let name = names.find(|name| !taken(name)).unwrap_or_default();
            own.insert(key.clone(), Made { at, name, lines, stage, id, uses: BTreeSet::new() });
        }
        key
    }

    /// Those that are used, with what they are made of.
    pub(super) fn into_used(self) -> Vec<Made> {
        let mut wanted: Vec<String> = self.used.borrow().iter().cloned().collect();
        let mut seen = BTreeSet::new();
        while let Some(theirs) = wanted.pop() {
            if let Some(made) = self.get(&theirs).filter(|_| seen.insert(theirs.clone())) {
                wanted.extend(made.uses.iter().cloned());
            }
        }
        let mut used: Vec<Made> = seen.iter().filter_map(|name| self.get(name)).collect();
        used.sort_by_key(|made| made.at);
        used
    }
}

/// Ours must not be a variable of Plimsoll's own.
fn ours(theirs: &str) -> String {
    let taken = stage_of_variable(theirs).is_some();
    if taken { format!("{theirs}-map") } else { theirs.to_owned() }
}

/// A variable is known once all are that it is made of.
fn known_from(mut all: BTreeMap<String, Made>) -> BTreeMap<String, Made> {
    for _ in 0..all.len() {
        let stages: BTreeMap<String, Stage> =
            all.iter().map(|(theirs, made)| (theirs.clone(), made.stage)).collect();
        for made in all.values_mut() {
            let others = made.uses.iter().filter_map(|other| stages.get(other).copied());
            made.stage = others.fold(made.stage, Stage::max);
        }
    }
    all
}

/// What a text of a block becomes.
struct Texts<'n> {
    name: &'n dyn Fn(&str) -> Option<String>,
    uses: BTreeSet<String>,
    stage: Stage,
}

impl Texts<'_> {
    /// The text; `None` if a variable in it has no counterpart.
    fn text(&mut self, text: &str, groups: Option<&Regex>) -> Option<String> {
        let mut made = String::new();
        for part in parts(text) {
            match part {
                Part::Text(plain) => made.push_str(&plain.replace("${", "$${")),
                Part::Variable(name) if is_group(name, groups) => {
                    made.extend(["${capture.", name, "}"]);
                }
                Part::Variable(name) => {
                    if let Some(ours) = (self.name)(name) {
                        self.uses.insert(name.to_owned());
                        made.extend(["${", &ours, "}"]);
                        continue;
                    }
                    let one = Scope::default().template(&format!("${{{name}}}"), Stage::End);
                    let one = one.ok()?;
                    self.stage = self.stage.max(one.from);
                    made.push_str(&one.text);
                }
            }
        }
        Some(made)
    }
}

pub(super) fn is_group(name: &str, groups: Option<&Regex>) -> bool {
    groups.is_some_and(|regex| {
        let numbered = name.parse::<usize>().is_ok_and(|number| number < regex.captures_len());
        numbered || regex.capture_names().flatten().any(|group| group == name)
    })
}

fn made(theirs: &str, block: &Directive, name: &dyn Fn(&str) -> Option<String>) -> Option<Made> {
    let mut texts = Texts { name, uses: BTreeSet::new(), stage: Stage::Request };
    let is_geo = block.name.text == "geo";
    let source = if is_geo { geo::source(block) } else { block.arg(0) };
    let mut lines = vec![("from".to_owned(), quote(&texts.text(source, None)?))];
    match &*block.name.text {
        "map" => cases(block, &mut texts, &mut lines)?,
        "geo" => lines.extend(geo::lines(block)?),
        _ => lines.push(("split".to_owned(), shares(block)?)),
    }
    let Texts { uses, stage, .. } = texts;
    let (at, id) = (block.name.place, block.id);
    Some(Made { at, name: ours(theirs), lines, stage, id, uses })
}

fn cases(
    block: &Directive,
    texts: &mut Texts<'_>,
    lines: &mut Vec<(String, String)>,
) -> Option<()> {
    let alone =
        |name: &str| block.inner().iter().any(|one| one.name.text == name && one.args.is_empty());
    let hostnames = alone("hostnames");
    let mut cases = Vec::new();
    // Of two with one key, which nginx refuses, the first.
    let mut seen = BTreeSet::new();
    for entry in block.inner() {
        let key = &*entry.name.text;
        if entry.args.is_empty() && ["hostnames", "volatile"].contains(&key) {
            continue;
        }
        match key {
            "include" => continue,
            // Of two, which nginx refuses, the first.
            "default" if lines.iter().any(|(line, _)| line == "default") => continue,
            "default" => {
                lines.push(("default".to_owned(), quote(&texts.text(entry.arg(0), None)?)));
                continue;
            }
            _ => {}
        }
        let (rule, text, give) = if let Some(regex) = key.strip_prefix('~') {
            let regex = match regex.strip_prefix('*') {
                Some(regex) => format!("(?i){regex}"),
                None => regex.to_owned(),
            };
            let groups = Regex::new(&regex).ok()?;
            ("regex", regex, texts.text(entry.arg(0), Some(&groups))?)
        } else {
            let host = hostnames && is_host(key);
            if hostnames && !host && key.contains('*') {
                return None;
            }
            let text = key.strip_prefix('\\').unwrap_or(key).to_owned();
            (if host { "host" } else { "is" }, text, texts.text(entry.arg(0), None)?)
        };
        let case = format!("{rule} = {}", quote(&text));
        if !seen.insert(if rule == "regex" { case.clone() } else { case.to_ascii_lowercase() }) {
            continue;
        }
        cases.push(format!("  {{ {case}, give = {} }},", quote(&give)));
    }
    if !cases.is_empty() {
        lines.push(("cases".to_owned(), format!("[\n{}\n]", cases.join("\n"))));
    }
    Some(())
}

/// `a.test`, `.a.test`, `*.a.test` or `a.*`; other keys are texts as they are.
fn is_host(key: &str) -> bool {
    let bare = key.strip_prefix("*.").or_else(|| key.strip_prefix('.'));
    is_name(bare.or_else(|| key.strip_suffix(".*")).unwrap_or(key))
}

fn shares(block: &Directive) -> Option<String> {
    let part = |entry: &Directive| {
        let give = quote(&entry.arg(0).replace("${", "$${"));
        if entry.name.text == "*" {
            return Some(format!("  {{ give = {give} }},"));
        }
        let percent = entry.name.text.strip_suffix('%')?;
        let number: f64 = percent.parse().ok()?;
        let good = (0.01..=100.0).contains(&number);
        good.then(|| format!("  {{ percent = {number}, give = {give} }},"))
    };
    let parts: Option<Vec<String>> = block.inner().iter().map(part).collect();
    Some(format!("[\n{}\n]", parts?.join("\n")))
}
