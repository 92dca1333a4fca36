//! Rewrites, error pages, questions and copies: what makes a request go on elsewhere.

use ahash::AHashSet;
use regex::bytes::Regex;

use super::condition::conditions;
use super::template::{template, template_at};
use super::{Build, Sourced, field};
use crate::config::faults::Place;
use crate::config::model::{
    After, Before, ErrorPage, ErrorPages, Listener, Page, PageStatus, PathChange, PathMatch,
    PathPiece, Piece, Route, Stage, Template, Then, Variable,
};
use crate::config::nearest::did_you_mean;
use crate::config::tree::{Item, Table, Value};

/// What happens to a request of this route before its action; `None` if nothing does.
pub(super) fn before(b: &mut Build<'_>, table: &Table) -> Option<Before> {
    let before = Before {
        internal: table.bool("internal") || is_named(table.text("path")),
        rewrites: table.tables("rewrite").filter_map(|rule| rewrite(b, rule)).collect(),
        auth: table.written("auth").map(|(_, item)| target(b, item)),
        spared: None,
        mirrors: table.list("mirror").iter().map(|item| target(b, item)).collect(),
        mirror_body: table.bool("mirror_body"),
    };
    let plain = !before.internal
        && before.rewrites.is_empty()
        && before.auth.is_none()
        && before.mirrors.is_empty();
    (!plain).then_some(before)
}

/// What may become of this route's answers; `None` if nothing special.
pub(super) fn after(b: &mut Build<'_>, table: &Table) -> Option<After> {
    let nginx = table.table("nginx");
    let is_on = |key| nginx.is_some_and(|nginx| nginx.bool(key));
    let after = After {
        error_pages: error_pages(b, table),
        intercept_errors: table.bool("intercept_errors"),
        recursive_error_pages: is_on("recursive_error_pages"),
        accel_redirect: is_on("accel_redirect"),
    };
    let plain = after.error_pages.is_none()
        && !after.intercept_errors
        && !after.recursive_error_pages
        && !after.accel_redirect;
    (!plain).then_some(after)
}

/// Whether a path is the name of a place where requests go on.
pub(super) fn is_named(path: &str) -> bool {
    path.starts_with('@')
}

/// Where a request goes on: a path or `@name`.
pub(super) fn target(b: &mut Build<'_>, item: &Item) -> Template {
    let text = item.text();
    if !text.starts_with(['/', '@']) && !text.starts_with("${") {
        let help = "write a path like `/login`, or the name of a route's `path` like `@login`";
        b.error(item.place, "a request cannot go on there", help);
    }
    let template = template(b, item.place, text);
    if !leads(&template) {
        astray(b, item);
    }
    by_path(template)
}

/// Whether the file says where a text leads: its begin is no client's to choose, nor is any part of a
/// name.
fn leads(template: &Template) -> bool {
    match &*template.0 {
        [] => true,
        [Piece::Text(text), rest @ ..] => !is_named(text) || rest.is_empty(),
        [Piece::Variable(Variable::Made(made)), ..] => made.gives().all(leads),
        // What backends say is theirs to say.
        [Piece::Variable(variable), ..] => {
            matches!(variable, Variable::Scheme | Variable::Auth(_) | Variable::UpstreamHeader(_))
        }
    }
}

fn astray(b: &mut Build<'_>, item: &Item) {
    let message = "a client could choose any name and any internal route here";
    b.error(item.place, message, "begin the text with a path of your own, or write the whole name");
}

/// The path as it came is escaped, which where a request goes on would be escaped again: in its place
/// stands what it means.
fn by_path(template: Template) -> Template {
    let mut pieces = Vec::with_capacity(template.0.len());
    let mut in_query = false;
    for piece in template.0 {
        match piece {
            Piece::Variable(Variable::Path) if !in_query => {
                pieces.push(Piece::Variable(Variable::NormalizedPath));
            }
            Piece::Variable(Variable::Uri) if !in_query => {
                let all = [Variable::NormalizedPath, Variable::QueryMark, Variable::Query];
                pieces.extend(all.map(Piece::Variable));
                in_query = true;
            }
            other => {
                let ends = |text: &String| text.contains('?');
                in_query |= matches!(&other, Piece::Variable(Variable::QueryMark))
                    || matches!(&other, Piece::Text(text) if ends(text));
                pieces.push(other);
            }
        }
    }
    Template(pieces)
}

fn rewrite(b: &mut Build<'_>, table: &Table) -> Option<PathChange> {
    let regex = table.item("regex").and_then(|item| super::route::regex(b, item))?;
    let at = table.place_of("to");
    let text = table.text("to");
    let then = match table.text("then") {
        "last" => Then::Last,
        "next" => Then::Next,
        "redirect" => Then::Redirect(302),
        "permanent" => Then::Redirect(301),
        "stop" => Then::Stop,
        _ => Then::Break,
    };
    let when = conditions(b, table);
    let same_when = table.bool("same_when");
    if same_when && let Some((at, _)) = table.written("when") {
        b.error(at, "`same_when` stands in place of `when`", "leave one of the two out");
    }
    if matches!(then, Then::Stop) {
        if let Some((at, _)) = table.written("to") {
            b.error(at, "`stop` leaves the path as it is", "leave `to` out");
        }
        let path = Vec::new();
        return Some(PathChange {
            when,
            same_when,
            regex,
            path,
            query: None,
            keeps_query: true,
            then,
        });
    }
    if table.mentions("to") && table.written("to").is_none() {
        // Told already.
        return None;
    }
    let is_redirect = matches!(then, Then::Redirect(_));
    if !is_redirect && !text.starts_with(['/', '$']) {
        let help = "write it like `/new/${1}`; for a URL `then` is `redirect` or `permanent`";
        b.error(at, "a path must begin with `/`", help);
    }
    if text.is_empty() || text == "?" {
        b.error(at, "there is no new path", "write it like `/new/${1}`");
    }
    let (text, keeps_query) = match text.strip_suffix('?') {
        Some(text) => (text, false),
        None => (text, true),
    };
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(pieces(b, at, query, &regex))),
        None => (text, None),
    };
    let path = pieces(b, at, path, &regex);
    Some(PathChange { when, same_when, regex, path, query, keeps_query, then })
}

/// The parts of a text with `${variables}` and `${groups}`.
fn pieces(b: &mut Build<'_>, at: Place, text: &str, regex: &Regex) -> Vec<PathPiece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut plain = 0;
    while let Some((begin, end, group)) = next_group(rest, plain, regex) {
        push(&mut pieces, template(b, at, &rest[..begin]));
        if let Some(group) = group {
            pieces.push(PathPiece::Capture(group));
        } else {
            let message = format!("`regex` has no group `{}`", &rest[begin..end]);
            b.error(at, message, "count its `(…)` from 1");
        }
        rest = &rest[end..];
        plain = 0;
    }
    push(&mut pieces, template(b, at, rest));
    pieces
}

fn push(pieces: &mut Vec<PathPiece>, template: Template) {
    pieces.extend(template.0.into_iter().map(|piece| match piece {
        Piece::Text(text) => PathPiece::Text(text),
        Piece::Variable(variable) => PathPiece::Variable(variable),
    }));
}

/// The next `${group}` of a text from `from` on: where it begins and ends, and its number if the
/// expression has it.
fn next_group(text: &str, from: usize, regex: &Regex) -> Option<(usize, usize, Option<usize>)> {
    let begin = from + text[from..].find("${")?;
    let end = begin + text[begin..].find('}')? + 1;
    let name = &text[begin + 2..end - 1];
    let escaped = text[..begin].ends_with('$');
    let number = name.parse::<usize>().ok();
    let named = regex.capture_names().position(|one| one == Some(name));
    match number.or(named) {
        Some(group) if !escaped => {
            Some((begin, end, (group < regex.captures_len()).then_some(group)))
        }
        _ => next_group(text, end, regex),
    }
}

/// The error pages of a route or listener, if it has its own.
pub(super) fn error_pages(b: &mut Build<'_>, table: &Table) -> Option<ErrorPages> {
    table.written("error_pages")?;
    Some(ErrorPages(table.tables("error_pages").filter_map(|page| error_page(b, page)).collect()))
}

fn error_page(b: &mut Build<'_>, table: &Table) -> Option<ErrorPage> {
    let status = table.integer("status");
    if let Some(status @ (204 | 205 | 304)) = status {
        let message = format!("a response with status {status} has no body");
        b.error(table.place_of("status"), message, "choose another status");
    }
    if let (Some((at, _)), true) = (table.written("status"), table.bool("page_status")) {
        b.error(at, "`status` cannot stand beside `page_status`", "leave one of the two out");
    }
    let page = match (table.written("file"), table.written("to")) {
        (Some((_, file)), None) => Page::Fixed {
            content_type: field::field_value(
                b,
                table.place_of("content_type"),
                table.text("content_type"),
            ),
            body: b.file(file)?,
        },
        (None, Some((_, item))) => {
            if item.text().is_empty() || item.text().bytes().any(|c| c <= b' ' || c == 0x7f) {
                let help = "write a path like `/sorry`, a name like `@sorry`, or a URL";
                b.error(item.place, "there is no page", help);
            }
            let to = template_at(b, item.place, item.text(), Stage::Response);
            if !leads(&to) {
                astray(b, item);
            }
            Page::Elsewhere(if item.text().starts_with('/') { by_path(to) } else { to })
        }
        _ => {
            let help = "write `file = \"sorry.html\"` or `to = \"@sorry\"`";
            b.error(table.place, "an error page has exactly one of `file` and `to`", help);
            return None;
        }
    };
    Some(ErrorPage {
        statuses: table.list("statuses").iter().filter_map(|item| statuses(b, item)).collect(),
        page,
        status: match status {
            _ if table.bool("page_status") => PageStatus::OfPage,
            Some(status) => PageStatus::Fixed(status),
            None => PageStatus::OfError,
        },
    })
}

fn statuses(b: &mut Build<'_>, item: &Item) -> Option<(u16, u16)> {
    let Value::Statuses(first, last) = item.value else { return None };
    if first < 300 {
        let help = "pages stand in place of statuses from 300 on";
        b.error(item.place, format!("{first} is no error"), help);
    }
    Some((first, last))
}

/// Reports names at which a request shall go on and that no route has.
pub(super) fn check_names(
    b: &mut Build<'_>,
    listeners: &[Sourced<'_, Listener>],
    routes: &[Sourced<'_, Route>],
) {
    let names = routes.iter().filter_map(|one| match &one.model.path {
        PathMatch::Exact(path) if is_named(path) => Some(&**path),
        _ => None,
    });
    let known: AHashSet<&str> = names.collect();
    let tables = listeners.iter().map(|one| one.table).chain(routes.iter().map(|one| one.table));
    for item in tables.flat_map(targets) {
        let name = item.text();
        if is_named(name) && !name.contains("${") && !known.contains(name) {
            let help = if known.is_empty() {
                format!("write a route with `path = \"{name}\"`")
            } else {
                did_you_mean(name, known.iter().copied())
            };
            b.error(item.place, format!("no route has the name `{name}`"), help);
        }
    }
}

/// Where requests of a listener or a route may go on.
fn targets(table: &Table) -> Vec<&Item> {
    let pages = table.tables("error_pages").filter_map(|page| Some(page.written("to")?.1));
    let mut targets: Vec<&Item> = pages.collect();
    if table.section.find("go_to").is_some() {
        let single = ["go_to", "auth"].into_iter().filter_map(|key| Some(table.written(key)?.1));
        targets.extend(single.chain(table.list("mirror")));
    }
    targets
}
