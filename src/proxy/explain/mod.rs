//! What would become of a request, and why: for people who ask.
//!
//! A request that nobody sent goes the way of all others, through the same table, plans and rules,
//! over a snapshot of a file, whose backends nobody is connected to, or over that of the running process.
//! Nothing is sent, nothing is counted, no clock is read. It ends where a live one would go on elsewhere
//! (`go_to`, `rewrite`, an error's page): that is named, not followed.

mod ask;
mod choice;
mod document;
mod terms;

use std::cell::RefCell;
use std::fmt::Write as _;
use std::net::IpAddr;

use serde_json::Value;

use crate::http1::{HeadError, Parse, RequestHead};
use crate::model::Tick;
use crate::proxy::facts::Asked;
use crate::proxy::headers::ClientIdentity;
use crate::proxy::read_head::{limits, normal_path, refused};
use crate::proxy::service::admit;
use crate::proxy::vars::{self, Link, Vars};
use crate::snapshot::settings::{PathMatch, RouteRule, Template};
use crate::snapshot::{Action, Listener, Mismatch, Request, RouteEntry, Snapshot, mismatch};
use ask::Asked as Typed;
pub use ask::Wanted;
use choice::Choice;

/// What becomes of it.
#[derive(Debug, Clone, PartialEq)]
struct Explanation {
    /// The client's address, after trusted proxies.
    client: IpAddr,
    /// The path by which routes are found.
    path: String,
    /// The route that takes it, if one does.
    route: Option<String>,
    /// All other routes of the listener, in the order of the file, with what keeps it from them.
    others: Vec<(String, String)>,
    /// What is done with it.
    action: String,
    /// The upstreams that it may go to.
    upstreams: Vec<Choice>,
}

/// Why a request is answered before any route is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refused {
    /// What the client gets.
    status: u16,
    /// What is wrong with it.
    why: String,
}

/// Explains what becomes of a request at `now`, as one JSON document. That its head is refused is such an
/// explanation.
///
/// # Errors
/// What is asked for is no request, or there is no such listener; in words.
pub fn explain(snapshot: &Snapshot, wanted: &Wanted, now: Tick) -> Result<Value, String> {
    let typed = Typed::of(wanted)?;
    let listener = typed.listener(snapshot, wanted.listener.as_deref())?;
    let explained = explained(snapshot, (listener, now), &typed.head, wanted.client);
    Ok(document::document(&listener.name, explained))
}

fn explained(
    snapshot: &Snapshot,
    (listener, now): (&Listener, Tick),
    text: &str,
    client: IpAddr,
) -> Result<Explanation, Refused> {
    let of_listener =
        |rule: &&RouteRule| rule.listeners.is_empty() || rule.listeners.contains(&listener.name);
    let routes: Vec<_> = snapshot.rules.iter().filter(of_listener).collect();
    let mut head = RequestHead::default();
    let refuse = |error: HeadError| Refused {
        status: refused(error, &listener.client).status(),
        why: error.to_string(),
    };
    let parsed = head.parse(text.as_bytes(), &limits(&listener.client));
    if parsed.map_err(refuse)? == Parse::Partial {
        return Err(refuse(HeadError::BadRequestLine));
    }
    if let Some(host) = &listener.client.nginx.host {
        head.name_host(host);
    }
    let scheme = if listener.tls.is_some() { "https" } else { "http" };
    let client = ClientIdentity::new(client, scheme, &head, &listener.forwarded);
    let mut scratch = Vec::new();
    let path = normal_path(&listener.client, &head, &mut scratch).map_err(refuse)?;
    let link = Link { listener: &listener.name, ..Link::default() };
    let vars = || Vars { path, link, ..Vars::new(&head, &client) };
    let mut room = Vec::new();
    let facts = &Asked { head: &head, vars, room: RefCell::new(&mut room) };
    let request = Request { host: head.host_name(), path, method: head.method(), facts };

    // A route that passes on has its place, and what follows is looked for behind it.
    let mut passed = Vec::new();
    let mut found = listener.table.find(&request);
    while let Some(place) = found
        && let entry = &listener.routes[place]
        && matches!(entry.route.action, Action::Pass)
        && let Some(behind) = entry.behind
    {
        passed.push(place);
        found = listener.table.find_from(&request, behind);
    }
    let why = |place: usize| {
        if passed.contains(&place) {
            return "fits, does its work and passes on".to_owned();
        }
        match mismatch(routes[place], &request) {
            None => "fits as well, but is less special".to_owned(),
            Some(why) => told(why, routes[place], &head, &vars()),
        }
    };
    let others = (0..routes.len()).filter(|place| Some(*place) != found);
    let others = others.map(|place| (routes[place].name.clone(), why(place))).collect();
    let entry = found.map(|place| &listener.routes[place]);
    let asker = Asker { head: &head, client: &client, vars: vars(), now };
    Ok(Explanation {
        client: client.address,
        path: String::from_utf8_lossy(path).into_owned(),
        route: entry.map(|entry| entry.route.name.clone()),
        others,
        action: entry.map_or_else(|| "404: no route fits".to_owned(), |e| asker.action(e)),
        upstreams: entry.map(|entry| asker.upstreams(snapshot, entry)).unwrap_or_default(),
    })
}

/// What keeps a request from a route, in words.
fn told(why: Mismatch<'_>, route: &RouteRule, head: &RequestHead, vars: &Vars<'_>) -> String {
    let text = String::from_utf8_lossy;
    match why {
        Mismatch::Host => format!("`{}` is none of its hosts", text(head.host_name())),
        Mismatch::Path => format!("the path is not {}", path_of(&route.path)),
        Mismatch::Method => format!("the method is not {}", route.methods.join(" or ")),
        Mismatch::Header(name) => match head.find(name) {
            Some(value) => format!("its rule on `{name}` does not hold for `{}`", text(value)),
            None => format!("its rule on `{name}` does not hold, which is not there"),
        },
        Mismatch::When(place) => {
            let mut value = Vec::new();
            vars::render(&route.when[place].value, vars, &mut value);
            format!("condition {} of `when` does not hold for `{}`", place + 1, text(&value))
        }
    }
}

fn path_of(rule: &PathMatch) -> String {
    match rule {
        PathMatch::Exact(path) => format!("`{path}`"),
        PathMatch::Prefix(path) => format!("below `{path}`"),
        PathMatch::BytePrefix(path) => format!("one that begins with `{path}`"),
        PathMatch::Regex(regex) => format!("found by `{}`", regex.as_str()),
        PathMatch::RegexWithin(path, regex) => {
            format!("one that begins with `{path}` and is found by `{}`", regex.as_str())
        }
    }
}

/// Who asks.
struct Asker<'a> {
    head: &'a RequestHead,
    client: &'a ClientIdentity,
    vars: Vars<'a>,
    now: Tick,
}

impl Asker<'_> {
    fn action(&self, entry: &RouteEntry) -> String {
        if let Err(failure) = admit(entry, self.client) {
            let status = failure.status();
            return format!("{status}: `access` does not let in {}", self.client.address);
        }
        let mut text = match &entry.route.action {
            Action::Proxy { split, .. } => match split.destinations() {
                [_] => "goes to the upstream".to_owned(),
                many => format!("goes to one of {} upstreams, drawn by share", many.len()),
            },
            Action::Redirect(redirect) => {
                format!("redirected with {} to `{}`", redirect.status, self.render(&redirect.to))
            }
            Action::Respond(respond) => format!("answered with {}", respond.status),
            Action::GoTo(to) => format!("goes on at `{}`", self.render(to)),
            Action::Close => "not answered: the connection is closed".to_owned(),
            Action::Pass => "404: no route follows".to_owned(),
        };
        if let Some(before) = &entry.route.before {
            let first = [
                (before.internal, "only requests that went on elsewhere come here, else 404"),
                (!before.rewrites.is_empty(), "`rewrite` first"),
                (before.asked_about(self.client.address).is_some(), "`auth` is asked first"),
                (!before.mirrors.is_empty(), "mirrored"),
            ];
            for (_, words) in first.iter().filter(|(is, _)| *is) {
                text.push_str("; ");
                text.push_str(words);
            }
        }
        if let Some(limits) = &entry.route.limits {
            // Writing to a string does not fail.
            let _ = write!(text, "; within {} of `limits`", limits.len());
        }
        text
    }

    fn render(&self, template: &Template) -> String {
        let mut text = Vec::new();
        vars::render(template, &self.vars, &mut text);
        String::from_utf8_lossy(&text).into_owned()
    }
}
