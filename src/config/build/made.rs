//! `[variable.NAME]`.

use std::sync::Arc;

use super::listener::network;
use super::route::regex;
use super::template::{template_at, template_of_groups};
use super::{Build, variables};
use crate::config::model::{Cases, Made, MadeBy, Pattern, Piece, Stage, Template, Variable};
use crate::config::tree::{Item, Key, Table};

/// Makes the variables of all parts known to the texts that are read from here on.
pub(super) fn define(b: &mut Build<'_>, parts: &[Table]) {
    let all = parts.iter().flat_map(|part| part.map("variable"));
    let mut left: Vec<(&Key, &Table)> = Vec::new();
    for (key, item) in all {
        let Some(table) = item.table() else { continue };
        if let Some((what, help)) = name_fault(&key.name) {
            b.error(key.place, format!("`{}` {what}", key.name), help);
        } else if let Some((first, _)) = left.iter().find(|(other, _)| other.name == key.name) {
            let at = b.faults.locate(first.place);
            let message = format!("`{}` is the name of two variables", key.name);
            b.error(key.place, message, format!("first at {at}; choose another name"));
        } else {
            left.push((key, table));
        }
    }
    // A variable may be made of others, which are then made before it.
    while !left.is_empty() {
        let waits = |table: &Table| left.iter().any(|(other, _)| mentions(table, &other.name));
        let (later, ready): (Vec<_>, Vec<_>) = left.iter().partition(|(_, table)| waits(table));
        if ready.is_empty() {
            for (key, _) in &later {
                let message = format!("the variable `{}` is made of itself", key.name);
                b.error(key.place, message, "break the circle: let one of them stand alone");
                b.made.insert(key.name.clone(), Variable::Host);
            }
            return;
        }
        for (key, table) in ready {
            let made = made(b, key, table);
            b.made.insert(key.name.clone(), Variable::Made(Arc::new(made)));
        }
        left = later;
    }
}

fn name_fault(name: &str) -> Option<(&'static str, &'static str)> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(good) {
        return Some(("cannot be the name of a variable", "use letters, digits, `_` and `-`"));
    }
    variables::plain(name)?;
    Some(("is a variable already", "choose another name"))
}

/// Whether a text of the section uses this variable.
fn mentions(table: &Table, name: &str) -> bool {
    let used = format!("${{{name}}}");
    let inner = table.tables("cases").chain(table.tables("split")).map(|one| one.text("give"));
    [table.text("from"), table.text("default")].into_iter().chain(inner).any(|t| t.contains(&used))
}

fn made(b: &mut Build<'_>, key: &Key, table: &Table) -> Made {
    let from = template_at(b, table.place_of("from"), table.text("from"), Stage::End);
    let rule = match (table.written("cases"), table.written("split")) {
        (_, None) => MadeBy::Cases(Box::new(cases(b, table))),
        (None, Some((_, item))) => {
            if let Some((at, _)) = table.written("default") {
                let help = "write a last part without `percent` in its place";
                b.error(at, "`default` has no effect beside `split`", help);
            }
            MadeBy::Shares(shares(b, table, item))
        }
        (Some(_), Some((at, _))) => {
            b.error(at, "`split` cannot stand beside `cases`", "make two variables");
            MadeBy::Shares(Vec::new())
        }
    };
    let texts: Vec<&Template> = match &rule {
        MadeBy::Cases(cases) => {
            let lists = [&cases.suffixes, &cases.prefixes].into_iter().flatten().map(|one| &one.1);
            let patterns = cases.patterns.iter().map(|one| &one.1);
            let networks = cases.networks.values().flat_map(|all| all.values());
            networks
                .chain(lists)
                .chain(cases.exact.values())
                .chain(patterns)
                .chain([&cases.otherwise])
                .collect()
        }
        MadeBy::Shares(shares) => shares.iter().map(|one| &one.1).collect(),
    };
    let stages = texts.into_iter().chain([&from]).flat_map(|text| &text.0);
    let stages = stages.filter_map(|piece| match piece {
        Piece::Variable(variable) => Some(variable.stage()),
        Piece::Text(_) => None,
    });
    let stage = stages.max().unwrap_or(Stage::Request);
    Made { name: key.name.clone(), from, rule, stage }
}

fn cases(b: &mut Build<'_>, table: &Table) -> Cases {
    let otherwise = template_at(b, table.place_of("default"), table.text("default"), Stage::End);
    let mut cases = Cases { otherwise, ..Cases::default() };
    for one in table.tables("cases") {
        case(b, one, &mut cases);
    }
    let longest_first = |list: &mut Vec<(Vec<u8>, Template)>| {
        list.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
    };
    longest_first(&mut cases.suffixes);
    longest_first(&mut cases.prefixes);
    cases
}

fn case(b: &mut Build<'_>, table: &Table, cases: &mut Cases) {
    let rules = ["is", "host", "network", "regex"];
    let mut written = rules.into_iter().filter_map(|key| Some((key, table.written(key)?.1)));
    let (Some((key, item)), None) = (written.next(), written.next()) else {
        let help = "write one of `is`, `host`, `network` and `regex`";
        b.error(table.place, "a case has exactly one rule", help);
        return;
    };
    if key == "regex" {
        let Some(regex) = regex(b, item) else { return };
        let give = template_of_groups(b, table.place_of("give"), table.text("give"), &regex);
        cases.patterns.push((Pattern(regex), give));
        return;
    }
    let give = template_at(b, table.place_of("give"), table.text("give"), Stage::End);
    let text = item.text().to_ascii_lowercase();
    let mut twice = false;
    if key == "network" {
        let Some(network) = network(b, item) else { return };
        let (length, bits) = crate::config::model::common_bits(network);
        twice = cases.networks.entry(length).or_default().insert(bits, give).is_some();
    } else if key == "is" {
        twice = cases.exact.insert(text.into_bytes(), give).is_some();
    } else {
        cases.hosts = true;
        let bare = text.trim_matches(['*', '.']);
        if bare.is_empty() || bare.contains('*') {
            let help = "write `example.com`, `*.example.com`, `.example.com` or `www.example.*`";
            b.error(item.place, "this is no host", help);
        } else if text.starts_with("*.") {
            cases.suffixes.push((text[1..].into(), give));
        } else if text.ends_with(".*") {
            cases.prefixes.push((text[..text.len() - 1].into(), give));
        } else {
            if text.starts_with('.') {
                cases.suffixes.push((text.clone().into_bytes(), give.clone()));
            }
            twice = cases.exact.insert(bare.into(), give).is_some();
        }
    }
    if twice {
        b.error(item.place, format!("`{}` is there twice", item.text()), "remove one of the two");
    }
}

/// The shares as bounds of the hash, as nginx computes them.
fn shares(b: &mut Build<'_>, table: &Table, at: &Item) -> Vec<(u32, Template)> {
    let parts: Vec<&Table> = table.tables("split").collect();
    let mut shares = Vec::with_capacity(parts.len());
    let (mut sum, mut bound) = (0_u64, 0_u32);
    for (n, part) in parts.iter().enumerate() {
        let give = template_at(b, part.place_of("give"), part.text("give"), Stage::End);
        match part.float("percent") {
            Some(percent) => {
                let hundredths = (percent * 100.0).round() as u64;
                sum += hundredths;
                let share = hundredths * u64::from(u32::MAX) / 10_000;
                bound = bound.saturating_add(share as u32);
                shares.push((bound, give));
            }
            None if n + 1 == parts.len() => shares.push((u32::MAX, give)),
            None => {
                let help = "write `percent`, or move it to the end";
                b.error(part.place, "only the last part may take all that is left", help);
            }
        }
    }
    if sum > 10_000 {
        b.error(at.place, "the shares are more than 100 %", "let them add up to 100 at most");
    }
    shares
}
