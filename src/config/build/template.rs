//! Texts with `${variables}`.

use std::ops::Range;

use super::Build;
use super::field::is_token;
use crate::config::faults::Place;
use crate::config::model::{Piece, Template, Variable};
use crate::config::nearest::nearest;

/// The variables without an argument.
const PLAIN: [(&str, Variable); 11] = [
    ("client_ip", Variable::ClientIp),
    ("host", Variable::Host),
    ("method", Variable::Method),
    ("path", Variable::Path),
    ("query", Variable::Query),
    ("uri", Variable::Uri),
    ("scheme", Variable::Scheme),
    ("request_id", Variable::RequestId),
    ("route", Variable::Route),
    ("upstream", Variable::Upstream),
    ("backend", Variable::Backend),
];

/// The families of variables; each takes a name.
const FAMILIES: [&str; 3] = ["header.", "cookie.", "arg."];

/// All variables by name, for texts.
pub(in crate::config) fn known() -> impl Iterator<Item = String> {
    let plain = PLAIN.iter().map(|(name, _)| (*name).to_owned());
    plain.chain(FAMILIES.iter().map(|family| format!("{family}NAME")))
}

/// Reads a text with variables; faults are reported, and what is good of it is kept.
pub(super) fn template(b: &mut Build<'_>, at: Place, text: &str) -> Template {
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
        match variable(&text[found + 2..rest - 1]) {
            Ok(variable) => {
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
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
    if let Some((_, variable)) = PLAIN.iter().find(|(plain, _)| *plain == name) {
        return Ok(variable.clone());
    }
    for family in FAMILIES {
        if let Some(argument) = name.strip_prefix(family) {
            return with_argument(family, argument).ok_or_else(|| {
                let message = format!("`{argument}` cannot be the name in `${{{name}}}`");
                (message, format!("write it like `${{{family}name}}`"))
            });
        }
    }
    let known = || PLAIN.iter().map(|(plain, _)| *plain);
    let near = nearest(name, known());
    let near = near.map(|near| format!("did you mean `${{{near}}}`? ")).unwrap_or_default();
    let list = known().collect::<Vec<_>>().join(", ");
    let help = format!("{near}known: {list}, header.NAME, cookie.NAME, arg.NAME");
    Err((format!("unknown variable `${{{name}}}`"), help))
}

fn with_argument(family: &str, name: &str) -> Option<Variable> {
    match family {
        "header." => is_token(name).then(|| Variable::Header(name.to_ascii_lowercase())),
        "cookie." => is_token(name).then(|| Variable::Cookie(name.to_owned())),
        _ => (!name.is_empty()).then(|| Variable::Arg(name.to_owned())),
    }
}
