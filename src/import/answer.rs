//! `return` and redirecting `rewrite`s → answers.

use std::fmt::Write as _;

use super::draft::{Action, PathRule};
use super::findings::Findings;
use super::settings::Settings;
use super::tree::Directive;
use super::variables::{Part, Scope, parts};
use crate::config::{Stage, is_value};

/// What is answered where there is no counterpart: visibly nothing that nginx would have said.
pub(super) fn not_carried() -> Action {
    Action::Respond {
        status: 501,
        body: "not carried over from nginx\n".to_owned(),
        content_type: None,
    }
}

/// A bare status.
pub(super) fn status(status: u16) -> Action {
    Action::Respond { status, body: String::new(), content_type: None }
}

/// What a `return` answers.
pub(super) fn answer(
    d: &Directive,
    s: &Settings<'_>,
    scope: &Scope,
    port: Option<u16>,
    f: &mut Findings<'_>,
) -> Action {
    let first = d.arg(0);
    let (code, text) = match first.parse::<u16>() {
        Ok(code) => (code, d.args.get(1).map(|word| &*word.text)),
        Err(_) => (302, Some(first)),
    };
    f.carried(d);
    match (code, text) {
        (301 | 302 | 303 | 307 | 308, Some(to)) => redirect(d, code, to, s, scope, port, f),
        (444, _) => Action::Close,
        (200..=599, None) => {
            if code >= 300 && code != 304 {
                f.differs(d, "the page that nginx makes for the status is not: the body is empty");
            }
            status(code)
        }
        (200..=599, Some(text)) => {
            let body = match scope.template(text, Stage::Response) {
                Ok(template) => {
                    template.notes.iter().for_each(|note| f.differs(d, note));
                    template.text
                }
                Err(variable) => {
                    let why = format!("`{variable}` has no counterpart: the body is empty");
                    f.missing(d, &why, "write the text with Plimsoll's variables");
                    return status(code);
                }
            };
            let body = if matches!(code, 204 | 205 | 304) { String::new() } else { body };
            let content_type = s.default_type.unwrap_or("text/plain");
            let content_type = Some(content_type.to_owned()).filter(|one| is_value(one.as_bytes()));
            Action::Respond { status: code, body, content_type }
        }
        _ => {
            f.differs(d, "the answer is 404, for this status cannot be sent");
            status(404)
        }
    }
}

fn redirect(
    d: &Directive,
    code: u16,
    to: &str,
    s: &Settings<'_>,
    scope: &Scope,
    port: Option<u16>,
    f: &mut Findings<'_>,
) -> Action {
    let made = scope.template(to, Stage::Request).map(|template| {
        template.notes.iter().for_each(|note| f.differs(d, note));
        template.text
    });
    match made {
        Ok(to) if !to.is_empty() && to.bytes().all(|c| c.is_ascii_graphic()) => {
            let absolute = to.starts_with('/') && !s.relative_redirect;
            let to = match port {
                Some(80) if absolute => format!("${{scheme}}://${{host}}{to}"),
                Some(port) if absolute => format!("${{scheme}}://${{host}}:{port}{to}"),
                None if absolute => {
                    f.differs(d, "Location is a path, without scheme and host");
                    to
                }
                _ => to,
            };
            Action::Redirect { status: code, to }
        }
        Ok(_) => {
            f.missing(d, "this cannot be a Location", "percent-encode it");
            not_carried()
        }
        Err(variable) => {
            let why = format!("`{variable}` has no counterpart: the answer is 501");
            f.missing(d, &why, "write the redirect with Plimsoll's variables");
            not_carried()
        }
    }
}

/// The redirect from a location's name without the slash at its end to the one with it.
pub(super) fn with_slash(
    d: &Directive,
    bare: &str,
    s: &Settings<'_>,
    scope: &Scope,
    port: Option<u16>,
    f: &mut Findings<'_>,
) -> Action {
    let mut path = String::new();
    for byte in bare.bytes() {
        let plain = byte.is_ascii_graphic() && !b"\"#$%<>?\\^`{|}".contains(&byte);
        if plain {
            path.push(char::from(byte));
        } else {
            let _ = write!(path, "%{byte:02X}");
        }
    }
    redirect(d, 301, &format!("{path}/$is_args$args"), s, scope, port, f)
}

/// A `rewrite` that sends the client elsewhere, whatever was asked for.
pub(super) fn redirecting_rewrite(
    d: &Directive,
    s: &Settings<'_>,
    scope: &Scope,
    port: Option<u16>,
    f: &mut Findings<'_>,
) -> Option<Action> {
    let (code, whole) = whole_redirect(d)?;
    f.carried(d);
    Some(redirect(d, code, &whole, s, scope, port, f))
}

/// Whether a `rewrite` sends the client elsewhere, whatever was asked for.
pub(super) fn is_whole_redirect(d: &Directive) -> bool {
    whole_redirect(d).is_some()
}

/// The status and where to.
fn whole_redirect(d: &Directive) -> Option<(u16, String)> {
    let code = match (d.arg(2), d.arg(1)) {
        ("permanent", _) => 301,
        ("redirect", _) => 302,
        ("", to) if to.contains("://") => 302,
        _ => return None,
    };
    let to = d.arg(1);
    let whole = match d.arg(0) {
        "^" | "^/" | ".*" | "^.*$" | "^/.*$" | "/" => to.to_owned(),
        "^(.*)$" | "^(.*)" | "(.*)" | "^(/.*)$" => to.replace("$1", "$request_uri"),
        "^/(.*)$" | "^/(.*)" | "^/?(.*)$" => to.replace("/$1", "$request_uri"),
        _ => return None,
    };
    let (whole, bare) = match whole.strip_suffix('?') {
        Some(bare) => (bare.to_owned(), true),
        None => (whole, false),
    };
    let is_group = |part| matches!(part, Part::Variable(name) if name.parse::<u8>().is_ok());
    if parts(&whole).any(is_group) {
        return None;
    }
    if !bare && !whole.contains("$request_uri") {
        return None;
    }
    Some((code, whole))
}

/// A `rewrite` of one path that sends the client elsewhere: `^/old$ /new permanent`.
pub(super) fn moved(
    d: &Directive,
    s: &Settings<'_>,
    scope: &Scope,
    port: Option<u16>,
    f: &mut Findings<'_>,
) -> Option<(PathRule, Action)> {
    let code = match d.arg(2) {
        "permanent" => 301,
        "redirect" => 302,
        _ => return None,
    };
    if d.arg(1).contains('$') {
        return None;
    }
    let regex = d.arg(0);
    let inner = regex.strip_prefix('^').and_then(|rest| rest.strip_suffix('$'));
    let path = match inner.map(|inner| (inner, regex::escape(inner))) {
        Some((inner, escaped))
            if inner.starts_with('/') && escaped.replace("\\-", "-") == inner =>
        {
            PathRule::Exact(inner.to_owned())
        }
        _ => PathRule::Regex(regex::bytes::Regex::new(regex).ok()?.as_str().to_owned()),
    };
    let to = d.arg(1).strip_suffix('?')?;
    f.carried(d);
    Some((path, redirect(d, code, to, s, scope, port, f)))
}
