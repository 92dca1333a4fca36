//! Routes: what they match. What they do is in `action`.

use regex::bytes::{Regex, RegexBuilder};

use super::field::Head;
use super::host::host;
use super::template::Groups;
use super::upstream::{client_time, retry};
use super::{
    Build, access, action, condition, field, limit, onward, process, request, response, sending,
};
use crate::config::faults::Place;
use crate::config::model::{
    HeaderMatch, HeaderValueMatch, PathMatch, Ratio, Route, TimeoutOverrides,
};
use crate::config::tree::{Item, Key, Table};

/// Checks the `n`-th route, counted from 1.
pub(super) fn route(b: &mut Build<'_>, table: &Table, n: usize) -> Route {
    let name = match table.written("name") {
        Some((_, item)) => field::name(b, item.place, item.text()),
        None => format!("route-{n}"),
    };
    let path = path(b, table);
    let hosts: Vec<_> = table.list("hosts").iter().filter_map(|item| host(b, item)).collect();
    let methods = table.list("methods").iter();
    let methods = methods.map(|item| field::method(b, item.place, item.text())).collect();
    let headers = table.map("headers").iter();
    let headers = headers.filter_map(|(key, item)| header(b, key, item)).collect();
    let when = condition::conditions(b, table);
    let upgrades = table.list("upgrades").iter();
    let upgrades = upgrades.filter_map(|item| upgrade(b, item)).collect();
    let listeners = table.list("listeners").iter().map(|item| item.text().to_owned());
    for key in ["listeners", "hosts", "methods"] {
        if let Some((_, item)) = table.written(key).filter(|_| table.list(key).is_empty()) {
            let message = format!("{key} is empty, so that the route would never be taken");
            b.error(item.place, message, format!("leave `{key}` out to take all"));
        }
    }
    b.groups = Some(Groups::of(&hosts, &path, &when));
    let mut before = onward::before(b, table);
    let mut access = access::access(b, table);
    if let Some(before) = &mut before {
        before.spared = access::spared(b, table, &mut access);
    }
    let mut route = Route {
        name,
        listeners: listeners.collect(),
        hosts,
        before,
        action: action::action(b, table),
        after: onward::after(b, table),
        sending: sending::sending(b, table),
        path,
        methods,
        headers,
        when,
        first: table.bool("first"),
        before_regex: before_regex(b, table),
        access,
        captures: None,
        request_headers: table
            .table("request_headers")
            .map_or_else(Vec::new, |table| action::header_edits(b, table, Head::Request)),
        response_headers: table
            .table("response_headers")
            .map_or_else(Vec::new, |table| action::header_edits(b, table, Head::Response)),
        response: response::rules(b, table),
        request_buffering: table
            .table("request_buffering")
            .and_then(|one| request::buffering(b, one)),
        timeouts: table
            .table("timeouts")
            .map_or_else(TimeoutOverrides::default, |table| timeouts(b, table)),
        retry: table.table("retry").map(retry),
        trace_sample: table.float("trace_sample").map(Ratio::of),
        logs: table.bool("access_log"),
        more_logs: process::logs_of(b, table),
        max_body_bytes: table.written("max_body").map(|_| table.size("max_body")),
        limits: limit::uses(table),
        ignore_client_abort: table
            .table("nginx")
            .is_some_and(|nginx| nginx.bool("ignore_client_abort")),
        upgrades,
    };
    route.captures = b.groups.take().and_then(Groups::asked);
    route
}

fn timeouts(b: &mut Build<'_>, table: &Table) -> TimeoutOverrides {
    TimeoutOverrides {
        connect: table.duration("connect"),
        read: table.duration("read"),
        write: table.duration("write"),
        total: table.duration("total"),
        client: client_time(b, table),
    }
}

/// The path rules; each but `path_prefix` beside `path_regex` stands alone.
const PATHS: [&str; 4] = ["path", "path_prefix", "path_exact", "path_regex"];

fn path(b: &mut Build<'_>, table: &Table) -> PathMatch {
    let mut rules =
        PATHS.into_iter().filter_map(|key| table.written(key).map(|(at, item)| (key, at, item)));
    let otherwise = || PathMatch::Prefix("/".to_owned());
    let Some((key, _, item)) = rules.next() else {
        return otherwise();
    };
    let mut regex_within = None;
    for (other, at, item) in rules {
        if (key, other) == ("path_prefix", "path_regex") {
            regex_within = Some(item);
            continue;
        }
        let message = format!("`{other}` cannot stand beside `{key}`");
        b.error(at, message, "a route has one path rule; write another route for the other");
    }
    let text = item.text();
    if key == "path" && onward::is_named(text) {
        return PathMatch::Exact(text.to_owned());
    }
    if key == "path_regex" {
        return regex(b, item).map_or_else(otherwise, PathMatch::Regex);
    }
    literal_path(b, item.place, text);
    match (key, regex_within) {
        ("path_exact", _) => PathMatch::Exact(text.to_owned()),
        ("path_prefix", None) => PathMatch::BytePrefix(text.to_owned()),
        ("path_prefix", Some(item)) => regex(b, item)
            .map_or_else(otherwise, |regex| PathMatch::RegexWithin(text.to_owned(), regex)),
        _ => {
            let trimmed = text.trim_end_matches('/');
            PathMatch::Prefix(if trimmed.is_empty() { "/" } else { trimmed }.to_owned())
        }
    }
}

fn before_regex(b: &mut Build<'_>, table: &Table) -> bool {
    let is_prefix = ["path_exact", "path_regex"].iter().all(|key| table.written(key).is_none());
    if let (true, Some((at, _)), false) =
        (table.bool("before_regex"), table.written("before_regex"), is_prefix)
    {
        let help = "use `path` or `path_prefix`, or leave it out";
        b.error(at, "`before_regex` needs a prefix, and this route has none", help);
    }
    table.bool("before_regex")
}

/// Checks a path that is compared with decoded, normalised ones.
fn literal_path(b: &mut Build<'_>, at: Place, text: &str) {
    if !text.starts_with('/') {
        b.error(at, "a path must begin with `/`", format!("write `/{text}`"));
    } else if text.contains(['%', '?', '#']) {
        let message = "paths are compared decoded and without query, so that this hardly matches";
        b.warning(at, message, "write characters as they are, and leave the query out");
    } else if text.contains("//")
        || ["/./", "/../"].iter().any(|dots| format!("{text}/").contains(dots))
    {
        let message = "paths are compared normalised, so that this never matches";
        b.warning(at, message, "leave out `//`, `/./` and `/../`");
    }
}

/// An expression that is tried on bytes: `.` and `[^/]` fit any of them, so that no rule is passed by
/// with what is no UTF-8. What can only be said of characters (`\p{L}`, `[é]`) goes by those.
pub(super) fn regex(b: &mut Build<'_>, item: &Item) -> Option<Regex> {
    let text = item.text();
    RegexBuilder::new(text)
        .unicode(false)
        .build()
        .or_else(|_| Regex::new(text))
        .map_err(|error| invalid_regex(b, item.place, &error))
        .ok()
}

pub(super) fn invalid_regex(b: &mut Build<'_>, at: Place, error: &regex::Error) {
    // The crate draws the expression over several lines and ends with the reason.
    let text = error.to_string();
    let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    let help = "backslashes are doubled in \"…\"; in '…' they are not";
    b.error(at, format!("invalid regular expression: {reason}"), help);
}

fn header(b: &mut Build<'_>, key: &Key, item: &Item) -> Option<HeaderMatch> {
    field::field_name(b, key.place, &key.name);
    let value = match item.table() {
        None => HeaderValueMatch::Exact(field::field_value(b, item.place, item.text())),
        Some(table) => {
            match (table.written("present"), table.written("exact"), table.written("regex")) {
                (Some(_), None, None) if table.bool("present") => HeaderValueMatch::Present,
                (Some(_), None, None) => HeaderValueMatch::Absent,
                (None, Some((_, item)), None) => {
                    HeaderValueMatch::Exact(field::field_value(b, item.place, item.text()))
                }
                (None, None, Some((_, item))) => HeaderValueMatch::Regex(regex(b, item)?),
                _ => {
                    let help =
                        "write `{ present = true }`, `{ exact = \"…\" }` or `{ regex = \"…\" }`";
                    b.error(item.place, "a header rule has exactly one condition", help);
                    return None;
                }
            }
        }
    };
    Some(HeaderMatch { name: key.name.to_ascii_lowercase(), value })
}

fn upgrade(b: &mut Build<'_>, item: &Item) -> Option<String> {
    if field::is_token(item.text()) {
        return Some(item.text().to_ascii_lowercase());
    }
    let message = format!("`{}` is not the name of a protocol", item.text());
    b.error(item.place, message, "for example `websocket`");
    None
}
