//! The route of a request.

use std::cell::RefCell;
use std::net::SocketAddr;

use crate::http1::RequestHead;
use crate::proxy::entrance::Entrance;
use crate::proxy::facts::Asked;
use crate::proxy::failure::Failure;
use crate::proxy::headers::ClientIdentity;
use crate::proxy::read_head::normal_path;
use crate::proxy::request::State;
use crate::proxy::vars::{TraceIds, Vars, render};
use crate::snapshot::{Captured, Request, RouteEntry};

/// The route of a request.
pub(super) fn find<'a>(
    at: &'a Entrance<'a>,
    client: &ClientIdentity,
    state: &mut State,
) -> Result<&'a RouteEntry, Failure> {
    if let Some(host) = &at.listener.client.nginx.host {
        state.head.name_host(host);
    }
    if at.is_misdirected(state.head.host_name()) {
        return Err(Failure::Misdirected);
    }
    let State { head, path, id, key, ends, captured, trace, .. } = state;
    let path = normal_path(&at.listener.client, head, path).map_err(Failure::BadRequest)?;
    let ids = trace.as_ref().map(|trace| &trace.ids);
    let vars = || asked(at, client, (head, id, path, ids), *ends);
    let entry = look_up(at, head, vars, path, (Again::Behind(0), key)).ok_or(Failure::NoRoute)?;
    *captured = capture(entry, vars);
    Ok(entry)
}

/// Head, id, path and trace of a request.
type Said<'v> = (&'v RequestHead, &'v [u8], &'v [u8], Option<&'v TraceIds>);

/// What the texts of route rules may speak of.
fn asked<'v>(
    at: &'v Entrance<'v>,
    client: &'v ClientIdentity,
    (head, request_id, path, trace): Said<'v>,
    ends: Option<(SocketAddr, SocketAddr)>,
) -> Vars<'v> {
    let (link, clock) = (at.link(ends), Some(at.clock(at.whole)));
    Vars { request_id, path, link, clock, trace, ..Vars::new(head, client) }
}

/// How a request looks for its route.
#[derive(Debug, Clone, Copy)]
pub(super) enum Again<'n> {
    /// By its path, behind this place of the routes that go before all others.
    Behind(usize),
    /// By this name.
    Name(&'n [u8]),
}

/// The route of where a request goes on.
pub(super) fn find_again<'a>(
    at: &'a Entrance<'a>,
    client: &ClientIdentity,
    state: &mut State,
    again: Again<'_>,
) -> Option<&'a RouteEntry> {
    let State { head, path, id, key, ends, captured, trace, .. } = state;
    let path = if path.is_empty() { head.path() } else { path };
    let ids = trace.as_ref().map(|trace| &trace.ids);
    let vars = || asked(at, client, (head, id, path, ids), *ends);
    let wanted = if let Again::Name(name) = again { name } else { path };
    let entry = look_up(at, head, vars, wanted, (again, key))?;
    *captured = capture(entry, vars);
    Some(entry)
}

/// What the expressions of a route found, if its texts ask for it.
fn capture<'v>(entry: &RouteEntry, vars: impl Fn() -> Vars<'v>) -> Option<Box<Captured>> {
    let wanted = entry.route.captures.as_ref()?;
    let vars = vars();
    let found = wanted.find(vars.head.host_name(), vars.path, |value, out| {
        render(value, &vars, out);
    });
    Some(Box::new(found))
}

#[inline]
fn look_up<'a, 'v>(
    at: &'a Entrance<'a>,
    head: &RequestHead,
    vars: impl Fn() -> Vars<'v>,
    path: &[u8],
    (again, room): (Again<'_>, &mut Vec<u8>),
) -> Option<&'a RouteEntry> {
    let facts = &Asked { head, vars, room: RefCell::new(room) };
    let request = Request { host: head.host_name(), path, method: head.method(), facts };
    let place = match again {
        Again::Behind(place) => at.listener.table.find_from(&request, place)?,
        Again::Name(_) => at.listener.table.find_name(&request)?,
    };
    facts.room.borrow_mut().clear();
    Some(&at.listener.routes[place])
}
