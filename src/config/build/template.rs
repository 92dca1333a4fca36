//! Texts with `${variables}`.

use std::ops::Range;

use super::Build;
use super::variables;
use crate::config::faults::Place;
use crate::config::model::{
    Captures, Condition, HostMatch, PathMatch, Piece, Stage, Template, Test, Variable,
};
use crate::config::nearest::nearest;

/// Reads a text with variables that are known once the request is; faults are reported, and what is
/// good of it is kept.
pub(super) fn template(b: &mut Build<'_>, at: Place, text: &str) -> Template {
    template_at(b, at, text, Stage::Request)
}

/// The same with variables that are known at `stage`.
pub(super) fn template_at(b: &mut Build<'_>, at: Place, text: &str, stage: Stage) -> Template {
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
        let variable = match capture(b, name) {
            Some(found) => found,
            None => variable(name).and_then(|variable| in_time(variable, name, stage)),
        };
        match variable {
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

fn variable(name: &str) -> Result<Variable, (String, String)> {
    if let Some(variable) = variables::plain(name) {
        return Ok(variable);
    }
    match variables::of_family(name) {
        Some(Ok(variable)) => Ok(variable),
        Some(Err((family, argument))) => {
            let message = format!("`{argument}` cannot be the name in `${{{name}}}`");
            Err((message, format!("write it like `${{{family}name}}`")))
        }
        None => {
            let known: Vec<String> = variables::known().map(|one| one.name).collect();
            let near = nearest(name, known.iter().map(String::as_str));
            let near = near.map(|near| format!("did you mean `${{{near}}}`? ")).unwrap_or_default();
            let help = format!("{near}the manual's configuration reference lists all of them");
            Err((format!("unknown variable `${{{name}}}`"), help))
        }
    }
}

/// The variable, unless it has no value yet.
fn in_time(variable: Variable, name: &str, stage: Stage) -> Result<Variable, (String, String)> {
    let (when, help) = match variable.stage() {
        known if known <= stage => return Ok(variable),
        Stage::End => ("the response is sent", "it can stand in the access log"),
        _ => ("there is a response", "it can stand in `response_headers` and in the access log"),
    };
    Err((format!("`${{{name}}}` is not known until {when}"), help.to_owned()))
}
