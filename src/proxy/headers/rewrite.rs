//! Changes of what backends say in `Location`, `Refresh` and `Set-Cookie`, and fields that are kept
//! from clients.
//!
//! After nginx's `proxy_redirect`, `proxy_cookie_domain`, `proxy_cookie_path` and
//! `proxy_cookie_flags` (`ngx_http_proxy_module.c`). Only fields that a rule is about are looked
//! into; of a cookie only the attributes that a rule changes are written anew.

use std::borrow::Cow;

use crate::http1::encode::{self, CRLF, push_decimal};
use crate::http1::{Field, Known, ResponseHead};
use crate::proxy::vars::{Vars, render};
use crate::snapshot::settings::{
    CookieName, CookieRules, Fits, Flags, ResponseRules, Rewrite, SameSite, ToPiece,
};

/// What changes of a response go by.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The route's.
    pub rules: &'a ResponseRules,
    /// The port to which the client has connected.
    pub port: u16,
}

/// Appends a field of a backend as the rules want it.
pub(super) fn push_field(
    out: &mut Vec<u8>,
    head: &ResponseHead,
    field: Field,
    rules: Rules<'_>,
    vars: &Vars<'_>,
) {
    let Rules { rules, port } = rules;
    let (name, value) = (head.name(field), head.value(field));
    if is_hidden(field.known, name, rules) {
        return;
    }
    let begin = out.len();
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    let changed = match field.known {
        Known::Location => redirect(out, value, rules, port, vars),
        Known::SetCookie => !rules.cookies.is_empty() && cookie(out, value, &rules.cookies, vars),
        Known::Other if name.eq_ignore_ascii_case(b"refresh") => refresh(out, value, rules, vars),
        _ => false,
    };
    if changed {
        out.extend_from_slice(CRLF);
    } else {
        out.truncate(begin);
        encode::push_field(out, name, value);
    }
}

/// Fields of responses that have one value, after nginx's `ngx_http_upstream_process_header_line`.
const SINGLE: [&[u8]; 10] = [
    b"accept-ranges",
    b"content-encoding",
    b"content-type",
    b"date",
    b"etag",
    b"expires",
    b"last-modified",
    b"location",
    b"refresh",
    b"server",
];

/// Whether a field that has one value was there before; notes it in `seen`.
pub(super) fn repeats(name: &[u8], seen: &mut u16) -> bool {
    let Some(place) = SINGLE.iter().position(|one| one.eq_ignore_ascii_case(name)) else {
        return false;
    };
    let before = *seen;
    *seen |= 1 << place;
    before == *seen
}

/// Whether a field is kept from clients.
pub(super) fn is_hidden(known: Known, name: &[u8], rules: &ResponseRules) -> bool {
    if !rules.hides {
        return false;
    }
    let own = match known {
        Known::Date | Known::Server => true,
        Known::Other => match name.len() {
            5 => name.eq_ignore_ascii_case(b"x-pad"),
            15.. => is_accel(name),
            _ => false,
        },
        _ => false,
    };
    own && !rules.passed.iter().any(|one| one.as_bytes().eq_ignore_ascii_case(name))
}

/// Whether a field is one with which backends command nginx.
fn is_accel(name: &[u8]) -> bool {
    const COMMANDS: [&[u8]; 5] = [b"expires", b"redirect", b"limit-rate", b"buffering", b"charset"];
    name.get(..8).is_some_and(|begin| begin.eq_ignore_ascii_case(b"x-accel-"))
        && COMMANDS.iter().any(|command| name[8..].eq_ignore_ascii_case(command))
}

/// How a text is compared with a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Compare {
    /// The value begins with it.
    Begin,
    /// The value is it, in any case.
    Whole,
}

/// Appends the value as the first rule that fits has it; `false`: none fits, nothing is appended.
fn rewrite(
    out: &mut Vec<u8>,
    value: &[u8],
    rules: &[Rewrite],
    compare: Compare,
    vars: &Vars<'_>,
) -> bool {
    let mut from = Vec::new();
    for rule in rules {
        match &rule.from {
            Fits::Text(text) => {
                from.clear();
                render(text, vars, &mut from);
                let rest = match compare {
                    Compare::Begin => value.strip_prefix(&*from),
                    Compare::Whole => value.eq_ignore_ascii_case(&from).then_some(&[][..]),
                };
                if let Some(rest) = rest {
                    push_new(out, &rule.to, |_| &[], vars);
                    out.extend_from_slice(rest);
                    return true;
                }
            }
            Fits::Regex(regex) => {
                if let Some(found) = regex.captures(value) {
                    let group = |n| found.get(n).map_or(&[][..], |group| group.as_bytes());
                    push_new(out, &rule.to, group, vars);
                    return true;
                }
            }
        }
    }
    false
}

fn push_new<'v>(
    out: &mut Vec<u8>,
    to: &[ToPiece],
    group: impl Fn(usize) -> &'v [u8],
    vars: &Vars<'_>,
) {
    for piece in to {
        match piece {
            ToPiece::Text(text) => render(text, vars, out),
            ToPiece::Group(n) => out.extend_from_slice(group(*n)),
        }
    }
}

fn redirect(
    out: &mut Vec<u8>,
    value: &[u8],
    rules: &ResponseRules,
    port: u16,
    vars: &Vars<'_>,
) -> bool {
    let begin = out.len();
    let changed = rewrite(out, value, &rules.redirects, Compare::Begin, vars);
    let host = vars.head.host_name();
    if changed && rules.absolute_redirects && out.get(begin) == Some(&b'/') && !host.is_empty() {
        let mut origin = Vec::with_capacity(host.len() + 16);
        origin.extend_from_slice(vars.client.scheme.as_bytes());
        origin.extend_from_slice(b"://");
        origin.extend_from_slice(host);
        let usual = if vars.client.scheme == "https" { 443 } else { 80 };
        // A Unix socket has none.
        if ![0, usual].contains(&port) {
            origin.push(b':');
            push_decimal(&mut origin, u64::from(port));
        }
        out.splice(begin..begin, origin);
    }
    changed
}

/// The URL of a `Refresh` stands behind `url=`.
fn refresh(out: &mut Vec<u8>, value: &[u8], rules: &ResponseRules, vars: &Vars<'_>) -> bool {
    let place = value.windows(4).position(|window| window.eq_ignore_ascii_case(b"url="));
    let Some(url) = place.map(|place| place + 4) else { return false };
    out.extend_from_slice(&value[..url]);
    rewrite(out, &value[url..], &rules.redirects, Compare::Begin, vars)
}

/// A part of a cookie: its name with its value, or an attribute.
type Part<'v> = (Cow<'v, [u8]>, Option<Cow<'v, [u8]>>);

fn cookie(out: &mut Vec<u8>, value: &[u8], rules: &CookieRules, vars: &Vars<'_>) -> bool {
    let mut parts: Vec<Part<'_>> = value.split(|byte| *byte == b';').map(part).collect();
    let Some(((name, Some(_)), attributes)) = parts.split_first_mut() else {
        return false;
    };
    let flags = rules.flags.iter().find(|one| match &one.cookie {
        CookieName::Exact(exact) => {
            let mut text = Vec::new();
            render(exact, vars, &mut text);
            text.eq_ignore_ascii_case(name)
        }
        CookieName::Regex(regex) => regex.is_match(name),
    });
    let mut changed = false;
    for (name, value) in attributes {
        let Some(value) = value else { continue };
        let (rules, compare) = match name {
            _ if name.eq_ignore_ascii_case(b"domain") => (&rules.domain, Compare::Whole),
            _ if name.eq_ignore_ascii_case(b"path") => (&rules.path, Compare::Begin),
            _ => continue,
        };
        changed |= attribute(value, rules, compare, vars);
    }
    if let Some(rule) = flags {
        let mut flags = rule.flags;
        for text in &rule.words {
            let mut word = Vec::new();
            render(text, vars, &mut word);
            flags.take_in(&word);
        }
        set_flags(&mut parts, flags);
        changed = true;
    }
    if !changed {
        return false;
    }
    for (place, (name, value)) in parts.iter().enumerate() {
        if place > 0 {
            out.extend_from_slice(b"; ");
        }
        out.extend_from_slice(name);
        if let Some(value) = value {
            out.push(b'=');
            out.extend_from_slice(value);
        }
    }
    true
}

fn part(text: &[u8]) -> Part<'_> {
    let (name, value) = match memchr::memchr(b'=', text) {
        Some(at) => (&text[..at], Some(Cow::Borrowed(text[at + 1..].trim_ascii()))),
        None => (text, None),
    };
    (Cow::Borrowed(name.trim_ascii()), value)
}

/// Changes a value by the first rule that fits. A dot before a domain is no part of it.
fn attribute(
    value: &mut Cow<'_, [u8]>,
    rules: &[Rewrite],
    compare: Compare,
    vars: &Vars<'_>,
) -> bool {
    let mut new = Vec::new();
    let dotted = compare == Compare::Whole && value.starts_with(b".");
    let changed = rules.iter().any(|rule| {
        let bare = dotted && matches!(rule.from, Fits::Text(_));
        new.clear();
        new.extend(bare.then_some(b'.'));
        rewrite(&mut new, &value[usize::from(bare)..], std::slice::from_ref(rule), compare, vars)
    });
    if changed {
        *value = Cow::Owned(new);
    }
    changed
}

fn set_flags(parts: &mut Vec<Part<'_>>, flags: Flags) {
    let same_site: Option<&'static [u8]> = match flags.same_site {
        Some(SameSite::Strict) => Some(b"Strict"),
        Some(SameSite::Lax) => Some(b"Lax"),
        Some(SameSite::None) => Some(b"None"),
        Some(SameSite::Removed) | None => None,
    };
    let site = flags.same_site.map(|wanted| wanted != SameSite::Removed);
    let wishes = [
        (&b"Secure"[..], flags.secure, None),
        (b"HttpOnly", flags.http_only, None),
        (b"SameSite", site, same_site),
    ];
    for (name, wanted, value) in wishes {
        let is_it = |part: &Part<'_>| part.0.eq_ignore_ascii_case(name);
        let value = value.map(Cow::Borrowed);
        match (wanted, parts[1..].iter_mut().find(|part| is_it(part))) {
            (Some(true), None) => parts.push((Cow::Borrowed(name), value)),
            (Some(true), Some((_, old))) if value.is_some() => *old = value,
            (Some(false), _) => {
                let mut is_first = true;
                parts.retain(|part| std::mem::take(&mut is_first) || !is_it(part));
            }
            _ => {}
        }
    }
}
