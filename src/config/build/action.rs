//! Routes: what becomes of a request.

use ahash::AHashSet;

use super::address::is_authority;
use super::field::{self, Head};
use super::template::{template, template_at};
use super::{Build, onward, response};
use crate::config::model::{
    Action, HeaderEdit, HostPolicy, PathRewrite, Piece, Proxy, Redirect, Respond, Share, Stage,
    Template,
};
use crate::config::tree::{Item, Key, Table};
use crate::model::Weight;

/// The settings that say what a route does.
const ACTIONS: [&str; 5] = ["upstream", "split", "redirect", "respond", "go_to"];

/// Settings that mean something only where a request is sent on.
const OF_PROXY: [&str; 16] = [
    "send",
    "strip_prefix",
    "replace_prefix",
    "host_header",
    "request_headers",
    "timeouts",
    "retry",
    "upgrades",
    "redirect_rewrite",
    "cookie_rewrite",
    "response_trailers",
    "early_hints",
    "early_hints_when",
    "request_buffering",
    "response_buffer",
    "rate",
];

pub(super) fn action(b: &mut Build<'_>, table: &Table) -> Action {
    let mut written =
        ACTIONS.into_iter().filter_map(|key| table.written(key).map(|(at, item)| (key, at, item)));
    let first = written.next();
    for (other, at, _) in written {
        let message = format!("`{other}` cannot stand beside another action");
        b.error(at, message, format!("a route does one of {}", ACTIONS.join(", ")));
    }
    let fixed = match first {
        Some(("redirect", _, item)) => item.table().map(|one| Action::Redirect(redirect(b, one))),
        Some(("respond", _, item)) => Some(match item.table() {
            Some(one) => Action::Respond(respond(b, one)),
            None => Action::Close,
        }),
        Some(("go_to", _, item)) => Some(Action::GoTo(onward::target(b, item))),
        _ => None,
    };
    if let Some(action) = fixed {
        for (key, at) in OF_PROXY.into_iter().filter_map(|key| Some((key, table.written(key)?.0))) {
            let message = format!("`{key}` has no effect: the route sends nothing on");
            b.warning(at, message, format!("leave `{key}` out"));
        }
        return action;
    }
    let split = match first {
        Some(("upstream", _, item)) => {
            vec![Share { upstream: item.text().to_owned(), weight: Weight::ONE }]
        }
        Some((_, _, item)) => split(b, table, item),
        None if table.bool("first") && table.mentions("rewrite") => return Action::Pass,
        None => {
            if !ACTIONS.iter().any(|key| table.mentions(key)) {
                let help = format!("write one of {}", ACTIONS.join(", "));
                b.error(table.place, "the route does nothing", help);
            }
            Vec::new()
        }
    };
    Action::Proxy(Proxy { split, rewrite: rewrite(b, table), host: host(b, table) })
}

fn split(b: &mut Build<'_>, table: &Table, item: &Item) -> Vec<Share> {
    let mut shares: Vec<Share> = Vec::new();
    let mut named = AHashSet::new();
    for part in table.tables("split") {
        let upstream = part.text("upstream").to_owned();
        if !upstream.is_empty() && !named.insert(part.text("upstream")) {
            let message = format!("upstream `{upstream}` is named twice in this split");
            b.error(
                part.place_of("upstream"),
                message,
                "write it once, with the sum of the weights",
            );
        }
        shares.push(Share { upstream, weight: weight(part) });
    }
    if shares.is_empty() {
        b.error(item.place, "the split has no parts", "name at least one upstream");
    }
    shares
}

/// A weight whose range was checked.
pub(super) fn weight(table: &Table) -> Weight {
    let weight = table.integer::<i64>("weight").and_then(|n| Weight::try_from(n).ok());
    weight.unwrap_or_default()
}

fn rewrite(b: &mut Build<'_>, table: &Table) -> PathRewrite {
    let strip = table.written("strip_prefix").filter(|_| table.bool("strip_prefix"));
    let replace = table.written("replace_prefix");
    if let (Some(_), Some((at, _))) = (strip, replace) {
        let message = "`replace_prefix` cannot stand beside `strip_prefix`";
        b.error(at, message, "leave `strip_prefix` out: what is replaced is gone");
    }
    let key = if strip.is_some() { "strip_prefix" } else { "replace_prefix" };
    let written = |key| table.written(key).is_some();
    let is_exact = strip.is_none() && written("path_exact");
    let is_prefix = !written("path_exact") && !written("path_regex");
    if let (Some((at, _)), false) = (strip.or(replace), is_prefix || is_exact) {
        let message = format!("`{key}` needs a prefix, and this route has none");
        b.error(at, message, "use `path` or `path_prefix` in place of another path rule");
    }
    match replace {
        Some((_, item)) => {
            if !is_path(item.text()) {
                let help = "write it like `/v2`, with other characters percent-encoded";
                b.error(item.place, "replace_prefix must be a path that begins with `/`", help);
            }
            let by_bytes = is_exact || written("path_prefix");
            let kind =
                if by_bytes { PathRewrite::ReplaceBytes } else { PathRewrite::ReplacePrefix };
            kind(item.text().to_owned())
        }
        None if strip.is_some() => PathRewrite::StripPrefix,
        None if table.table("nginx").is_some_and(|nginx| nginx.bool("request_uri")) => {
            PathRewrite::Asked
        }
        None => PathRewrite::Keep,
    }
}

/// Whether a text may be sent as a request target.
pub(crate) fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.bytes().all(|c| c.is_ascii_graphic() && c != b'#')
}

fn host(b: &mut Build<'_>, table: &Table) -> HostPolicy {
    match table.table("host_header") {
        Some(fixed) => {
            let (at, host) = (fixed.place_of("set"), fixed.text("set"));
            let set = template(b, at, host);
            let has_variables = set.0.iter().any(|piece| matches!(piece, Piece::Variable(_)));
            if fixed.written("set").is_some() && !has_variables && !is_authority(host) {
                let message = format!("`{host}` cannot be a `Host`");
                b.error(at, message, "write a name, perhaps with a port");
            }
            HostPolicy::Set(set)
        }
        None if table.text("host_header") == "backend" => HostPolicy::Backend,
        None => HostPolicy::Preserve,
    }
}

fn redirect(b: &mut Build<'_>, table: &Table) -> Redirect {
    let status = table.integer("status").unwrap_or(302);
    if matches!(status, 304..=306) {
        let message = format!("{status} is not the status of a redirect");
        b.error(table.place_of("status"), message, "use 301, 302, 303, 307 or 308");
    }
    let text = table.text("to");
    let at = table.place_of("to");
    if table.written("to").is_some()
        && (text.is_empty() || !text.bytes().all(|c| c.is_ascii_graphic()))
    {
        let help = "write a URL or a path, with other characters percent-encoded";
        b.error(at, "this cannot be a `Location`", help);
    }
    Redirect { status, to: template(b, at, text) }
}

fn respond(b: &mut Build<'_>, table: &Table) -> Respond {
    let status = table.integer("status").unwrap_or(200);
    let body = table.item("body").map(|item| b.bytes(item)).unwrap_or_default();
    let text = table.text("body");
    let at = table.place_of("body");
    let template = text.contains("${").then(|| template_at(b, at, text, Stage::Response));
    if matches!(status, 204 | 205 | 304) && !body.is_empty() {
        let message = format!("a response with status {status} has no body");
        b.error(table.place_of("body"), message, "leave `body` out or choose another status");
    }
    let content_type = table.text("content_type");
    let content_type = field::field_value(b, table.place_of("content_type"), content_type);
    Respond { status, content_type, body, template }
}

/// Changes to header fields: first removed, then set, then added.
pub(super) fn header_edits(b: &mut Build<'_>, table: &Table, head: Head) -> Vec<HeaderEdit> {
    let mut edits = Vec::new();
    for item in table.list("remove") {
        if field::changed_field(b, item.place, item.text(), head) {
            edits.push(HeaderEdit::Remove(item.text().to_owned()));
        }
    }
    for (key, item) in table.map("set") {
        if let Some(value) = header_value(b, key, item, head) {
            edits.push(HeaderEdit::Set(key.name.clone(), value));
        }
    }
    for (key, item) in table.map("add") {
        if let Some(value) = header_value(b, key, item, head) {
            edits.push(HeaderEdit::Add(key.name.clone(), value));
        }
    }
    if head == Head::Response {
        edits.extend(response::fields(b, table));
    }
    edits
}

fn header_value(b: &mut Build<'_>, key: &Key, item: &Item, head: Head) -> Option<Template> {
    let good_name = field::changed_field(b, key.place, &key.name, head);
    let value = if let Some(secret) = item.table() {
        Template(vec![Piece::Text(b.secret_value(secret)?)])
    } else {
        field::field_value(b, item.place, item.text());
        let stage = match head {
            Head::Request => Stage::Request,
            Head::Response => Stage::Response,
        };
        template_at(b, item.place, item.text(), stage)
    };
    good_name.then_some(value)
}
