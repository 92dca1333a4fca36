//! Changes of a request's path, after nginx's `ngx_http_rewrite_module`.
//!
//! Pure; called by `proxy::walk`. The path is matched and changed in its normalised form, and written
//! out anew as a target.

use crate::http1::target::push_escaped;
use crate::proxy::entrance::Entrance;
use crate::proxy::failure::Failure;
use crate::proxy::headers::ClientIdentity;
use crate::proxy::request::State;
use crate::proxy::vars::{Vars, push_variable, remove_controls, render};
use crate::snapshot::settings::{Condition, PathChange, PathPiece, Then};

/// What follows from a route's rewrites.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rewritten {
    /// None of them held.
    Not,
    /// The path is another; the request stays on its route.
    Here,
    /// The path is another; its route is to be looked for.
    Elsewhere,
    /// The same, and what stands behind has its say first.
    Further,
    /// The client is told to go there.
    Redirect(u16, Vec<u8>),
    /// What came of it is no path.
    Nowhere(Failure),
}

/// Applies the rules in their order.
pub(super) fn rewrite(
    rules: &[PathChange],
    (at, client): (&Entrance<'_>, &ClientIdentity),
    route: &str,
    state: &mut State,
) -> Rewritten {
    let mut rewritten = Rewritten::Not;
    let mut when = When { all: &[], held: None };
    for rule in rules {
        if !rule.same_when {
            when = When { all: &rule.when, held: None };
        }
        let Some((path, query)) = apply(rule, &mut when, (at, client), route, state) else {
            continue;
        };
        if let Then::Stop = rule.then {
            return rewritten;
        }
        if let Then::Redirect(status) = rule.then {
            let mut location = path;
            if !query.is_empty() {
                location.push(b'?');
                location.extend_from_slice(&query);
            }
            // Variables are put in as they are.
            remove_controls(&mut location, 0);
            return Rewritten::Redirect(status, location);
        }
        if let Err(failure) = state.retarget_to(&path, &query) {
            return Rewritten::Nowhere(failure);
        }
        match rule.then {
            Then::Break => return Rewritten::Here,
            Then::Last => return Rewritten::Elsewhere,
            Then::Next | Then::Redirect(_) | Then::Stop => rewritten = Rewritten::Further,
        }
    }
    rewritten
}

/// The conditions of a rule, and of those behind it that have the same.
struct When<'a> {
    all: &'a [Condition],
    /// Whether they held when they were first asked for.
    held: Option<bool>,
}

impl When<'_> {
    fn holds(&mut self, vars: &Vars<'_>) -> bool {
        let all = self.all;
        *self.held.get_or_insert_with(|| all.iter().all(|condition| holds(condition, vars)))
    }
}

/// The path and query that a rule makes; `None` if it does not hold.
fn apply(
    rule: &PathChange,
    when: &mut When<'_>,
    (at, client): (&Entrance<'_>, &ClientIdentity),
    route: &str,
    state: &State,
) -> Option<(Vec<u8>, Vec<u8>)> {
    let found = rule.regex.captures(state.normalised_path())?;
    let vars = state.vars(at, client, route);
    if !when.holds(&vars) {
        return None;
    }
    let is_redirect = matches!(rule.then, Then::Redirect(_));
    // What came escaped is escaped again where it would mean something else.
    let was_escaped = state.head.path().iter().any(|byte| matches!(byte, b'%' | b'+'));
    let render = |pieces: &[PathPiece], escape: Escape| {
        let mut out = Vec::new();
        for piece in pieces {
            match piece {
                PathPiece::Text(text) => out.extend_from_slice(text.as_bytes()),
                PathPiece::Variable(variable) => {
                    push_variable(variable, &vars, &mut out);
                }
                PathPiece::Capture(group) => {
                    let text = found.get(*group).map_or(&b""[..], |found| found.as_bytes());
                    escape.push(&mut out, text);
                }
            }
        }
        out
    };
    let of_path = if is_redirect { Escape::Path } else { Escape::Nothing };
    let path = render(&rule.path, of_path);
    let own = rule.query.as_deref();
    let escape = if was_escaped { Escape::Argument } else { Escape::Nothing };
    let mut query = own.map(|pieces| render(pieces, escape)).unwrap_or_default();
    let came = state.head.query().filter(|query| rule.keeps_query && !query.is_empty());
    if let Some(came) = came {
        if own.is_some() {
            query.push(b'&');
        }
        query.extend_from_slice(came);
    }
    Some((path, query))
}

fn holds(condition: &Condition, vars: &Vars<'_>) -> bool {
    let mut text = Vec::new();
    render(&condition.value, vars, &mut text);
    condition.test.passes(&text)
}

/// How what a group found is put in.
#[derive(Clone, Copy)]
enum Escape {
    Nothing,
    /// It stands in a path that a client reads.
    Path,
    /// It stands in an argument.
    Argument,
}

impl Escape {
    fn push(self, out: &mut Vec<u8>, text: &[u8]) {
        let special: &[u8] = match self {
            Self::Nothing => return out.extend_from_slice(text),
            Self::Path => b"#%?\"<>\\^`{|}",
            Self::Argument => b"#%?\"<>\\^`{|}&+;",
        };
        push_escaped(out, text, |byte| byte.is_ascii_graphic() && !special.contains(&byte));
    }
}
