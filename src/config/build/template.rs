//! Texts with `${variables}`.

use std::ops::Range;

use super::Build;
use super::variables;
use crate::config::faults::Place;
use crate::config::model::{Piece, Stage, Template, Variable};
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
        match variable(name).and_then(|variable| in_time(variable, name, stage)) {
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
