//! `set` within `if` → `[variable.NAME]`: what the variable is where the condition holds, and otherwise
//! what it was before.

use std::collections::BTreeSet;

use regex::bytes::Regex;

use super::condition::{Condition, condition};
use super::draft::Check;
use super::made::is_group;
use super::tree::Directive;
use super::variables::{Part, Scope, parts};
use super::write::quote;
use crate::config::Stage;

/// A text for a case of a variable, and from when on it is known.
type Text = (String, Stage);

/// Takes in a block that does nothing but `set`; `false` if there is no counterpart.
pub(super) fn take_in(level: &[Directive], block: &Directive, scope: &mut Scope) -> bool {
    let names: BTreeSet<&str> = block.inner().iter().map(|d| d.arg(0)).collect();
    if !only_sets(block) || names.iter().any(|name| asked_before(level, block, name)) {
        return false;
    }
    match condition(block, scope) {
        None => return false,
        Some(Condition::Never) => {}
        Some(Condition::Always) => {
            block.inner().iter().for_each(|d| scope.set(d.arg(0), d.arg(1)));
        }
        Some(Condition::When(checks)) => {
            let before = scope.clone();
            for name in names {
                if !choose(block, &checks, name, &before, scope) {
                    *scope = before;
                    return false;
                }
            }
        }
    }
    scope.carried.insert(block.id);
    true
}

/// Whether a block does nothing but `set`.
pub(super) fn only_sets(block: &Directive) -> bool {
    !block.inner().is_empty() && block.inner().iter().all(|d| d.name.text == "set")
}

/// Whether what stands before a block asks for a variable that it sets: there it has another value than
/// at the end.
fn asked_before(level: &[Directive], block: &Directive, name: &str) -> bool {
    let name = name.trim_start_matches('$');
    let mentions = |d: &Directive| {
        let mut all = d.args.iter().flat_map(|arg| parts(&arg.text));
        all.any(|part| part == Part::Variable(name))
    };
    let asks = |d: &&Directive| match &*d.name.text {
        "return" | "rewrite" => mentions(d),
        "if" if !only_sets(d) => {
            // The condition's parentheses are part of its words.
            mentions(d) || d.inner().iter().any(mentions)
        }
        _ => false,
    };
    level.iter().filter(|d| d.id < block.id).any(|d| asks(&d))
}

/// Makes the variable what it is behind the block.
fn choose(
    block: &Directive,
    checks: &[Check],
    name: &str,
    before: &Scope,
    scope: &mut Scope,
) -> bool {
    let Some(bare) = name.strip_prefix('$') else { return false };
    let mut within = before.clone();
    checks
        .iter()
        .filter(|one| one.rule == "regex")
        .for_each(|one| within.found(&one.value, &one.text));
    block.inner().iter().for_each(|d| within.set(d.arg(0), d.arg(1)));
    let groups = match checks {
        [Check { rule: "regex", text, .. }] => Regex::new(text).ok(),
        _ => None,
    };
    let was = if before.knows(bare) { text(bare, before, None) } else { Some(unset()) };
    let (Some(mut is), Some(was)) = (text(bare, &within, groups.as_ref()), was) else {
        return false;
    };
    let last = checks.len() - 1;
    for (place, check) in checks.iter().enumerate().rev() {
        let (regex, holds) = match check.rule {
            "is" => (format!("^{}$", regex::escape(&check.text)), true),
            "not" => (format!("^{}$", regex::escape(&check.text)), false),
            "regex" => (check.text.clone(), true),
            _ => (check.text.clone(), false),
        };
        let (found, otherwise) = if holds { (&is, &was) } else { (&was, &is) };
        let lines = vec![
            ("from".to_owned(), quote(&check.value)),
            (
                "cases".to_owned(),
                format!("[{{ regex = {}, give = {} }}]", quote(&regex), quote(&found.0)),
            ),
            ("default".to_owned(), quote(&otherwise.0)),
        ];
        let stage = is.1.max(was.1);
        let of = block.inner().iter().rfind(|d| d.arg(0) == name).map_or(block.id, |d| d.id);
        // Of several conditions each has a variable, of which the first is asked for.
        let base = if place == last { bare.to_owned() } else { format!("{bare}_{place}") };
        let key = scope.made.add((&base, of), block.name.place, lines, stage);
        if place == 0 {
            scope.stand_for(bare, &key);
        } else {
            let Some(made) = scope.made.find(&key) else { return false };
            is = (format!("${{{}}}", made.name), stage);
        }
    }
    true
}

fn unset() -> Text {
    (String::new(), Stage::Request)
}

/// What a variable is; `None` if that cannot be said in a section of its own.
fn text(name: &str, scope: &Scope, groups: Option<&Regex>) -> Option<Text> {
    let mut made = unset();
    for part in parts(&scope.fold(&format!("${{{name}}}"))) {
        match part {
            Part::Text(plain) => made.0.push_str(&plain.replace("${", "$${")),
            Part::Variable(group) if is_group(group, groups) => {
                made.0.extend(["${capture.", group, "}"]);
            }
            // What an expression of the route finds is the route's.
            Part::Variable(group) if scope.has_group(group) => return None,
            Part::Variable(other) => {
                let one = scope.template(&format!("${{{other}}}"), Stage::End).ok()?;
                made.0.push_str(&one.text);
                made.1 = made.1.max(one.from);
            }
        }
    }
    Some(made)
}
