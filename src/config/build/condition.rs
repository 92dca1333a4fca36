//! `when` of a route.

use super::Build;
use super::route::regex;
use super::template::template;
use crate::config::model::{Condition, Pattern, Test};
use crate::config::tree::Table;

const RULES: [&str; 4] = ["is", "not", "regex", "not_regex"];

/// The conditions of a route.
pub(super) fn conditions(b: &mut Build<'_>, table: &Table) -> Vec<Condition> {
    table.tables("when").filter_map(|one| condition(b, one)).collect()
}

fn condition(b: &mut Build<'_>, table: &Table) -> Option<Condition> {
    let value = template(b, table.place_of("value"), table.text("value"));
    let mut rules = RULES.into_iter().filter_map(|key| Some((key, table.written(key)?.1)));
    let (Some((key, item)), None) = (rules.next(), rules.next()) else {
        if !RULES.iter().any(|key| table.refused.contains(key)) {
            let help = "write one of `is`, `not`, `regex` and `not_regex`";
            b.error(table.place, "a condition has exactly one rule", help);
        }
        return None;
    };
    let test = match key {
        "is" => Test::Is(item.text().to_owned()),
        "not" => Test::IsNot(item.text().to_owned()),
        "regex" => Test::Matches(Pattern(regex(b, item)?)),
        _ => Test::MatchesNot(Pattern(regex(b, item)?)),
    };
    Some(Condition { value, test })
}
