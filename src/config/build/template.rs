//! Texts with `${variables}`.

use std::ops::Range;

use regex::bytes::Regex;

use super::Build;
use super::variables;
use crate::config::faults::Place;
use crate::config::model::{
    Captures, Condition, Group, HostMatch, PathMatch, Piece, Stage, Template, Test, Variable,
};
use crate::config::nearest::nearest;

/// Reads a text with variables that are known once the request is; faults are reported, and what is
/// good of it is kept.
pub(super) fn template(b: &mut Build<'_>, at: Place, text: &str) -> Template {
    template_at(b, at, text, Stage::Request)
}

/// The same with variables that are known at `stage`.
pub(super) fn template_at(b: &mut Build<'_>, at: Place, text: &str, stage: Stage) -> Template {
    read(b, at, text, stage, None)
}

/// The same at any stage, with what the groups of an expression found.
pub(super) fn template_of_groups(
    b: &mut Build<'_>,
    at: Place,
    text: &str,
    groups: &Regex,
) -> Template {
    read(b, at, text, Stage::End, Some(groups))
}

fn read(
    b: &mut Build<'_>,
    at: Place,
    text: &str,
    stage: Stage,
    groups: Option<&Regex>,
) -> Template {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = 0;
    while let Some(found) = text[rest..].find("${").map(|found| rest + found) {
        if text[rest..found].ends_with('$') {
            // `$${` is a plain `${`.
            plain.push_str(&text[rest..found - 1]);
            plain.push_str("${");
            rest = found + 2;
            continue;
        }
        plain.push_str(&text[rest..found]);
        let Some(length) = text[found..].find('}') else {
            let place = b.faults.within(at, text, found..text.len());
            b.error(place, "`${` without `}`", "close the variable; write `$${` for a plain `${`");
            rest = text.len();
            break;
        };
        rest = found + length + 1;
        let name = &text[found + 2..rest - 1];
        // In the text of an expression's case, groups are those of that expression.
        let of_route = if groups.is_none() { capture(b, name) } else { None };
        let known = of_route.unwrap_or_else(|| {
            variable(b, name, groups).and_then(|variable| in_time(variable, name, stage))
        });
        match known {
            Ok(Variable::Hostname) => plain.push_str(&hostname()),
            Ok(variable) => {
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                b.asked.note(&variable);
                pieces.push(Piece::Variable(variable));
            }
            Err((message, help)) => fault(b, at, text, found..rest, message, help),
        }
    }
    plain.push_str(&text[rest..]);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Template(pieces)
}

/// The name of this machine, lower case as nginx has it.
pub(super) fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase()
}

fn fault(
    b: &mut Build<'_>,
    at: Place,
    text: &str,
    range: Range<usize>,
    what: String,
    help: String,
) {
    let place = b.faults.within(at, text, range);
    b.error(place, what, help);
}

/// The groups of a route's expressions.
pub(super) struct Groups {
    captures: Captures,
    /// The highest number.
    most: usize,
    /// Whether a text has asked for one.
    asked: bool,
}

impl Groups {
    /// Those of a route's rules.
    pub(super) fn of(hosts: &[HostMatch], path: &PathMatch, when: &[Condition]) -> Self {
        let hosts = hosts.iter().filter_map(|host| match host {
            HostMatch::Regex(pattern) => Some(&pattern.0),
            _ => None,
        });
        let path = match path {
            PathMatch::Regex(regex) | PathMatch::RegexWithin(_, regex) => Some(regex),
            _ => None,
        };
        let when = when.iter().filter_map(|condition| match &condition.test {
            Test::Matches(pattern) => Some(&pattern.0),
            _ => None,
        });
        let mut groups = Self { captures: Captures::default(), most: 0, asked: false };
        for regex in hosts.chain(path).chain(when) {
            groups.most = groups.most.max(regex.captures_len() - 1);
            for name in regex.capture_names().flatten() {
                if !groups.captures.names.iter().any(|known| known == name) {
                    groups.captures.names.push(name.to_owned());
                }
            }
        }
        groups
    }

    /// What has to be found, if a text has asked for anything.
    pub(super) fn asked(self) -> Option<Captures> {
        self.asked.then_some(self.captures)
    }
}

/// The group of a route's expressions that goes by this name, if it is such a name.
fn capture(b: &mut Build<'_>, name: &str) -> Option<Result<Variable, (String, String)>> {
    let is_number = !name.is_empty() && name.bytes().all(|c| c.is_ascii_digit());
    let group = if is_number { Some(name) } else { name.strip_prefix("capture.") }?;
    let Some(groups) = &mut b.groups else {
        let help = "it can stand in texts of a route, but not in its rules";
        return Some(Err((format!("no expression has found `${{{name}}}` here"), help.to_owned())));
    };
    let within = !is_number || group.parse().is_ok_and(|number: usize| number <= groups.most);
    let Some(found) = groups.captures.find(group).filter(|_| within) else {
        let help = "groups are those of `path_regex`, of `~` in `hosts`, and of `regex` in `when`";
        let message = format!("no expression of this route has the group of `${{{name}}}`");
        return Some(Err((message, help.to_owned())));
    };
    groups.asked = true;
    Some(Ok(Variable::Capture(found)))
}

fn variable(
    b: &Build<'_>,
    name: &str,
    groups: Option<&Regex>,
) -> Result<Variable, (String, String)> {
    if let Some(variable) = variables::plain(name).or_else(|| b.made.get(name).cloned()) {
        return Ok(variable);
    }
    if let (Some(group), Some(regex)) = (name.strip_prefix("capture."), groups) {
        return self::group(group, regex).map(Variable::Group);
    }
    match variables::of_family(name) {
        Some(Ok(variable)) => Ok(variable),
        Some(Err((family, argument))) => {
            let message = format!("`{argument}` cannot be the name in `${{{name}}}`");
            Err((message, format!("write it like `${{{family}name}}`")))
        }
        None => {
            let known: Vec<String> = variables::known().map(|one| one.name).collect();
            let known = known.iter().chain(b.made.keys());
            let near = nearest(name, known.map(String::as_str));
            let near = near.map(|near| format!("did you mean `${{{near}}}`? ")).unwrap_or_default();
            let help = format!("{near}the manual's configuration reference lists all of them");
            Err((format!("unknown variable `${{{name}}}`"), help))
        }
    }
}

/// A group of the expression.
fn group(name: &str, regex: &Regex) -> Result<Group, (String, String)> {
    let number = name.parse().ok().filter(|number| *number < regex.captures_len());
    let named = regex.capture_names().flatten().any(|group| group == name);
    let group = number.map(Group::Number).or_else(|| named.then(|| Group::Name(name.to_owned())));
    group.ok_or_else(|| {
        let message = format!("the expression has no group `{name}`");
        (message, "name groups like `(?<name>…)`, or count them from 1".to_owned())
    })
}

/// The variable, unless it has no value yet.
fn in_time(variable: Variable, name: &str, stage: Stage) -> Result<Variable, (String, String)> {
    let (when, help) = match variable.stage() {
        known if known <= stage => return Ok(variable),
        Stage::End => ("the response is sent", "it can stand in the access log"),
        _ => (
            "there is a response",
            "it can stand in `response_headers`, the body of `respond` and the access log",
        ),
    };
    Err((format!("`${{{name}}}` is not known until {when}"), help.to_owned()))
}
