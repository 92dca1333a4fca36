//! One request, top to bottom: route, act, answer, and close the books once.

use tokio::time::Instant;

use crate::http1::Framing;
use crate::proxy::attempt;
use crate::proxy::books::Books;
use crate::proxy::deadline;
use crate::proxy::done::{Done, End, Onward};
use crate::proxy::downstream::Downstream;
use crate::proxy::entrance::Entrance;
use crate::proxy::failure::Failure;
use crate::proxy::find::find;
use crate::proxy::headers::{ClientIdentity, request_id};
use crate::proxy::limits::{self, Holds};
use crate::proxy::local;
use crate::proxy::passage::Passage;
use crate::proxy::record::{self, Place};
use crate::proxy::request::State;
use crate::proxy::traced;
use crate::proxy::view::Local;
use crate::proxy::walk::{Step, Walk};
use crate::proxy::wire::Wire;
use crate::snapshot::settings::{ErrorPage, RequestBuffering};
use crate::snapshot::{Action, Destination, Listener, RouteEntry};

/// Serves a request whose head is parsed. Tells what becomes of the connection, and when it ended.
pub(super) async fn handle(
    at: &Entrance<'_>,
    down: &mut Downstream,
    state: &mut State,
) -> (End, Instant) {
    if at.worker.memory.is_short() {
        // Boxed: as below. The first thing that is done, so that it costs little.
        at.worker.registry.process().memory_refused_request();
        let end = Box::pin(refuse(at, down, state, Failure::MemoryShort)).await;
        return (end, Instant::now());
    }
    let client = identify(at, down, state);
    let mut made = [0; 32];
    let random = at.worker.two_random();
    let field = at.listener.forwarded.request_id.as_ref();
    state.id.extend_from_slice(request_id(&state.head, field, random, &mut made));
    if at.view.snapshot.asked.ends {
        state.ends = down.stream.ends();
    }
    if let Some(challenges) = &at.listener.challenges
        && let Some(answer) = challenges.answer(state.head.path())
    {
        // Boxed: no other request shall pay for the size of this one.
        return Box::pin(challenge(at, &client, down, state, answer)).await;
    }
    let routed = match &at.view.snapshot.tracing {
        None => find(at, &client, state),
        Some(tracing) => traced::find(at, tracing, &client, state),
    };
    let entry = routed.ok();
    let series = entry.map_or(&at.listener.unrouted, |entry| &entry.series);
    let books = Books::open(series.worker(at.worker.ix), at.started);
    begin_upload(at.listener, entry, state);
    let destination = entry.and_then(|entry| destination(at, entry));
    let mut holds = Holds::new();
    let step = match routed {
        Ok(entry) if entry.route.before.is_some() => Step::Enter(entry),
        Ok(entry) => {
            match act((at, at.whole), entry, &client, destination, down, (state, &mut holds)).await
            {
                Ok(done) => Step::Acted(entry, done),
                Err(failure) => Step::Failed(Some(entry), failure),
            }
        }
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
    if let (Some(failure), Wire::Http2(channel)) = (done.failure, &mut down.stream) {
        channel.end_call(failure);
    }
    let ended = done.ended.unwrap_or_else(Instant::now);
    let duration = ended.saturating_duration_since(at.started);
    books.close(done.status, duration, state.upload.received, done.body);
    let place = Place { entry, local, client: &client, line: None };
    record::access(at, place, state, &done, duration);
    if state.trace.is_some() {
        traced::end(at, place, down, state, (&done, ended));
    }
    (done.end, ended)
}

/// Answers an authority of certificates, before any route.
async fn challenge(
    at: &Entrance<'_>,
    client: &ClientIdentity,
    down: &mut Downstream,
    state: &mut State,
    answer: String,
) -> (End, Instant) {
    let books = Books::open(at.listener.unrouted.worker(at.worker.ix), at.started);
    begin_upload(at.listener, None, state);
    let done = local::challenge(at, client, down, state, answer.as_bytes()).await;
    let ended = Instant::now();
    let duration = ended.saturating_duration_since(at.started);
    books.close(done.status, duration, state.upload.received, done.body);
    let place = Place { entry: None, local: None, client, line: None };
    record::access(at, place, state, &done, duration);
    (done.end, ended)
}

/// Answers what is not a request, and ends the connection.
pub(super) async fn refuse(
    at: &Entrance<'_>,
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
pub(super) fn note_cut(at: &Entrance<'_>, down: &Downstream, state: &mut State) {
    let client = identify(at, down, state);
    // What was worked out for it went with it, but the way to its route is the same.
    let entry = find(at, &client, state).ok();
    let place = Place { entry, local: None, client: &client, line: None };
    let failure = Failure::Cut;
    let done = Done { status: failure.status(), failure: Some(failure), ..Done::default() };
    record::access(at, place, state, &done, at.started.elapsed());
    if state.trace.is_some() {
        traced::end(at, place, down, state, (&done, Instant::now()));
    }
}

/// Who sent the request.
fn identify(at: &Entrance<'_>, down: &Downstream, state: &State) -> ClientIdentity {
    let client = ClientIdentity::new(down.peer, at.scheme(), &state.head, &at.listener.forwarded);
    match at.proxied {
        Some((source, _)) => client.proxied(source.ip(), &at.listener.forwarded),
        None => client,
    }
}

/// The page for an error on this route.
pub(super) fn error_page<'a>(
    at: &'a Entrance<'a>,
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
    at: &'a Entrance<'a>,
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
    at: &'a Entrance<'a>,
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
        let (verdicts, passed) = Box::pin(limits::pass(at, limits, &vars, down)).await;
        state.verdicts = verdicts;
        *holds = passed?;
    }
    Ok(())
}

/// Does what the route says. An error means that nothing went to the client yet.
pub(super) async fn act<'a>(
    (at, mut since): (&'a Entrance<'a>, Instant),
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
        since = Instant::now();
    }
    admit(entry, client)?;
    match (&entry.route.action, destination) {
        (Action::Proxy { rewrite, host, .. }, Some((destination, local))) => {
            if let Some(settings) = &entry.route.request_buffering
                && !state.upload.has_all()
            {
                // Boxed: the common way shall not pay for the size of this one.
                Box::pin(store(at, settings, down, state)).await?;
                since = Instant::now();
            }
            let until = deadline::of(at, entry, destination, client, state);
            let passage =
                Passage::new((at, entry), (destination, local), (rewrite, host), client, false);
            let passage = Passage { since, until, ..passage };
            if down.stream.asks_for_tunnel() && !passage.may_switch(&state.head) {
                return Err(Failure::NoTunnel);
            }
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
async fn store(
    at: &Entrance<'_>,
    settings: &RequestBuffering,
    down: &mut Downstream,
    state: &mut State,
) -> Result<(), Failure> {
    state.upload.store(settings, down, &at.worker.buffers, &at.listener.client).await
}
