//! A connection that is passed through: to a backend and back, byte for byte.
//!
//! Nothing is understood of what it carries but, where a listener goes by names, the first message of
//! TLS. It is picked for, counted, limited and logged as a request is: one connection is one.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Poll, ready};

use tokio::time::Instant;

use crate::http1::RequestHead;
use crate::model::Outcome;
use crate::net::{Asked, ClientHello, ProxyEnds};
use crate::proxy::books::Books;
use crate::proxy::buffers::Buffers;
use crate::proxy::done::Done;
use crate::proxy::downstream::{Downstream, until_cut};
use crate::proxy::entrance::Entrance;
use crate::proxy::failure::Failure;
use crate::proxy::headers::ClientIdentity;
use crate::proxy::passage::Passage;
use crate::proxy::port::Open;
use crate::proxy::record::{self, Place};
use crate::proxy::request::State;
use crate::proxy::upgrade::{self, Ended, Flow};
use crate::proxy::view::Local;
use crate::proxy::wire::Carries;
use crate::snapshot::ListenerTcp;
use crate::snapshot::settings::{HostPolicy, PathRewrite};

/// Bytes that are read at once of what a client begins with.
const READ: usize = 4096;
/// What is told of a connection that went to a backend.
const PASSED: u16 = 200;

/// Whether connections of this listener are passed through.
pub(super) fn passes_through(open: &Open) -> bool {
    let place = open.worker.view_of(&open.port);
    place.is_some_and(|(view, place)| view.snapshot.listeners[place].tcp.is_some())
}

/// Passes a connection through until it ends.
pub(super) async fn serve(
    open: &Open,
    mut down: Downstream,
    accepted: Instant,
    proxied: Option<&ProxyEnds>,
) {
    let worker = &*open.worker;
    let Some((view, place)) = worker.view_of(&open.port) else { return };
    let listener = &*view.snapshot.listeners[place];
    let Some(tcp) = listener.tcp.as_deref() else { return };
    let at = &Entrance {
        worker,
        view: &view,
        open: Some(open),
        listener,
        served: 1,
        accepted,
        proxied,
        secured: None,
        started: accepted,
        whole: accepted,
    };
    let mut state = worker.states.take();
    // There is none; that of a request before may still stand there.
    state.head = RequestHead::default();
    state.ends = down.stream.ends();
    let books = Books::open(tcp.entry.series.worker(worker.ix), accepted);
    let client =
        ClientIdentity { address: down.peer, downstream: down.peer, trusted: false, scheme: "tcp" };
    let mut session = Session {
        at,
        tcp,
        client: &client,
        local: None,
        name: None,
        up: Flow::default(),
        back: Flow::default(),
    };
    let done = until_cut(worker, pin!(session.run(&mut down, &mut state)), None).await;
    let was_cut = done.is_none();
    let cut = Failure::Cut;
    let done = done.unwrap_or(Done { status: cut.status(), failure: Some(cut), ..Done::default() });
    let back = session.back.moved;
    let done = Done { body: back, length: back, ..done };
    state.upload.received = session.up.moved;
    let took = accepted.elapsed();
    books.close(done.status, took, state.upload.received, done.body);
    let line = Some(session.name.as_deref().unwrap_or_default().as_bytes());
    let place = Place { entry: Some(&tcp.entry), local: session.local, client: &client, line };
    record::access(at, place, &state, &done, took);
    worker.states.give(state);
    if was_cut {
        down.stream.cut();
    }
}

/// A connection that is passed through.
struct Session<'a> {
    at: &'a Entrance<'a>,
    tcp: &'a ListenerTcp,
    client: &'a ClientIdentity,
    /// Where it went.
    local: Option<&'a Local>,
    /// The name that it asks for.
    name: Option<String>,
    /// What goes to the backend.
    up: Flow,
    /// What comes back.
    back: Flow,
}

impl Session<'_> {
    /// What became of it.
    async fn run(&mut self, down: &mut Downstream, state: &mut State) -> Done {
        match self.pass(down, state).await {
            Ok(done) => done,
            Err(failure) => {
                Done { status: failure.status(), failure: Some(failure), ..Done::default() }
            }
        }
    }

    async fn pass(&mut self, down: &mut Downstream, state: &mut State) -> Result<Done, Failure> {
        let Self { at, tcp, client, .. } = *self;
        let buffers = &at.worker.buffers;
        let mut offered = Vec::new();
        if tcp.listens() {
            let deadline = at.accepted + at.listener.client.header_timeout;
            let asked = down.asked(buffers, deadline).await?;
            (self.name, offered) = (asked.name, asked.protocols);
        }
        let destination = tcp.find(self.name.as_deref(), &offered).ok_or(Failure::NoRoute)?;
        let local = &*at.view.upstreams[destination.upstream.index()];
        self.local = Some(local);
        let as_it_is = (&PathRewrite::Keep, &HostPolicy::Preserve);
        let passage = Passage::new((at, &tcp.entry), (destination, local), as_it_is, client, false);
        // The time of the backends begins here, whatever the client took.
        let passage = Passage { since: Instant::now(), ..passage };
        let mut dialled = passage.dial(down, state).await?;
        self.up.outgoing.head.append(&mut down.leftover);
        let ended = upgrade::tunnel(
            &mut down.stream,
            &mut dialled.stream,
            (&mut self.up, &mut self.back),
            buffers,
            &mut down.timer,
            tcp.idle_timeout,
        )
        .await;
        let failure = (ended == Ended::Broken).then_some(Failure::Attempt(Outcome::Reset));
        Ok(Done { status: PASSED, failure, ..Done::default() })
    }
}

impl Downstream {
    /// Reads on until it is known what a client of TLS asks for. What was read stays in `leftover`. One
    /// that speaks something else asks for nothing.
    async fn asked(&mut self, buffers: &Buffers, deadline: Instant) -> Result<Asked, Failure> {
        poll_fn(|cx| {
            loop {
                if !self.leftover.is_empty() {
                    match ClientHello::read(&self.leftover) {
                        ClientHello::Whole(asked) => return Poll::Ready(Ok(asked)),
                        ClientHello::Other => return Poll::Ready(Ok(Asked::default())),
                        ClientHello::Partial => {}
                    }
                }
                let Poll::Ready(is_ready) = self.stream.poll_read_ready(cx) else {
                    return self.timer.poll(deadline, cx).map(|()| Err(Failure::HeaderTimeout));
                };
                is_ready.map_err(|_| Failure::ClientGone)?;
                let mut buffer = buffers.take();
                let read = self.stream.poll_read(cx, &mut buffer[..READ]);
                if let Poll::Ready(Ok(n)) = read {
                    self.leftover.extend_from_slice(&buffer[..n]);
                }
                buffers.give(buffer);
                match read {
                    Poll::Ready(Ok(n)) if n > 0 => {}
                    Poll::Ready(_) => return Poll::Ready(Err(Failure::ClientGone)),
                    Poll::Pending => {
                        ready!(self.timer.poll(deadline, cx));
                        return Poll::Ready(Err(Failure::HeaderTimeout));
                    }
                }
            }
        })
        .await
    }
}
