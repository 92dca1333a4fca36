//! One request, top to bottom: route, act, answer, and close the books once.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::http1::target::normalise;
use crate::http1::{Framing, RequestHead};
use crate::net::ProxyEnds;
use crate::proxy::attempt::{self, Passage};
use crate::proxy::downstream::Downstream;
use crate::proxy::facts::Asked;
use crate::proxy::failure::Failure;
use crate::proxy::headers::{ClientIdentity, request_id};
use crate::proxy::limits::{self, Holds};
use crate::proxy::local;
use crate::proxy::pace::Pace;
use crate::proxy::port::Open;
use crate::proxy::record::{self, Place};
use crate::proxy::request::State;
use crate::proxy::rpc;
use crate::proxy::vars::{Clock, Link, Vars, render};
use crate::proxy::view::{Local, View};
use crate::proxy::walk::{Step, Walk};
use crate::proxy::worker::Worker;
use crate::snapshot::settings::{ErrorPage, RequestBuffering};
use crate::snapshot::{Action, Captured, Destination, Listener, Request, RouteEntry};
use crate::telemetry::RouteCell;
use crate::tls::Secured;

/// Where and when a request came in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entrance<'a> {
    pub(super) worker: &'a Worker,
    /// The client's connection; `None` of a request of our own.
    pub(super) open: Option<&'a Open>,
    pub(super) view: &'a View,
    pub(super) listener: &'a Listener,
    /// Requests on this connection, this one included.
    pub(super) served: u64,
    /// When the connection was accepted.
    pub(super) accepted: Instant,
    /// Who is behind the proxy that connected, as the PROXY protocol tells.
    pub(super) proxied: Option<&'a ProxyEnds>,
    /// What was agreed on in the TLS handshake; `None` of a plain connection.
    pub(super) secured: Option<&'a Secured>,
    /// When its first bytes were there.
    pub(super) started: Instant,
    /// When its head was whole: from here on the time is ours and the backends'.
    pub(super) whole: Instant,
}

/// What becomes of the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum End {
    /// It waits for the next request.
    KeepAlive,
    /// It is closed.
    #[default]
    Close,
    /// It is closed once the client has had time to read the answer.
    Linger,
    /// It is reset: what was sent is not the whole.
    Cut,
    /// It goes on in HTTP/2, whose preface has come.
    Http2,
}

/// How a request was answered.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Done {
    /// The status that the client got.
    pub(super) status: u16,
    /// Bytes of the response's body that went to the client.
    pub(super) body: u64,
    /// All bytes that went to the client.
    pub(super) length: u64,
    /// What becomes of the connection.
    pub(super) end: End,
    /// Why it is not as the route says.
    pub(super) failure: Option<Failure>,
    /// When it ended, if the clock has been read for it.
    pub(super) ended: Option<Instant>,
    /// How fast the client gets what is left of the answer.
    pub(super) pace: Option<Pace>,
    /// Nothing went to the client: this is to be followed first.
    pub(super) onward: Option<Onward>,
}

/// Why an answer is not sent but followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Onward {
    /// The route says so.
    There,
    /// It is an error that has a page.
    Error,
    /// It has a field `X-Accel-Redirect` that is followed.
    Accel,
}

impl Entrance<'_> {
    /// Whether the connection may go on after this request, as far as our side is concerned.
    pub(super) fn may_go_on(&self) -> bool {
        let most = self.listener.client.max_requests;
        let oldest = self.listener.client.max_lifetime;
        self.open.is_some_and(|open| open.ending().is_none())
            && (most == 0 || self.served < most)
            && oldest.is_none_or(|oldest| self.whole < self.accepted + oldest)
    }
}

impl<'a> Entrance<'a> {
    /// What variables speak of the client's connection.
    pub(super) fn link(&self, ends: Option<(SocketAddr, SocketAddr)>) -> Link<'a> {
        let number = self.open.map_or(0, |open| open.number);
        Link {
            listener: &self.listener.name,
            number,
            served: self.served,
            ends,
            proxied: self.proxied,
            secured: self.secured,
        }
    }

    /// The scheme by which the client asks.
    fn scheme(&self) -> &'static str {
        if self.secured.is_some() { "https" } else { "http" }
    }

    /// What variables speak of the time.
    pub(super) fn clock(&self, now: Instant) -> Clock<'a> {
        Clock {
            now: now.into_std(),
            started: self.started.into_std(),
            anchor: self.worker.anchor(),
            zone: &self.worker.zone,
        }
    }
}

/// A request in its route's books. One that is never answered, because it was cut at the end of a
/// drain or its task panicked, is closed as a failure of ours.
pub(super) struct Books<'a> {
    cell: &'a RouteCell,
    started: Instant,
    open: bool,
}

impl<'a> Books<'a> {
    pub(super) fn open(cell: &'a RouteCell, started: Instant) -> Self {
        cell.begin();
        Self { cell, started, open: true }
    }

    pub(super) fn close(
        mut self,
        status: u16,
        took: Duration,
        request_bytes: u64,
        response_bytes: u64,
    ) {
        self.open = false;
        self.cell.finish(status, took, request_bytes, response_bytes);
    }
}

impl Drop for Books<'_> {
    fn drop(&mut self) {
        if self.open {
            self.cell.finish(500, self.started.elapsed(), 0, 0);
        }
    }
}

/// Serves a request whose head is parsed. Tells what becomes of the connection, and when it ended.
pub(super) async fn handle(
    at: Entrance<'_>,
    down: &mut Downstream,
    state: &mut State,
) -> (End, Instant) {
    let client = identify(at, down, state);
    let mut made = [0; 32];
    let random = at.worker.two_random();
    let field = at.listener.forwarded.request_id.as_ref();
    state.id.extend_from_slice(request_id(&state.head, field, random, &mut made));
    if at.view.snapshot.asked.ends {
        state.ends = down.stream.ends();
    }
    let routed = find(at, &client, state);
    let entry = routed.ok();
    let series = entry.map_or(&at.listener.unrouted, |entry| &entry.series);
    let books = Books::open(series.worker(at.worker.ix), at.started);
    begin_upload(at.listener, entry, state);
    let destination = entry.and_then(|entry| destination(at, entry));
    let mut holds = Holds::new();
    let step = match routed {
        Ok(entry) if entry.route.before.is_some() => Step::Enter(entry),
        Ok(entry) => match act(at, entry, &client, destination, down, (state, &mut holds)).await {
            Ok(done) => Step::Acted(entry, done),
            Err(failure) => Step::Failed(Some(entry), failure),
        },
        Err(failure) => Step::Failed(None, failure),
    };
    let local = destination.map(|(_, local)| local);
    let (done, local) = match step {
        Step::Acted(_, done) if done.onward.is_none() => (done, local),
        // Boxed: the common request shall not pay for the size of this one.
        step => {
            let mut walk = Walk { at, client: &client, down, state, holds, local };
            (Box::pin(walk.run(step)).await, walk.local)
        }
    };
    let ended = done.ended.unwrap_or_else(Instant::now);
    let duration = ended.saturating_duration_since(at.started);
    books.close(done.status, duration, state.upload.received, done.body);
    let place = Place { entry, local, client: &client, line: None };
    record::access(at, place, state, &done, duration);
    (done.end, ended)
}

/// Answers what is not a request, and ends the connection.
pub(super) async fn refuse(
    at: Entrance<'_>,
    down: &mut Downstream,
    state: &mut State,
    failure: Failure,
) -> End {
    let books = Books::open(at.listener.unrouted.worker(at.worker.ix), at.started);
    state.upload.begin(Framing::None, false, None);
    let client = ClientIdentity {
        address: down.peer,
        downstream: down.peer,
        trusted: false,
        scheme: at.scheme(),
    };
    let done = local::fail(at, None, &client, down, state, failure).await;
    let duration = at.started.elapsed();
    books.close(done.status, duration, 0, done.body);
    // What could not be parsed is logged as its first line.
    let line = down.leftover.split(|byte| b"\r\n".contains(byte)).next();
    let line = line.filter(|_| state.head.method().is_empty());
    let place = Place { entry: None, local: None, client: &client, line };
    record::access(at, place, state, &done, duration);
    done.end
}

/// Writes the line of a request that was dropped in the middle. Its books are closed by then.
pub(super) fn note_cut(at: Entrance<'_>, down: &Downstream, state: &mut State) {
    let client = identify(at, down, state);
    // What was worked out for it went with it, but the way to its route is the same.
    let entry = find(at, &client, state).ok();
    let place = Place { entry, local: None, client: &client, line: None };
    let failure = Failure::Cut;
    let done = Done { status: failure.status(), failure: Some(failure), ..Done::default() };
    record::access(at, place, state, &done, at.started.elapsed());
}

/// Who sent the request.
fn identify(at: Entrance<'_>, down: &Downstream, state: &State) -> ClientIdentity {
    let client = ClientIdentity::new(down.peer, at.scheme(), &state.head, &at.listener.forwarded);
    match at.proxied {
        Some((source, _)) => client.proxied(source.ip(), &at.listener.forwarded),
        None => client,
    }
}

/// The route of a request.
fn find<'a>(
    at: Entrance<'a>,
    client: &ClientIdentity,
    state: &mut State,
) -> Result<&'a RouteEntry, Failure> {
    if let Some(host) = &at.listener.client.nginx.host {
        state.head.name_host(host);
    }
    let State { head, path, id, key, ends, captured, .. } = state;
    let path = normalise(head.path(), path).map_err(Failure::BadRequest)?;
    let vars = || asked(at, client, (head, id, path), *ends);
    let entry = look_up(at, head, vars, path, (Again::Behind(0), key)).ok_or(Failure::NoRoute)?;
    *captured = capture(entry, vars);
    Ok(entry)
}

/// What the texts of route rules may speak of.
fn asked<'v>(
    at: Entrance<'v>,
    client: &'v ClientIdentity,
    (head, request_id, path): (&'v RequestHead, &'v [u8], &'v [u8]),
    ends: Option<(SocketAddr, SocketAddr)>,
) -> Vars<'v> {
    let (link, clock) = (at.link(ends), Some(at.clock(at.whole)));
    Vars { request_id, path, link, clock, ..Vars::new(head, client) }
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
    at: Entrance<'a>,
    client: &ClientIdentity,
    state: &mut State,
    again: Again<'_>,
) -> Option<&'a RouteEntry> {
    let State { head, path, id, key, ends, captured, .. } = state;
    let path = if path.is_empty() { head.path() } else { path };
    let vars = || asked(at, client, (head, id, path), *ends);
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
    at: Entrance<'a>,
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

/// The page for an error on this route.
pub(super) fn error_page<'a>(
    at: Entrance<'a>,
    entry: Option<&'a RouteEntry>,
    status: u16,
) -> Option<&'a ErrorPage> {
    let own = entry.and_then(|entry| entry.route.after.as_ref()?.error_pages.as_ref());
    own.or(at.listener.error_pages.as_ref())?.find(status)
}

/// Makes the upload ready: what is kept for another attempt, and how much the client may send.
fn begin_upload(listener: &Listener, entry: Option<&RouteEntry>, state: &mut State) {
    let limit = body_limit(listener, entry);
    let (framing, withheld) = (state.head.framing(), state.head.expect_continue());
    state.upload.begin(framing, withheld, limit);
}

/// How much the client may send.
pub(super) fn body_limit(listener: &Listener, entry: Option<&RouteEntry>) -> Option<u64> {
    let route = entry.map(|entry| &entry.route);
    route.and_then(|r| r.max_body_bytes).unwrap_or(listener.client.max_body_bytes)
}

/// The destination of a proxied request, with this worker's side of its upstream.
pub(super) fn destination<'a, 'e>(
    at: Entrance<'a>,
    entry: &'e RouteEntry,
) -> Option<(&'e Destination, &'a Local)> {
    let Action::Proxy { split, .. } = &entry.route.action else {
        return None;
    };
    let destination = split.choose(&mut at.worker.rng.borrow_mut());
    Some((destination, &at.view.upstreams[destination.upstream.index()]))
}

/// Whether the client may use the route.
pub(super) fn admit(entry: &RouteEntry, client: &ClientIdentity) -> Result<(), Failure> {
    match &entry.route.access {
        Some(access) if !access.lets_in(client.address) => Err(Failure::Forbidden),
        _ => Ok(()),
    }
}

/// Lets a request pass once the route's limits allow it. What it holds of them it holds until it is
/// answered, wherever it goes on.
pub(super) async fn limit<'a>(
    at: Entrance<'a>,
    entry: &'a RouteEntry,
    client: &ClientIdentity,
    down: &mut Downstream,
    (state, holds): (&mut State, &mut Holds<'a>),
) -> Result<(), Failure> {
    if let Some(limits) = &entry.route.limits
        // After nginx, the first route with limits counts.
        && !std::mem::replace(&mut state.limited, true)
    {
        let vars = state.vars(at, client, &entry.route.name);
        // Boxed: what is not limited shall not pay for the size of this.
        *holds = Box::pin(limits::pass(at, limits, &vars, down)).await?;
    }
    Ok(())
}

/// Does what the route says. An error means that nothing went to the client yet.
pub(super) async fn act<'a>(
    mut at: Entrance<'a>,
    entry: &'a RouteEntry,
    client: &ClientIdentity,
    destination: Option<(&Destination, &Local)>,
    down: &mut Downstream,
    (state, holds): (&mut State, &mut Holds<'a>),
) -> Result<Done, Failure> {
    if state.upload.exceeds(state.head.framing()) {
        return Err(Failure::BodyTooLarge);
    }
    if entry.route.limits.is_some() {
        limit(at, entry, client, down, (state, holds)).await?;
        // What it waited is not to be taken from the backends' time.
        at.whole = Instant::now();
    }
    admit(entry, client)?;
    match (&entry.route.action, destination) {
        (Action::Proxy { rewrite, host, .. }, Some((destination, local))) => {
            let at = match &entry.route.request_buffering {
                None => at,
                // Boxed: the common way shall not pay for the size of this one.
                Some(settings) => Box::pin(store(at, settings, down, state)).await?,
            };
            let until = if rpc::is_call(&state.head) {
                rpc::timeout(&state.head).map(|timeout| at.started + timeout)
            } else {
                None
            };
            let passage =
                Passage::new((at, entry), (destination, local), (rewrite, host), client, false);
            let passage = Passage { until, ..passage };
            attempt::run(&passage, down, state).await
        }
        (Action::Proxy { .. }, None) => Err(Failure::NoneEligible),
        (Action::Redirect(redirect), _) => {
            Ok(local::redirect(at, entry, client, down, state, redirect).await)
        }
        (Action::GoTo(_), _) => Ok(Done { onward: Some(Onward::There), ..Done::default() }),
        (Action::Pass, _) => Err(Failure::NoEnd),
        (Action::Close, _) => Ok(Done { status: 444, ..Done::default() }),
        (Action::Respond(respond), _)
            if respond.body.is_empty() && error_page(at, Some(entry), respond.status).is_some() =>
        {
            let (status, onward) = (respond.status, Some(Onward::Error));
            Ok(Done { status, onward, ..Done::default() })
        }
        (Action::Respond(respond), _) => {
            Ok(local::respond(at, entry, client, down, state, respond).await)
        }
    }
}

/// Reads the whole body before a backend is asked: a slow client then occupies none. The backends'
/// time begins afterwards.
async fn store<'a>(
    at: Entrance<'a>,
    settings: &RequestBuffering,
    down: &mut Downstream,
    state: &mut State,
) -> Result<Entrance<'a>, Failure> {
    if state.upload.has_all() {
        return Ok(at);
    }
    state.upload.store(settings, down, &at.worker.buffers, &at.listener.client).await?;
    Ok(Entrance { whole: Instant::now(), ..at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::WorkerIx;
    use crate::telemetry::Registry;

    #[tokio::test]
    async fn a_request_that_is_dropped_is_in_flight_no_more() {
        let series = Registry::new(1).route("web", "all");
        let books = Books::open(series.worker(WorkerIx(0)), Instant::now());
        assert_eq!(series.in_flight(), 1);
        drop(books);
        assert_eq!(series.in_flight(), 0);
        assert_eq!(series.requests()[4], ("5xx", 1));
        let books = Books::open(series.worker(WorkerIx(0)), Instant::now());
        books.close(200, Duration::ZERO, 0, 0);
        assert_eq!(series.in_flight(), 0);
        assert_eq!((series.requests()[1].1, series.requests()[4].1), (1, 1));
    }
}
